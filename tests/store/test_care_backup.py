"""A backup holds all that was acknowledged before it began, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import anyio
import pytest
from damaging import damage, smudge
from failing_disk import failing_disk
from store_talk import NOON, contents, new_room, says

from room_mcp.store.interface import StoreError, StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.backup import back_up, contents_of
from room_mcp.store.sqlite.care.check import check


def made(path: Path, *texts: str) -> str:
    """A closed store with one room; the room's id."""

    async def make() -> str:
        store = open_store(path)
        await store.open()
        room_id = await new_room(store, *texts)
        await store.aclose()
        return room_id

    return anyio.run(make)


async def texts_in(path: Path, room_id: str) -> list[str]:
    store = open_store(path)
    await store.open()
    found = await contents(store, room_id)
    await store.aclose()
    return found


def test_a_backup_is_one_file_for_its_owner_alone(path: Path, tmp_path: Path):
    made(path, "hello")
    folder = tmp_path / "backups"
    folder.mkdir()

    told = back_up(path, folder / "one.db", at=NOON)

    assert [file.name for file in folder.iterdir()] == ["one.db"]
    assert (folder / "one.db").stat().st_mode & 0o777 == 0o600
    assert told == contents_of(folder / "one.db")
    assert (told.rooms, told.messages, told.at) == (1, 1, NOON)
    assert told.size_bytes == (folder / "one.db").stat().st_size
    assert list(check(folder / "one.db", files=False)) == []
    assert [file.name for file in folder.iterdir()] == ["one.db"]


def test_a_backup_can_be_used_as_a_store(path: Path, tmp_path: Path):
    room_id = made(path, "hello", "world")

    back_up(path, tmp_path / "copy.db")

    assert anyio.run(texts_in, tmp_path / "copy.db", room_id) == ["hello", "world"]


@pytest.mark.anyio
async def test_what_was_acknowledged_before_is_in_a_backup_made_under_load(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.sqlite.care.places.COPIED_PAGES", 1)
    store = open_store(path)
    await store.open()
    room_id = await new_room(store)
    acknowledged: list[str] = []
    later = asyncio.Event()
    begun, go_on = threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def post() -> None:
        while not later.is_set() or len(acknowledged) < 60:
            text = f"text {len(acknowledged)}"
            await store.act(room_id, says(text))
            acknowledged.append(text)
            if len(acknowledged) == 30:
                later.set()

    def between_pages(done: int, total: int) -> None:
        # Holds the copy up after its first page, until more was written.
        if not begun.is_set():
            begun.set()
            assert go_on.wait(20)

    with anyio.fail_after(30):
        posting = asyncio.create_task(post())
        await later.wait()
        before = len(acknowledged)
        backing_up = loop.run_in_executor(
            None, lambda: back_up(path, tmp_path / "copy.db", progress=between_pages)
        )
        await loop.run_in_executor(None, begun.wait, 20)
        at_begin = len(acknowledged)
        await posting
        await store.act(room_id, says("after it began"))
        go_on.set()
        told = await backing_up
    await store.aclose()

    kept = await texts_in(tmp_path / "copy.db", room_id)
    assert acknowledged[:before] == kept[:before]
    assert kept == acknowledged[: len(kept)]  # one moment, without gaps
    assert told.messages == len(kept) <= at_begin + 1  # one may be stored and not told yet


@pytest.mark.anyio
async def test_the_copy_of_a_store_written_at_full_speed_ends(path: Path, tmp_path: Path):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "hello")
    done = asyncio.Event()

    async def post() -> int:
        count = 0
        while not done.is_set():
            await store.act(room_id, says(f"more {count}"))
            count += 1
        return count

    with anyio.fail_after(30):
        posting = [asyncio.create_task(post()) for _ in range(4)]
        for number in range(3):
            await asyncio.to_thread(back_up, path, tmp_path / f"{number}.db")
        done.set()
        posted = sum([await one for one in posting])
    await store.aclose()

    assert posted > 0
    assert contents_of(tmp_path / "0.db").messages <= contents_of(tmp_path / "2.db").messages


def test_a_file_is_replaced_only_when_that_is_meant(path: Path, tmp_path: Path):
    made(path, "hello")
    file = tmp_path / "mine.txt"
    file.write_text("dear diary")

    with pytest.raises(StoreUnavailable, match="--force"):
        back_up(path, file)

    assert file.read_text() == "dear diary"
    assert back_up(path, file, force=True) == contents_of(file)


