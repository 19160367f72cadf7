"""Who waits on one node hears what is said on another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import anyio
import httpx2
import pytest
from machines import HANGS_S, Agent, Pair, an_agent, until
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated

from room_mcp.client import RoomsClient

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Talk:
    """A room of two members: ann, who comes to the one node, and bob, who comes to the other."""

    id: str
    ann: RoomsClient
    ann_key: str
    bob: RoomsClient

    async def until_ann_waits(self) -> None:
        """Until bob's node knows it."""

        async def waits() -> bool:
            members = (await self.bob.info(self.id)).members
            return any(one.name == "ann" and one.waiting for one in members)

        await until(waits)


@pytest.fixture
async def talk(pair: Pair, room: str) -> AsyncGenerator[Talk]:
    async with pair.rooms(pair.one) as root:
        ann_key = (await root.keys.create("ann")).key
        bob_key = (await root.keys.create("bob")).key
    async with pair.rooms(pair.one, ann_key) as ann, pair.rooms(pair.other, bob_key) as bob:
        made = await ann.create_room(room)
        await ann.join(made.id, "ann")
        await bob.join(made.id, "bob")
        yield Talk(made.id, ann, ann_key, bob)


async def test_a_wait_by_rest(talk: Talk):
    heard: list[str] = []

    async def wait() -> None:
        page = await talk.ann.messages(talk.id, after=0, wait_s=50, reader="ann")
        heard.extend(str(one.content) for one in page.messages)

    with anyio.fail_after(HANGS_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await talk.until_ann_waits()
            await talk.bob.post(talk.id, "bob", "from the other node")

    assert heard == ["from the other node"]


async def test_a_stream_of_events(pair: Pair, talk: Talk):
    at = f"{pair.one.url}/agent/rooms/{talk.id}/stream?after=0"
    headers = {"Authorization": f"Bearer {talk.ann_key}"}
    with anyio.fail_after(HANGS_S):
        async with (
            httpx2.AsyncClient(verify=False, timeout=HANGS_S) as http,
            http.stream("GET", at, headers=headers) as stream,
        ):
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            await anext(lines)  # it follows the room now
            await talk.bob.post(talk.id, "bob", "from the other node")
            heard = [await _line_with(lines, "from the other node")]

    assert '"sender":"bob"' in heard[0].replace(" ", "")


async def _line_with(lines: AsyncIterator[str], text: str) -> str:
    async for line in lines:
        if text in line:
            return line
    raise AssertionError("the stream ended before")


async def test_a_wait_of_an_agent(pair: Pair, talk: Talk, room: str):
    heard: list[str] = []

    async def wait(ann: Agent) -> None:
        heard.append(await ann.do("wait_for_messages", room=talk.id))

    async with an_agent(pair.one.url, talk.ann_key) as ann, anyio.create_task_group() as tasks:
        tasks.start_soon(wait, ann)
        await talk.until_ann_waits()
        await talk.bob.post(talk.id, "bob", "from the other node")

    assert "from the other node" in heard[0]


async def test_changes_of_a_resource_and_of_the_list_of_rooms(pair: Pair, talk: Talk, room: str):
    uri = f"room://{talk.id}/history"
    with anyio.fail_after(HANGS_S):
        async with (
            an_agent(pair.one.url, talk.ann_key) as ann,
            ann.client.listen(resource_subscriptions=[uri], resources_list_changed=True) as stream,
        ):
            events = aiter(stream)
            await talk.bob.post(talk.id, "bob", "from the other node")
            updated = await anext(events)
            async with pair.rooms(pair.other) as root:
                await root.create_room(f"{room} besides")
            listed = await anext(events)

    assert isinstance(updated, ResourceUpdated)
    assert updated.uri == uri
    assert isinstance(listed, ResourcesListChanged)
