"""A database that is put back while two nodes serve it: none goes on with what it remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
from postgres_databases import copy_of, empty_database, put_back
from rest_desk import Desk, a_desk, exchange

from room_mcp.store.postgres.restored import begin_epoch

pytestmark = pytest.mark.anyio

AHEAD = 409


@dataclass
class Nodes:
    """Two nodes on one database, and the room `kept` with one message, as in the copy of it."""

    one: Desk
    two: Desk
    kept: str
    url: str
    copy: str

    async def set_back(self) -> None:
        """What pg_restore does; nobody is told."""
        await asyncio.to_thread(put_back, self.copy, self.url)

    async def say_so(self) -> str:
        """What `room-mcp restore --done` does; the new epoch."""
        return await begin_epoch(self.url, datetime.now(UTC))


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncGenerator[Nodes]:
    url = await asyncio.to_thread(empty_database)
    async with a_desk(tmp_path, store=url) as first:
        kept = (await first.room())["roomId"]
        await first.say(kept, "ann", "one")
    copy = await asyncio.to_thread(copy_of, url)
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(a_desk(tmp_path, store=url)) for _ in "12"]
        yield Nodes(one, two, kept, url, copy)


async def until_answered(desk: Desk, path: str, **query: Any) -> Any:
    """The first answer that is none of a database that is just not there."""
    with anyio.fail_after(20):
        while (answer := await desk.http.get(path, params=query)).status_code == 503:
            await anyio.lowlevel.checkpoint()
    return answer


async def test_who_is_ahead_is_told_so_with_the_new_epoch_by_every_node(nodes: Nodes):
    before = (await nodes.one.say(nodes.kept, "rex", "two"))["epoch"]
    url = f"/agent/rooms/{nodes.kept}/messages"

    await nodes.set_back()
    epoch = await nodes.say_so()
    answers = [await until_answered(one, url, after=2, wait=40) for one in (nodes.one, nodes.two)]

    assert [one.status_code for one in answers] == [AHEAD, AHEAD]
    for told in (one.json() for one in answers):
        assert (told["code"], told["lastSeq"], told["epoch"]) == ("cursor_ahead", 1, f"{epoch}.0")
        assert told["epoch"] != before


async def test_who_waits_at_a_node_hears_of_the_new_epoch(nodes: Nodes):
    await nodes.set_back()
    listed = (await until_answered(nodes.two, "/agent/updates", directory=0)).json()

    with anyio.fail_after(20):
        query = {"rooms": f"{nodes.kept}:1", "directory": listed["directory"], "wait": 40}
        waiting = asyncio.create_task(
            nodes.two.http.get("/agent/updates", params={**query, "reader": "ann"})
        )
        await nodes.two.until_waiting(nodes.kept, "ann")
        epoch = await nodes.say_so()
        told = (await waiting).json()

    assert told["epoch"] == epoch != listed["epoch"]


async def test_updates_tell_of_rooms_set_back_and_of_rooms_that_are_gone(nodes: Nodes):
    await nodes.one.say(nodes.kept, "ann", "two")
    gone = (await nodes.one.room("later"))["roomId"]
    listed = (await nodes.two.http.get("/agent/updates", params={"directory": 0})).json()

    await nodes.set_back()
    epoch = await nodes.say_so()
    rooms = f"{nodes.kept}:2,{gone}:0"
    told = await until_answered(
        nodes.two, "/agent/updates", rooms=rooms, directory=listed["directory"], wait=40
    )

    found = told.json()
    assert {one["roomId"]: one["lastSeq"] for one in found["rooms"]} == {nodes.kept: 1, gone: 0}
    assert found["epoch"] == epoch
    assert found["directory"] > listed["directory"]


async def test_a_stream_that_is_ahead_ends(nodes: Nodes):
    await nodes.one.say(nodes.kept, "ann", "two")
    path = f"/agent/rooms/{nodes.kept}/stream"

    with anyio.fail_after(20):
        async with exchange(nodes.two.app, "GET", path) as stream:
            await stream.until("two")
            await nodes.set_back()
            await nodes.say_so()
            await stream.until_ended()

    again = await nodes.two.http.get(path, headers={"Last-Event-ID": "2"})
    assert again.status_code == AHEAD


async def test_no_node_goes_on_with_a_room_that_it_remembers_from_before(nodes: Nodes):
    # Each act counts the room's changes up by one, so that it has the same count as before.
    await nodes.one.join(nodes.kept, "rex")
    await nodes.one.say(nodes.kept, "rex", "lost")

    await nodes.set_back()
    await until_answered(nodes.two, f"/agent/rooms/{nodes.kept}/info")
    await nodes.two.join(nodes.kept, "bob")
    await nodes.two.say(nodes.kept, "bob", "two")
    await until_answered(nodes.one, f"/agent/rooms/{nodes.kept}/info")
    await nodes.one.say(nodes.kept, "ann", "three")

    page = await nodes.two.read(nodes.kept, after=0)
    assert [one["content"] for one in page["messages"]] == ["one", "two", "three"]
    info = (await nodes.one.http.get(f"/agent/rooms/{nodes.kept}/info")).json()
    assert {one["name"] for one in info["members"]} == {"ann", "bob"}


async def test_the_epoch_tells_nodes_whose_connections_a_proxy_has_kept(nodes: Nodes):
    database = await asyncpg.connect(nodes.url)
    rev, state = await database.fetchrow("SELECT rev, state FROM rooms")
    await nodes.one.say(nodes.kept, "rex", "lost")

    for table in ("messages", "keys", "features"):
        await database.execute(f"DELETE FROM {table} WHERE seq > 1")
    await database.execute("UPDATE rooms SET rev = $1, state = $2, last_seq = 1", rev, state)
    await database.close()
    epoch = await nodes.say_so()
    await nodes.two.say(nodes.kept, "bob", "two")
    told = await nodes.one.say(nodes.kept, "ann", "three")

    assert told["epoch"] == f"{epoch}.0"
    page = await nodes.two.read(nodes.kept, after=0)
    assert [one["content"] for one in page["messages"]] == ["one", "two", "three"]
    info = (await nodes.one.http.get(f"/agent/rooms/{nodes.kept}/info")).json()
    assert {one["name"] for one in info["members"]} == {"ann", "bob"}
