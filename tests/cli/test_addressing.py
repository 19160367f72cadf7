"""From a name, an id or its beginning to the room, in one request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from room_mcp.addressing import AmbiguousRoom, NoSuchRoom, resolve, short_ids
from room_mcp.client import RoomsClient
from room_mcp.compose import EMBEDDED_URL, EmbeddedTransport
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counting(EmbeddedTransport):
    """The embedded backend, with the requests counted."""

    count = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.count += 1
        return await super().handle_async_request(request)


@dataclass
class Desk:
    client: RoomsClient
    transport: Counting

    async def requests_for(self, room: str) -> int:
        before = self.transport.count
        await resolve(self.client, room)
        return self.transport.count - before


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    transport = Counting(Settings.from_env({"ROOM_MCP_HOME": str(tmp_path)}))
    async with RoomsClient(EMBEDDED_URL, transport=transport) as client:
        yield Desk(client, transport)


async def test_one_request_finds_a_room_however_it_is_called(desk: Desk):
    room = await desk.client.create_room("api-review")

    for meant in ("api-review", "API-Review", room.id, room.id.upper(), room.id[:8]):
        assert (await resolve(desk.client, meant)).id == room.id
        assert await desk.requests_for(meant) == 1


async def test_a_room_called_like_the_id_of_another_does_not_stand_in_for_it(desk: Desk):
    room = await desk.client.create_room("secret")
    await desk.client.create_room(room.id)

    assert (await resolve(desk.client, room.id)).name == "secret"


async def test_a_room_whose_name_is_an_id_is_found_when_nothing_has_that_id(desk: Desk):
    name = "00000000-0000-4000-8000-000000000000"
    await desk.client.create_room(name)

    assert (await resolve(desk.client, name)).name == name


async def test_a_name_goes_before_the_beginning_of_an_id(desk: Desk):
    room = await desk.client.create_room("first")
    await desk.client.create_room(room.id[:8])

    assert (await resolve(desk.client, room.id[:8])).name == room.id[:8]


async def test_a_name_that_several_open_rooms_have_is_ambiguous(desk: Desk):
    rooms = [await desk.client.create_room("docs") for _ in range(2)]

    with pytest.raises(AmbiguousRoom) as caught:
        await resolve(desk.client, "docs")

    assert {room.id for room in caught.value.candidates} == {room.id for room in rooms}
    assert all(room.id[:8] in caught.value.advice for room in rooms)


async def test_the_nearest_names_come_with_what_is_not_found(desk: Desk):
    await desk.client.create_room("api-review")
    await desk.client.create_room("lunch")

    with pytest.raises(NoSuchRoom) as caught:
        await resolve(desk.client, "api_reviews")

    assert [room.name for room in caught.value.candidates] == ["api-review"]
    assert caught.value.advice == "Nearest: 'api-review' (open)."


@pytest.mark.parametrize("room", ["", "  ", "nothing-like-it", "abc"])
async def test_nothing_is_found_where_nothing_is(desk: Desk, room: str):
    with pytest.raises(NoSuchRoom):
        await resolve(desk.client, room)


async def test_short_ids_are_as_long_as_they_have_to_be(desk: Desk):
    room = await desk.client.create_room("a")
    twin = room.model_copy(update={"id": room.id[:12] + "-" * 24})

    assert set(short_ids([room, twin]).values()) == {room.id[:13], twin.id[:13]}
    assert short_ids([room]) == {room.id: room.id[:8]}
