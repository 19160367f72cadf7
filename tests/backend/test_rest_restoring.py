"""A store that was restored from an older copy: whoever was further on is told so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
from rest_desk import Desk, must_be_problem

from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.restore import restore

pytestmark = pytest.mark.anyio


async def taken_back(desk: Desk, folder: Path) -> tuple[str, dict[str, Any]]:
    """A room with three messages that a restore takes back to its first; and what a reader had
    who had read all of it before."""
    store, copy = folder / "rooms.db", folder / "copy.db"
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "1")
    await asyncio.to_thread(back_up, store, copy)
    for text in ("2", "3"):
        await desk.say(id, "alice", text, idempotencyKey=f"key {text}")
    read = await desk.read(id, after=0)
    await asyncio.to_thread(restore, store, copy)
    return id, read


@pytest.mark.parametrize("call", ["messages", "history", "stream"])
async def test_a_cursor_from_before_is_ahead_of_a_restored_room(
    desk: Desk, tmp_path: Path, call: str
):
    id, read = await taken_back(desk, tmp_path)

    ahead = await desk.http.get(f"/agent/rooms/{id}/{call}", params={"after": read["nextCursor"]})

    problem = must_be_problem(ahead)
    assert (ahead.status_code, problem["code"]) == (409, "cursor_ahead")
    assert problem["lastSeq"] == 1
    assert problem["epoch"] != read["epoch"]


async def test_whoever_begins_anew_finds_what_there_is_under_the_new_epoch(
    desk: Desk, tmp_path: Path
):
    id, read = await taken_back(desk, tmp_path)

    again = await desk.read(id, after=0)

    assert [one["content"] for one in again["messages"]] == ["1"]
    assert again["epoch"] != read["epoch"]


async def test_what_a_restore_took_away_can_be_sent_again_under_its_key(desk: Desk, tmp_path: Path):
    id, _ = await taken_back(desk, tmp_path)

    sent = await desk.say(id, "alice", "2", idempotencyKey="key 2")

    assert (sent["seq"], sent["idempotent"]) == (2, False)


async def test_whoever_waits_while_the_store_is_restored_is_told_so(desk: Desk, tmp_path: Path):
    store, copy = tmp_path / "rooms.db", tmp_path / "copy.db"
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "1")
    await asyncio.to_thread(back_up, store, copy)
    await desk.say(id, "alice", "2")
    query = {"after": 2, "wait": 50, "reader": "alice"}

    with anyio.fail_after(20):
        waiting = asyncio.ensure_future(desk.http.get(f"/agent/rooms/{id}/messages", params=query))
        await desk.until_waiting(id, "alice")
        await asyncio.to_thread(restore, store, copy)
        told = await waiting

    assert must_be_problem(told)["code"] == "cursor_ahead"
