"""Files of earlier versions are migrated once, wholly or not at all, and read the same after it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from earlier_files import connected, file_of, meta_of, schema_of, take_back
from ending_disk import STEP, full_after
from peers import HERE, Process, environment

from room_mcp import compose
from room_mcp.client import RoomsClient
from room_mcp.settings import Settings
from room_mcp.store.interface import StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite import migrating
from room_mcp.store.sqlite.file_lock import FileLock

pytestmark = pytest.mark.anyio

NEWEST = max(migrating.scripts())
WITH_CHAINS = 3  # the first version that keeps all that a room of today is

OLD = 3  # both kinds of migrations are to come

Kept = tuple[Any, dict[str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


async def migrate(path: Path) -> None:
    store = open_store(path)
    await store.open()
    await store.aclose()


@asynccontextmanager
async def rooms_in(path: Path) -> AsyncIterator[RoomsClient]:
    settings = Settings(home=path.parent / "home", store=str(path), secrets="off")
    async with compose.open_client(settings) as client:
        yield client


def state_of(path: Path) -> Kept:
    """What a version is told by: all that is in the file, and the numbers of the migrations."""
    meta = meta_of(path)
    return schema_of(path), {name: meta[name] for name in ("schema", "expanded") if name in meta}


# ---- fresh equals migrated ----------------------------------------------------------------------


@pytest.mark.parametrize("version", range(NEWEST + 1))
async def test_a_new_file_equals_one_of_any_version_that_was_migrated(path: Path, version: int):
    fresh = path.with_name("fresh.db")
    await migrate(fresh)
    file_of(path, version)

    await migrate(path)

    assert state_of(path) == state_of(fresh)
    assert meta_of(path).keys() == meta_of(fresh).keys()
    assert meta_of(path)["epoch"] == "cafecafe"


async def everything(client: RoomsClient) -> list[Any]:
    """All that a client can read without a mark."""
    rooms = await client.rooms()
    told: list[Any] = [rooms]
    for room in rooms.rooms:
        told += [await client.info(room.id), await client.messages(room.id, after=0)]
    told += [await client.rooms(member="bob"), await client.search("walrus"), await client.audit()]
    return [one.model_dump(mode="json") for one in told]


@pytest.mark.parametrize("version", range(WITH_CHAINS, NEWEST + 1))
async def test_rooms_read_the_same_after_their_file_was_migrated(path: Path, version: int):
    async with rooms_in(path) as client:
        plain = (await client.create_room("plain", purpose="a walrus")).id
        for number in range(3):
            await client.post(plain, "сlaude", f"walrus {number}", idempotency_key=f"k{number}")
        await client.join(plain, "bob", protect=True)
        await client.messages(plain, after=0, reader="bob", ack=2)
        chained = (await client.create_room("chained", chain=True, template="code-review")).id
        await client.join(chained, "ann", role="author")
        await client.join(chained, "bob", role="reviewer")
        await client.post(chained, "ann", {"what": "a walrus"}, type="question", to=["bob"])
        await client.close_room(chained, sender="ann", conclusion="done", human=True)
        before = await everything(client)
    take_back(path, version)

    async with rooms_in(path) as client:
        after = await everything(client)
        replayed = await client.post(plain, "claude", "walrus 1", idempotency_key="k1")
        next_one = await client.post(plain, "dan", "more")

    assert after == before
    assert (replayed.seq, replayed.idempotent, next_one.seq) == (2, True, 4)


# ---- once, and all or none ----------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_that_open_an_old_file_at_once_migrate_it_once(path: Path, processes: int):
    file_of(path, 1)
    lock = FileLock(path.with_name("rooms.db.lock"))
    lock.acquire()
    openers = Process(
        str(HERE / "opening_peers.py"),
        str(path),
        str(processes),
        env=environment(None, path.parent),
    )
    assert [openers.line() for _ in range(processes)] == ["opening"] * processes

    lock.release()

    assert [openers.line() for _ in range(processes)] == ["cafecafe"] * processes
    assert openers.end() == 0
    lock.close()


async def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_version(path: Path):
    file_of(path, OLD)
    before = state_of(path)
    is_old: list[bool] = []
    for writes in count(step=STEP):
        copy = path.with_name(f"{writes}.db")
        shutil.copy(path, copy)

        with full_after(writes) as disk, suppress(StoreUnavailable):
            await migrate(copy)
        if not disk.has_ended:
            break
        is_old.append(state_of(copy) == before)
        await migrate(copy)
        assert state_of(copy)[1]["expanded"] == str(NEWEST)

    assert is_old == sorted(is_old, reverse=True)
    assert set(is_old) == {True, False}


async def test_a_process_that_is_killed_in_the_middle_leaves_the_old_version(path: Path):
    file_of(path, OLD)
    before = state_of(path)
    await migrate(fresh := path.with_name("fresh.db"))
    whole = state_of(fresh)

    killed = Process(str(HERE / "ending_disk.py"), str(path), env=environment(None, path.parent))
    ends = [line.split() for line in iter(killed.line, "")]

    copies = [Path(copy) for copy, _ in ends]
    left = [state_of(copy) for copy in copies]
    for copy in copies:
        await migrate(copy)
    assert killed.end() == 0
    assert [int(code) for _, code in ends] == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    assert all(one in (before, whole) for one in left)
    assert before in left
    assert all(state_of(copy) == whole for copy in copies)


async def test_a_script_that_fails_undoes_those_before_it(path: Path):
    file_of(path, 1)
    db = connected(path)
    db.execute("ALTER TABLE rooms ADD COLUMN archived_at INTEGER")  # so that 0005 cannot
    db.close()
    before = state_of(path)

    with pytest.raises(StoreUnavailable, match="archived_at"):
        await migrate(path)

    assert state_of(path) == before


# ---- what is newer than this version ------------------------------------------------------------


async def test_a_file_that_a_newer_version_expanded_is_used_and_left_so(path: Path):
    file_of(path, NEWEST)
    db = connected(path)
    db.execute("ALTER TABLE rooms ADD COLUMN later TEXT NOT NULL DEFAULT 'x'")
    db.execute("CREATE TABLE later (room_no INTEGER PRIMARY KEY)")
    db.execute("UPDATE meta SET value = '99' WHERE name = 'expanded'")
    db.close()
    before = state_of(path)

    async with rooms_in(path) as client:
        room_id = (await client.create_room("later")).id
        await client.post(room_id, "ann", "hello")

    assert state_of(path) == before


async def test_a_newer_major_version_of_the_file_is_refused(path: Path):
    file_of(path, NEWEST)
    db = connected(path)
    newer = migrating.LAST_BREAKING + 1
    db.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (newer,))
    db.close()

    with pytest.raises(StoreUnavailable, match=f"schema {newer}.*Upgrade room-mcp"):
        await migrate(path)