@pytest.mark.parametrize("name", ["rooms.db", "rooms.db-wal", "rooms.db.lock"])
def test_the_files_of_the_store_are_no_place_for_it(path: Path, tmp_path: Path, name: str):
    room_id = made(path, "hello")

    with pytest.raises(StoreUnavailable, match="belongs to the store itself"):
        back_up(path, tmp_path / name, force=True)

    assert anyio.run(texts_in, path, room_id) == ["hello"]


def test_a_place_beside_which_a_wal_lies_is_refused(path: Path, tmp_path: Path):
    made(path, "hello")
    (tmp_path / "other.db-wal").write_bytes(b"of another database")

    with pytest.raises(StoreUnavailable, match="in use"):
        back_up(path, tmp_path / "other.db", force=True)


@pytest.mark.parametrize("place", ["missing/one.db", "folder"])
def test_a_place_that_is_none_is_refused(path: Path, tmp_path: Path, place: str):
    made(path, "hello")
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreUnavailable, match="folder"):
        back_up(path, tmp_path / place)


def test_looking_for_a_store_makes_none(tmp_path: Path):
    with pytest.raises(StoreUnavailable, match="There is no store"):
        back_up(tmp_path / "rooms.db", tmp_path / "copy.db")

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_never_takes_the_place_of_a_good_backup(path: Path, tmp_path: Path):
    made(path, "one", "two", "three")
    back_up(path, tmp_path / "copy.db")
    good = (tmp_path / "copy.db").read_bytes()
    damage(path, "DELETE FROM messages WHERE key & 0xff = 2")

    with pytest.raises(StoreError, match="should have 3 messages and has 2"):
        back_up(path, tmp_path / "copy.db", force=True)

    assert (tmp_path / "copy.db").read_bytes() == good
    assert not list(tmp_path.glob(".copy*"))


def test_a_smudged_store_is_not_backed_up(path: Path, tmp_path: Path):
    made(path, "one")
    smudge(path, "messages")

    with pytest.raises(StoreError, match="damaged"):
        back_up(path, tmp_path / "copy.db")

    assert not list(tmp_path.glob("*copy*"))


def little_space(folder: Path) -> int:
    return 100_000


def test_a_target_without_space_is_named_before_anything_is_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(path, "hello")
    (tmp_path / "target").mkdir()
    monkeypatch.setattr("room_mcp.store.sqlite.care.places.free_bytes", little_space)

    with pytest.raises(StoreUnavailable, match="bytes free") as refused:
        back_up(path, tmp_path / "target" / "copy.db")

    assert f"The disk with {tmp_path / 'target'} has 100,000" in refused.value.detail
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("trouble", ["full", "read-only", "sync"])
@pytest.mark.parametrize("writes", [0, 3, 60])
def test_a_target_that_fails_is_blamed_and_not_the_store(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, writes: int
):
    made(path, *("hello " * 1_000 for _ in range(20)))
    file = tmp_path / "target" / "copy.db"
    file.parent.mkdir()
    with failing_disk() as disk:
        disk.fail_after(writes, trouble)

        with pytest.raises(StoreUnavailable) as refused:
            back_up(path, file)

    assert str(file) in refused.value.detail
    assert str(path) not in refused.value.detail
    assert refused.value.advice
    assert list(file.parent.iterdir()) == []


def test_the_backup_of_a_raw_copy_leaves_nothing_beside_it(path: Path, tmp_path: Path):
    made(path, "hello")
    (tmp_path / "raw").mkdir()
    raw = Path(shutil.copyfile(path, tmp_path / "raw" / "raw.db"))

    told = back_up(raw, tmp_path / "copy.db")

    assert told.rooms == 1
    assert list(raw.parent.iterdir()) == [raw]


def test_the_database_of_another_program_is_no_store_and_no_backup(path: Path, tmp_path: Path):
    tables = ("meta (name, value)", "rooms (a)", "messages (b)")
    damage(tmp_path / "other.db", *(f"CREATE TABLE {one}" for one in tables))

    with pytest.raises(StoreUnavailable, match="not a room-mcp store") as refused:
        back_up(tmp_path / "other.db", tmp_path / "copy.db")
    with pytest.raises(StoreUnavailable, match="not a room-mcp store"):
        contents_of(tmp_path / "other.db")

    assert refused.value.advice
