"""Opening a store: what is made, and what is refused with advice."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from store_talk import a_room, contents, new_room, says

from room_mcp.store.interface import Act, Store, StoreUnavailable
from room_mcp.store.opening import file_at, open_store
from room_mcp.store.sqlite import SqliteStore, connection, schema
from room_mcp.store.sqlite.file_lock import FileLock

pytestmark = pytest.mark.anyio

NOBODY = 65534

Mount = Callable[[str, str], Path]


async def refused(path: Path) -> StoreUnavailable:
    store = open_store(path)
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    await store.aclose()
    assert caught.value.advice
    return caught.value


# ---- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("some/rooms.db", "some/rooms.db"),
        (Path("/var/rooms.db"), "/var/rooms.db"),
        ("sqlite:///some/rooms.db", "some/rooms.db"),
        ("sqlite:////var/my%20rooms.db", "/var/my rooms.db"),
        ("~/rooms.db", str(Path.home() / "rooms.db")),
        ("C://rooms.db", "C:/rooms.db"),
    ],
)
def test_a_path_or_sqlite_address_is_a_file(target, path):
    store = open_store(target)

    assert isinstance(store, SqliteStore)
    assert store.path == Path(os.path.realpath(path))


@pytest.mark.parametrize("is_made", [True, False], ids=["a file", "nothing yet"])
async def test_a_link_and_the_file_behind_it_are_one_store(tmp_path: Path, is_made: bool):
    real, link = tmp_path / "real" / "rooms.db", tmp_path / "link.db"
    link.symlink_to(real)
    stores = [open_store(path) for path in ((real, link) if is_made else (link, real))]
    for store in stores:
        await store.open()

    room_id = await new_room(stores[0], "one")
    await stores[1].act(room_id, says("two"))

    assert await contents(stores[0], room_id) == ["one", "two"]
    assert {one.name for one in tmp_path.iterdir()} == {"real", "link.db"}
    assert file_at(link) == real
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("target", ["memory:", "memory://"])
async def test_each_store_in_memory_is_a_place_of_its_own(target: str):
    one, another = open_store(target), open_store(target)
    await one.open()
    await another.open()

    await new_room(one)

    assert len(await one.directory()) == 1
    assert await another.directory() == []
    assert one.epoch != another.epoch


@pytest.mark.parametrize("target", ["redis://host", "sqlite://", "sqlite:///", "sqlite://host/x"])
def test_other_addresses_are_refused(target):
    with pytest.raises(StoreUnavailable, match="sqlite:///"):
        open_store(target)


def test_finding_the_engine_loads_no_driver():
    script = (
        "import sys, room_mcp.store.opening;"
        "sys.exit(bool({'apsw', 'asyncpg'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_fcntl_the_engine_says_that_windows_is_not_supported():
    script = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from room_mcp.store.opening import open_store\n"
        "open_store('rooms.db')"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "StoreUnavailable: The SQLite store is not supported on Windows yet." in ran.stderr


# ---- what is made -------------------------------------------------------------------------------


def test_making_a_store_touches_nothing(tmp_path: Path):
    open_store(tmp_path / "deep" / "rooms.db")

    assert list(tmp_path.iterdir()) == []


async def test_folders_and_files_are_for_their_owner_alone(tmp_path: Path):
    path = tmp_path / "deep" / "deeper" / "rooms.db"
    store = open_store(path)
    await store.open()
    await store.create(a_room())

    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    folders = [one.stat().st_mode & 0o777 for one in (path.parent, path.parent.parent)]
    await store.aclose()

    assert folders == [0o700, 0o700]
    assert set(modes.values()) == {0o600}
    assert set(modes) >= {"rooms.db", "rooms.db.lock", "rooms.db.notify"}


async def test_the_wal_is_taken_over_at_close(path: Path):
    store = open_store(path)
    await store.open()
    await new_room(store, "hello")
    await store.aclose()

    assert path.with_name("rooms.db-wal").stat().st_size == 0


async def test_the_wal_does_not_grow_without_end(store: Store, path: Path):
    room_id = await new_room(store)
    wal = path.with_name("rooms.db-wal")

    for _ in range(40):
        await store.act_all(room_id, [Act(says("x" * 2_000)) for _ in range(200)])

    assert wal.stat().st_size < 16 * 1024 * 1024


# ---- what is refused ----------------------------------------------------------------------------


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")

    error = await refused(tmp_path / "file" / "deep" / "rooms.db")

    assert "cannot be made" in error.detail
    assert str(tmp_path / "file" / "deep") in error.detail


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that we may not write; root gives up his rights, or nothing would stop him."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o700)
    shutil.rmtree(folder)


async def test_a_folder_that_cannot_be_written_is_named(read_only: Path):
    error = await refused(read_only / "rooms.db")

    assert f"The folder {read_only} cannot be written" in error.detail


@pytest.fixture
def notes(path: Path) -> Iterator[Path]:
    """A file of somebody's that must stay as it is."""
    text = "These are my notes. " * 100
    path.write_text(text)
    yield path
    assert path.read_text() == text


