"""The writer's thread outlives what nobody foresaw: each caller is told, and it goes on."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import apsw
import pytest
from store_talk import contents, new_room, says

from room_mcp.store.interface import Store, StoreUnavailable
from room_mcp.store.sqlite.batch import Batch

pytestmark = pytest.mark.anyio


def fails_with(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "cannot be locked or read: Input/output error"),
        (MemoryError("no room"), r"failed \(MemoryError: no room\); nothing was stored"),
    ],
    ids=["disk", "unforeseen"],
)
async def test_a_lock_that_fails_is_told_and_ends_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
):
    room_id = await new_room(store, "one")

    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", fails_with(error))
        with anyio.fail_after(30), pytest.raises(StoreUnavailable, match=told):
            await store.act(room_id, says("lost"))
    await store.act(room_id, says("two"))

    assert await contents(store, room_id) == ["one", "two"]


async def test_a_note_that_cannot_be_read_is_told_and_ends_nothing(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
):
    room_id = await new_room(store, "one")
    path.with_name("rooms.db-shm").unlink()

    with monkeypatch.context() as broken:
        broken.setattr(os, "pread", fails_with(OSError(errno.EIO, "Input/output error")))
        with anyio.fail_after(30), pytest.raises(StoreUnavailable, match="Input/output error"):
            await store.act(room_id, says("lost"))
    await store.act(room_id, says("two"))

    assert await contents(store, room_id) == ["one", "two"]


async def test_the_database_of_another_program_in_its_place_is_told_and_ends_nothing(
    store: Store, path: Path
):
    room_id = await new_room(store, "one")
    foreign, away = path.with_name("foreign.db"), path.with_name("away.db")
    db = apsw.Connection(str(foreign))
    db.execute("CREATE TABLE meta (name, value)")
    db.close()
    path.rename(away)
    foreign.rename(path)

    with anyio.fail_after(30), pytest.raises(StoreUnavailable, match="another program"):
        await store.act(room_id, says("lost"))

    path.unlink()
    away.rename(path)
    assert await contents(store, room_id) == ["one"]


@pytest.mark.parametrize("count", [1, 2])
async def test_what_fails_after_the_commit_is_done_once_and_told_as_done(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch, caplog, count: int
):
    rooms = [await new_room(store) for _ in range(count)]

    with monkeypatch.context() as broken:
        broken.setattr(Batch, "remember", fails_with(MemoryError("no room")))
        done = await asyncio.gather(*(store.act(one, says("once")) for one in rooms))
    await other.act(rooms[0], says("of another process"))
    await store.act(rooms[0], says("then"))

    assert [one.messages[0].seq for one in done] == [1] * count
    assert [await contents(store, one) for one in rooms[1:]] == [["once"]] * (count - 1)
    assert await contents(store, rooms[0]) == ["once", "of another process", "then"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
