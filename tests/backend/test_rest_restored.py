"""A store that is put back while clients read: whoever is ahead of it is told so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from rest_desk import Desk, exchange

from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.restore import restore

pytestmark = pytest.mark.anyio


async def set_back(tmp_path: Path) -> str:
    """The epoch after it."""
    done = await asyncio.to_thread(restore, tmp_path / "rooms.db", tmp_path / "backup.db")
    return done.epoch


async def test_a_wait_ends_with_the_new_epoch(desk: Desk, tmp_path: Path):
    id = (await desk.room())["roomId"]
    await desk.say(id, "ann", "one")
    back_up(tmp_path / "rooms.db", tmp_path / "backup.db")
    await desk.say(id, "rex", "two")
    before = (await desk.read(id))["epoch"]
    url = f"/agent/rooms/{id}/messages"

    with anyio.fail_after(20):
        query = {"after": 2, "wait": 40, "reader": "ann"}
        waiting = asyncio.create_task(desk.http.get(url, params=query))
        await desk.until_waiting(id, "ann")
        epoch = await set_back(tmp_path)
        answer = await waiting

    assert answer.status_code == 409
    told = answer.json()
    assert (told["code"], told["lastSeq"], told["epoch"]) == ("cursor_ahead", 1, f"{epoch}.0")
    assert told["epoch"] != before
    assert [one["content"] for one in (await desk.read(id, after=0))["messages"]] == ["one"]


async def test_updates_tell_of_rooms_set_back_and_of_rooms_that_are_gone(
    desk: Desk, tmp_path: Path
):
    kept = (await desk.room())["roomId"]
    await desk.say(kept, "ann", "one")
    back_up(tmp_path / "rooms.db", tmp_path / "backup.db")
    await desk.say(kept, "ann", "two")
    gone = (await desk.room("later"))["roomId"]
    listed = (await desk.http.get("/agent/updates", params={"directory": 0})).json()

    epoch = await set_back(tmp_path)

    query = {"rooms": f"{kept}:2,{gone}:0", "directory": listed["directory"], "wait": 40}
    with anyio.fail_after(20):
        told = (await desk.http.get("/agent/updates", params=query)).json()
    assert {one["roomId"]: one["lastSeq"] for one in told["rooms"]} == {kept: 1, gone: 0}
    assert told["epoch"] == epoch
    assert told["directory"] > listed["directory"]


async def test_a_stream_that_is_ahead_ends(desk: Desk, tmp_path: Path):
    id = (await desk.room())["roomId"]
    await desk.say(id, "ann", "one")
    back_up(tmp_path / "rooms.db", tmp_path / "backup.db")
    await desk.say(id, "ann", "two")

    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/rooms/{id}/stream") as stream:
            await stream.until("two")
            await set_back(tmp_path)
            await stream.until_ended()

    again = await desk.http.get(f"/agent/rooms/{id}/stream", headers={"Last-Event-ID": "2"})
    assert again.status_code == 409
