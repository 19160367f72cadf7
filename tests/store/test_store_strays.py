"""The WAL of a file that was moved away: it gets into no other file, and is not lost."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import apsw
import pytest
from store_talk import contents, new_room, says

from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.check import check
from room_mcp.store.sqlite.care.restore import restore
from room_mcp.store.sqlite.care.vacuum import vacuum

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent

Care = Callable[[Path], object]


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def left(path: Path) -> list[Path]:
    return list(path.parent.glob("rooms.db.left-wal-*"))


def faults(path: Path) -> list[str]:
    return [one.detail for one in check(path, files=False)]


async def killed_while_posting(path: Path, room_id: str) -> set[str]:
    """What a process was told is stored; the WAL alone has it."""
    command = (sys.executable, str(HERE / "poster.py"), str(path), room_id, "p", "1000")
    poster = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert poster.stdout is not None
    with anyio.fail_after(60):
        said = [(await poster.stdout.readline()).decode() for _ in range(20)]
        poster.kill()
        await poster.communicate()
    return {line.split(" ", 1)[1].rstrip("\n") for line in said}


@pytest.fixture
async def room_id(path: Path) -> str:
    """The room of a closed store; its backup `rooms.db.backup` is older by a message."""
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "one")
    back_up(path, beside(path, ".backup"))
    await store.act(room_id, says("two"))
    await store.aclose()
    return room_id


async def seen(path: Path, room_id: str) -> list[str]:
    store = open_store(path)
    await store.open()
    found = await contents(store, room_id)
    await store.aclose()
    return found


async def test_the_wal_of_a_killed_process_gets_into_no_other_file(path: Path, room_id: str):
    await killed_while_posting(path, room_id)
    beside(path, ".backup").replace(path)

    assert await seen(path, room_id) == ["one"]
    assert faults(path) == []


async def test_nor_into_a_new_file_after_the_old_one_was_deleted(path: Path, room_id: str):
    await killed_while_posting(path, room_id)
    path.unlink()

    store = open_store(path)
    await store.open()

    assert await store.directory() == []
    assert len(left(path)) == 1
    await store.aclose()


CARE: dict[str, Care] = {
    "backup": lambda path: back_up(path, beside(path, ".again")),
    "check": lambda path: list(check(path)),
    "restore": lambda path: restore(path, beside(path, ".second")),
    "vacuum": vacuum,
}


@pytest.mark.parametrize("care", CARE.values(), ids=CARE)
async def test_whoever_looks_after_a_file_takes_no_wal_of_another(
    path: Path, room_id: str, care: Care
):
    back_up(beside(path, ".backup"), beside(path, ".second"))
    await killed_while_posting(path, room_id)
    beside(path, ".backup").replace(path)

    care(path)

    assert await seen(path, room_id) == ["one"]
    assert faults(path) == []


async def test_a_backup_is_that_of_the_file_that_was_put_there(path: Path, room_id: str):
    await killed_while_posting(path, room_id)
    beside(path, ".backup").replace(path)

    back_up(path, beside(path, ".again"))

    assert await seen(beside(path, ".again"), room_id) == ["one"]


async def test_the_wal_that_is_set_aside_still_makes_the_old_file_whole(
    path: Path, room_id: str, tmp_path: Path
):
    old = tmp_path / "old" / "rooms.db"
    old.parent.mkdir()
    told = await killed_while_posting(path, room_id)
    path.rename(old)
    beside(path, ".backup").rename(path)
    await seen(path, room_id)

    (wal,) = left(path)
    wal.rename(beside(old, "-wal"))

    assert told < set(await seen(old, room_id))
    assert faults(old) == []


async def test_a_second_wal_does_not_take_the_place_of_the_first(
    path: Path, room_id: str, monkeypatch: pytest.MonkeyPatch
):
    now = time.gmtime()
    monkeypatch.setattr(time, "gmtime", lambda *_: now)
    back_up(beside(path, ".backup"), beside(path, ".second"))
    for backup in (".backup", ".second"):
        await killed_while_posting(path, room_id)
        beside(path, backup).replace(path)
        await seen(path, room_id)

    assert len(left(path)) == 2
    assert await seen(path, room_id) == ["one"]


async def test_a_process_that_lives_saves_its_messages_into_the_old_file(
    store: Store, path: Path, tmp_path: Path
):
    room_id = await new_room(store, "one")
    back_up(path, beside(path, ".backup"))
    await store.act(room_id, says("two"))
    old = tmp_path / "old" / "rooms.db"
    old.parent.mkdir()
    path.rename(old)
    beside(path, ".backup").rename(path)

    assert await seen(path, room_id) == ["one"]
    await store.act(room_id, says("another two"))

    assert await contents(store, room_id) == ["one", "another two"]
    assert await seen(path, room_id) == ["one", "another two"]
    assert await seen(old, room_id) == ["one", "two"]
    assert faults(path) == faults(old) == left(path) == []


async def test_a_process_that_closes_saves_them_as_well(path: Path, tmp_path: Path, room_id: str):
    store = open_store(path)
    await store.open()
    await store.act(room_id, says("three"))
    old = tmp_path / "old" / "rooms.db"
    old.parent.mkdir()
    path.rename(old)
    beside(path, ".backup").rename(path)
    assert await seen(path, room_id) == ["one"]

    await store.aclose()

    assert await seen(old, room_id) == ["one", "two", "three"]
    assert left(path) == []


async def test_what_readers_keep_from_being_saved_is_set_aside(store: Store, path: Path):
    room_id = await new_room(store, "one")
    back_up(path, beside(path, ".backup"))
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchall()
    await store.act(room_id, says("two"))
    beside(path, ".backup").replace(path)

    assert await contents(store, room_id) == ["one"]

    assert len(left(path)) == 1
    reader.close()


async def test_a_file_that_came_with_its_own_wal_keeps_it(path: Path, room_id: str, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere" / "rooms.db"
    elsewhere.parent.mkdir()
    beside(path, ".backup").replace(elsewhere)
    told = await killed_while_posting(elsewhere, room_id)
    for suffix in ("-wal", "-shm", ""):
        beside(elsewhere, suffix).replace(beside(path, suffix))

    assert told < set(await seen(path, room_id))
    assert left(path) == []


async def test_what_was_noted_of_the_old_file_is_forgotten_with_its_wal(path: Path, room_id: str):
    await killed_while_posting(path, room_id)
    beside(path, ".backup").replace(path)

    list(check(path))

    # The system may give a new WAL the number of the old one, which must not make it a stray.
    assert beside(path, ".lock").read_bytes() == b""
