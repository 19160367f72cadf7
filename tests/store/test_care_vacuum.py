"""Vacuuming gives space back, and nobody who uses the store notices more than a pause."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest
from store_talk import contents, new_room, nothing, says

from room_mcp.store.interface import StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.check import check
from room_mcp.store.sqlite.care.places import reading
from room_mcp.store.sqlite.care.vacuum import vacuum

pytestmark = pytest.mark.anyio

LONG = "words " * 5_000


def no_space(folder: Path) -> int:
    return 0


async def test_the_space_of_what_was_removed_is_freed_while_others_use_the_store(path: Path):
    store = open_store(path)
    await store.open()
    kept = await new_room(store, "hello world")
    gone = await new_room(store, *(f"{number} {LONG}" for number in range(20)), name="gone")
    await store.delete(gone, nothing)

    with anyio.fail_after(20):
        told = await asyncio.to_thread(vacuum, path)
        posted = await store.act(kept, says("after"))

    assert told.before_bytes - told.after_bytes > 20 * len(LONG) / 2
    assert told.is_settled
    assert told.blocked_s > 0
    assert posted.messages[0].seq == 2
    assert await contents(store, kept) == ["hello world", "after"]
    assert [hit.message.seq for hit in await store.search("world", room_ids=[kept])] == [1]
    await store.aclose()
    assert list(check(path, files=False)) == []
    assert not list(path.parent.glob(".rooms*"))


async def test_somebody_who_reads_goes_on_and_the_rest_is_freed_later(path: Path):
    store = open_store(path)
    await store.open()
    gone = await new_room(store, *(f"{number} {LONG}" for number in range(5)), name="gone")
    with reading(path) as db:
        count = int(db.value("SELECT count(*) FROM messages"))
        await store.act(gone, says("more"))

        told = await asyncio.to_thread(vacuum, path)

        assert not told.is_settled
        assert db.value("SELECT count(*) FROM messages") == count
    assert (await asyncio.to_thread(vacuum, path)).is_settled
    await store.aclose()


async def test_without_space_for_it_nothing_is_begun(path: Path, monkeypatch: pytest.MonkeyPatch):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "hello")
    monkeypatch.setattr("room_mcp.store.sqlite.care.places.free_bytes", no_space)

    with pytest.raises(StoreUnavailable, match="Free some space"):
        await asyncio.to_thread(vacuum, path)

    assert await contents(store, room_id) == ["hello"]
    await store.aclose()
