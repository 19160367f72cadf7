"""All rooms at once: what is new is shown, what is merely seen for the first time is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from room_mcp import wire
from room_mcp.cli.following import Followed
from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RoomsClient]:
    async with open_client(Settings.from_env({"ROOM_MCP_HOME": str(tmp_path)})) as client:
        yield client


async def said_in(client: RoomsClient, name: str, text: str) -> None:
    room = await client.create_room(name, reuse=True)
    await client.post(room.id, "ann", text)


async def news(followed: Followed) -> list[tuple[str, list[str]]]:
    found = followed.news(await followed.next(0))
    return [(room.name, [one.content for one in messages]) for room, messages in found]


async def test_each_message_is_new_once(client: RoomsClient):
    await said_in(client, "a", "before")
    followed = await Followed.start(client)

    await said_in(client, "a", "after")

    assert await news(followed) == [("a", ["after"])]
    assert await news(followed) == []


async def test_a_room_that_was_opened_and_closed_between_two_looks_is_shown_whole(
    client: RoomsClient,
):
    followed = await Followed.start(client)
    await said_in(client, "short", "hello")
    room = await client.create_room("short", reuse=True)
    await client.close_room(room.id, sender="ann", conclusion="")

    await followed.next(0)

    assert [(name, len(said)) for name, said in await news(followed)] == [("short", 2)]


async def test_an_old_room_that_comes_into_sight_is_not_new(
    client: RoomsClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wire, "MAX_UPDATE_ROOMS", 2)
    for name in ("old", "b", "c"):
        await said_in(client, name, "long ago")
    followed = await Followed.start(client)
    await said_in(client, "old", "stirs")
    await client.create_room("new")

    await followed.next(0)

    assert await news(followed) == []


async def test_no_more_rooms_are_followed_than_one_request_may_name(
    client: RoomsClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wire, "MAX_UPDATE_ROOMS", 2)
    followed = await Followed.start(client)
    for name in ("a", "b", "c"):
        await client.create_room(name)

    await followed.next(0)
    for name in ("a", "b", "c"):
        await said_in(client, name, "hello")

    assert {name for name, _ in await news(followed)} == {"b", "c"}
