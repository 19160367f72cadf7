"""Files that are deleted or replaced while they are in use: nobody is told of what is not kept."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import anyio
import apsw
import pytest
from store_talk import contents, key, new_room, says

from room_mcp.rooms import Past, Room, Step
from room_mcp.rooms.refusals import RoomNotFound
from room_mcp.store.interface import OutcomeUnknown, Store, StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.file_lock import FileLock

pytestmark = pytest.mark.anyio


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


async def copied(path: Path, to: Path, *texts: str) -> str:
    """Another store with one room, whole in its one file; the room's id."""
    store = open_store(to)
    await store.open()
    room_id = await new_room(store, *texts)
    await store.aclose()
    beside(to, "-wal").unlink()
    beside(to, "-shm").unlink()
    return room_id


# ---- deleted ------------------------------------------------------------------------------------


async def test_nothing_is_stored_in_a_file_that_was_deleted(store: Store, path: Path):
    room_id = await new_room(store, "before")
    path.unlink()

    with pytest.raises(StoreUnavailable, match=r"was deleted .* nothing is stored") as refused:
        await store.act(room_id, says("lost"))

    assert "room-mcp restore FILE" in refused.value.advice
    assert not path.exists()


async def test_of_an_act_in_whose_moment_the_file_goes_nobody_knows_the_outcome(
    store: Store, path: Path
):
    room_id = await new_room(store)

    def decide(room: Room, past: Past) -> Step:
        path.unlink()
        return says("perhaps")(room, past)

    with pytest.raises(OutcomeUnknown, match="in this moment"):
        await store.act(room_id, decide, key=key())


async def test_a_deleted_file_is_read_on_by_whoever_has_it_open(store: Store, path: Path):
    room_id = await new_room(store, "before")
    path.unlink()

    assert await contents(store, room_id) == ["before"]
    assert [one.room.id for one in await store.directory()] == [room_id]
    assert [hit.message.seq for hit in await store.search("before", room_ids=[room_id])] == [1]
    assert not path.exists()


async def test_a_file_that_comes_back_is_used_on_without_a_restart(store: Store, path: Path):
    room_id = await new_room(store, "before")
    path.rename(beside(path, ".away"))
    with pytest.raises(StoreUnavailable):
        await store.act(room_id, says("during"), key=key())
    beside(path, ".away").rename(path)

    await store.act(room_id, says("during"), key=key())

    assert await contents(store, room_id) == ["before", "during"]


async def test_whoever_waits_is_woken_by_what_is_posted_after_a_file_came_back(
    store: Store, path: Path
):
    room_id = await new_room(store)
    await copied(path, beside(path, ".new"))

    with anyio.fail_after(30):
        async with store.watch([room_id]) as watch:
            beside(path, ".new").replace(path)
            assert await watch.wait(25)

    with pytest.raises(RoomNotFound):
        await store.read(room_id, after=0)


# ---- replaced -----------------------------------------------------------------------------------


async def test_a_file_that_was_put_in_its_place_is_read(store: Store, path: Path):
    before = await new_room(store, "old one")
    epoch = store.epoch
    after = await copied(path, beside(path, ".new"), "new one")
    beside(path, ".new").replace(path)

    assert await contents(store, after) == ["new one"]
    assert store.epoch != epoch
    with pytest.raises(RoomNotFound):
        await store.room(before)


async def test_a_post_goes_into_the_file_that_was_put_in_its_place(
    store: Store, other: Store, path: Path
):
    await new_room(store, "old one")
    after = await copied(path, beside(path, ".new"), "new one")
    beside(path, ".new").replace(path)

    done = await store.act(after, says("new two"))

    assert done.messages[0].seq == 2
    assert await contents(store, after) == ["new one", "new two"]
    assert await contents(other, after) == ["new one", "new two"]


async def test_an_older_copy_is_not_mixed_with_what_was_stored_since(store: Store, path: Path):
    room_id = await new_room(store, "one")
    saved(path, beside(path, ".backup"))
    await store.act(room_id, says("two"))
    beside(path, ".backup").replace(path)

    done = await store.act(room_id, says("another two"))

    assert done.messages[0].seq == 2
    assert await contents(store, room_id) == ["one", "another two"]
    assert sound(path)


async def test_the_old_file_is_whole_where_it_was_moved(store: Store, path: Path, tmp_path: Path):
    room_id = await new_room(store, "one", "two")
    after = await copied(path, beside(path, ".new"))
    old = tmp_path / "old" / "rooms.db"
    old.parent.mkdir()
    path.rename(old)
    beside(path, ".new").rename(path)
    await store.room(after)

    moved = open_store(old)
    await moved.open()
    assert await contents(moved, room_id) == ["one", "two"]
    await moved.aclose()


async def test_a_file_that_is_no_store_is_refused_until_a_store_is_there(store: Store, path: Path):
    room_id = await new_room(store, "before")
    path.rename(beside(path, ".away"))
    path.write_bytes(b"no database" * 1_000)

    with pytest.raises(StoreUnavailable, match="is not a database"):
        await store.act(room_id, says("lost"))
    with pytest.raises(StoreUnavailable, match="room-mcp restore FILE"):
        await store.read(room_id, after=0)

    path.unlink()
    beside(path, ".away").rename(path)
    assert await contents(store, room_id) == ["before"]


# ---- the files beside it ------------------------------------------------------------------------


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm")], ids="".join)
async def test_nothing_is_lost_with_a_wal_that_was_deleted(
    store: Store, path: Path, suffixes: tuple[str, ...]
):
    room_id = await new_room(store, "one")
    await contents(store, room_id)
    for suffix in suffixes:
        beside(path, suffix).unlink()

    done = await store.act(room_id, says("two"))

    assert done.messages[0].seq == 2
    assert await contents(store, room_id) == ["one", "two"]
    assert await seen_by_another_process(path, room_id) == ["one", "two"]
    assert sound(path)


async def test_a_lock_that_was_deleted_is_made_again_for_all(tmp_path: Path):
    first = FileLock(tmp_path / "lock")
    (tmp_path / "lock").unlink()
    second = FileLock(tmp_path / "lock")

    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.close()
    first.close()


async def test_a_folder_that_was_deleted_is_said_to_be_gone(tmp_path: Path):
    store = open_store(tmp_path / "gone" / "rooms.db")
    await store.open()
    room_id = await new_room(store)
    shutil.rmtree(tmp_path / "gone")

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await store.act(room_id, says("lost"))

    await store.aclose()


def saved(path: Path, to: Path) -> None:
    source, target = apsw.Connection(str(path)), apsw.Connection(str(to))
    with target.backup("main", source, "main") as backup:
        backup.step()
    target.close()
    source.close()


def sound(path: Path) -> bool:
    db = apsw.Connection(str(path))
    found = db.pragma("integrity_check")
    db.close()
    return found == "ok"


async def seen_by_another_process(path: Path, room_id: str) -> list[str]:
    script = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n"
        "for (text,) in db.execute('SELECT content FROM messages ORDER BY key'): print(text)\n"
    )
    ran = await anyio.run_process([sys.executable, "-c", script, str(path)])
    return [line.strip('"') for line in ran.stdout.decode().split()]