async def test_a_file_that_is_no_database_is_left_alone(notes: Path):
    assert "not a room-mcp store" in (await refused(notes)).detail


@pytest.fixture
def folder_there(path: Path) -> Path:
    path.mkdir()
    return path


async def test_a_folder_in_place_of_the_file_is_refused(folder_there: Path):
    assert "cannot be opened" in (await refused(folder_there)).detail


async def test_the_database_of_another_program_is_left_alone(path: Path):
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE notes (text)")
    db.close()

    assert "another program" in (await refused(path)).detail


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE meta (name, value)",
        "CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('schema', 'v2')",
        "CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('schema', NULL)",
        "CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('schema', 4), ('expanded', 'x')",
        "CREATE TABLE meta (key, data)",
    ],
    ids=["empty", "word", "null", "expanded", "columns"],
)
async def test_another_program_may_have_a_table_of_the_same_name(path: Path, script: str):
    db = apsw.Connection(str(path))
    db.execute(script)
    db.close()

    assert "another program" in (await refused(path)).detail

    lock = FileLock(path.with_name("rooms.db.lock"))
    assert lock.try_acquire()
    lock.close()


async def test_an_error_that_nobody_foresaw_is_told_when_opening(path: Path, monkeypatch, caplog):
    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", fails_with(MemoryError("no room")))
        error = await refused(path)
    store = open_store(path)
    await store.open()

    assert "MemoryError: no room" in error.detail
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    await store.aclose()


def fails_with(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


async def test_a_newer_schema_is_refused(path: Path):
    store = open_store(path)
    await store.open()
    await store.aclose()
    db = apsw.Connection(str(path))
    db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.close()

    error = await refused(path)

    assert "newer room-mcp (schema 99" in error.detail
    assert "Upgrade" in error.advice


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Makes a folder, a link to it, and the system believe that it is such a file system."""

    def mount(name: str, kind: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (tmp_path / "link").symlink_to(folder)
        mounts = tmp_path / "mountinfo"
        escaped = name.replace(" ", "\\040")
        mounts.write_text(
            "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
            f"2 1 0:50 / {tmp_path}/{escaped} rw shared:1 - {kind} server:/x rw\n"
        )
        monkeypatch.setattr(schema, "MOUNTS", mounts)
        return folder

    return mount


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs", "lustre", "gpfs"])
async def test_a_network_file_system_is_refused(mounted: Mount, kind: str):
    error = await refused(mounted("a b", kind) / "deep" / "rooms.db")

    assert f"network file system ({kind})" in error.detail
    assert "ROOM_MCP_URL" in error.advice


async def test_a_network_file_system_is_refused_behind_a_link(mounted: Mount):
    link = mounted("away", "nfs4").parent / "link"

    assert "nfs4" in (await refused(link / "rooms.db")).detail


@pytest.mark.parametrize("kind", ["overlay", "fuseblk", "tmpfs", "btrfs"])
async def test_a_local_file_system_is_taken(mounted: Mount, kind: str):
    store = open_store(mounted("here", kind) / "rooms.db")

    await store.open()

    await store.aclose()


async def test_a_folder_beside_a_network_file_system_is_taken(mounted: Mount):
    store = open_store(mounted("away", "nfs4").parent / "away-not" / "rooms.db")

    await store.open()

    await store.aclose()


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch):
    monkeypatch.setattr(connection, "MIN_SQLITE", (99, 0, 0))

    error = await refused(path)

    assert "99.0.0 or newer is needed" in error.detail
    assert "pip install" in error.advice


async def test_after_a_refusal_opening_can_be_tried_again(path: Path, monkeypatch):
    store = open_store(path)
    with monkeypatch.context() as old:
        old.setattr(connection, "MIN_SQLITE", (99, 0, 0))
        with pytest.raises(StoreUnavailable):
            await store.open()

    await store.open()

    assert await store.directory() == []
    await store.aclose()
