"""A damaged file: whoever meets the damage is told, and what is sound goes on."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from store_talk import contents, new_room, says

from room_mcp.store.interface import Store, StoreUnavailable
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio

PAGE_BYTES = 4096
LONG = "long " * 600  # one on each page


async def damaged(path: Path, table: str, pages: slice, rubbish: bytes, *texts: str) -> list[str]:
    """A closed store with two rooms, and rubbish on some pages of a table; the rooms' ids."""
    store = open_store(path)
    await store.open()
    rooms = [await new_room(store, *texts, name=name) for name in ("first", "second")]
    await store.aclose()
    db = apsw.Connection(str(path))
    numbers = [int(number) for (number,) in db.execute(PAGES_OF, (table,))]
    db.close()
    with path.open("r+b") as file:
        for number in numbers[pages]:
            file.seek(PAGE_BYTES * number - len(rubbish))
            file.write(rubbish)
    return rooms


PAGES_OF = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"


@pytest.mark.parametrize("rubbish", [b"\xfe" * PAGE_BYTES, bytes(PAGE_BYTES)], ids=["noise", "0"])
async def test_a_damaged_page_of_messages_is_named_and_other_rooms_go_on(
    path: Path, rubbish: bytes
):
    broken, whole = await damaged(path, "messages", slice(1, 2), rubbish, LONG, LONG, LONG)
    store = open_store(path)
    await store.open()

    with pytest.raises(StoreUnavailable, match="is damaged") as refused:
        await store.read(broken, after=0)
    await store.act(whole, says("more"))

    assert "room-mcp restore FILE" in refused.value.advice
    assert await contents(store, whole) == [LONG, LONG, LONG, "more"]
    await store.aclose()


async def test_a_text_that_was_never_stored_so_is_not_shown(path: Path):
    broken, _ = await damaged(path, "messages", slice(0), b"", "unmistakable")
    path.write_bytes(path.read_bytes().replace(b'"unmistakable"', b"\xfe" * 14))
    store = open_store(path)
    await store.open()

    with pytest.raises(StoreUnavailable, match="is damaged"):
        await store.read(broken, after=0)

    await store.aclose()


async def test_a_damaged_room_is_not_written_to(path: Path):
    broken, _ = await damaged(path, "rooms", slice(0, 1), b"\xfe" * 2_000, "text")
    store = open_store(path)
    await store.open()

    with pytest.raises(StoreUnavailable, match="is damaged"):
        await store.act(broken, says("lost"))

    await store.aclose()


async def test_words_that_are_damaged_stop_no_reader(path: Path):
    room_id, _ = await damaged(path, "words_data", slice(None), b"\xfe" * PAGE_BYTES, "one", "two")
    store = open_store(path)
    await store.open()

    with pytest.raises(StoreUnavailable, match="is damaged"):
        await store.search("one", room_ids=[room_id])
    with pytest.raises(StoreUnavailable, match="is damaged"):
        await store.act(room_id, says("lost"))

    assert await contents(store, room_id) == ["one", "two"]
    await store.aclose()


async def test_rubbish_over_a_file_in_use_is_told_and_ends_nothing(store: Store, path: Path):
    room_id = await new_room(store, LONG, LONG)
    for file in (path, path.with_name(path.name + "-wal")):
        with file.open("r+b") as opened:
            opened.write(b"\xfe" * file.stat().st_size)
    another = open_store(path)

    with pytest.raises(StoreUnavailable):
        await another.open()
    with pytest.raises(StoreUnavailable):
        await store.read(room_id, after=0, limit=500)
    with pytest.raises(StoreUnavailable):
        await store.read(room_id, after=0, limit=500)
