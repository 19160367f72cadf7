"""Files as care needs them: written beside their place, safe on the disk, and then moved there."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import apsw

from ...interface import StoreBusy, StoreUnavailable
from ..connection import Database, connect_reader, connect_writer
from ..file_lock import FileLock
from ..schema import lock_beside
from ..strays import has_strays, set_strays_aside

LOCK_PATIENCE_S = (
    30.0  # a write transaction takes milliseconds, a checkpoint of a slow disk seconds
)
LOCK_POLL_S = 0.02
EMPTYING_MS = 500  # for those who read; writers wait meanwhile
COPIED_PAGES = 2_048  # at a time, 8 MiB: often enough to show how far it is
SIDE_FILES = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database
SLACK_BYTES = 1024 * 1024  # for journals of a few pages, folders, and the others on the disk
FORMATS = slice(18, 20)  # the bytes of a database's header that say how it is written and read
WAL_FORMAT = b"\x02\x02"

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def silent(done: int, total: int) -> None:
    """For whom nobody waits."""


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def must_exist(path: Path) -> None:
    """Raises StoreUnavailable when there is no such store: looking must not make one."""
    if not path.exists():
        raise StoreUnavailable(
            f"There is no store at {path}.",
            advice="Name another file (ROOM_MCP_STORE, --store); the first room makes it.",
        )


@contextmanager
def workplace(path: Path) -> Generator[Path]:
    """A folder beside a file, for its owner alone; it goes with everything that is left in it."""
    try:
        folder = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StoreUnavailable(
            f"Nothing can be written to {path.parent}: {error.strerror}.",
            advice="Name another folder, or check its permissions.",
        ) from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reading(path: Path) -> Generator[Database]:
    """A connection that sees the store as it is at one moment, however long it looks.

    Nothing is left beside a file that had nothing beside it.
    """
    if has_strays(path):
        with locked(path):
            pass  # they are set aside by now: nobody reads them into this database
    before = _traces(path)
    is_unused = _is_unused(path)
    try:
        db = _unused(path) if is_unused else connect_reader(path)
    except apsw.CantOpenError:
        real = path.resolve()
        if beside(real, "-wal").exists() and not _may_write(real.parent):
            raise _unreadable_wal(path) from None
        raise
    try:
        db.run("BEGIN")
        db.rows("SELECT 1 FROM sqlite_schema LIMIT 1")  # the moment is that of the first look
        yield db
    finally:
        db.close()
    if is_unused and _traces(path) != before:
        raise StoreBusy(
            f"Somebody began to use {path} while it was read.",
            advice="Try again.",
        )


def _is_unused(path: Path) -> bool:
    """A lone file that is kept as one with a WAL, such as a raw copy; or on a disk to be read only.

    SQLite would put a WAL beside it, and could not where nothing can be written.
    """
    real = path.resolve()  # SQLite keeps the WAL beside the file itself, not beside a link
    if size_bytes((beside(real, "-wal"),)):
        return False
    try:
        with real.open("rb") as file:
            formats = file.read(FORMATS.stop)[FORMATS]
    except OSError:
        return False  # SQLite says why
    is_store = any(beside(one, ".lock").exists() for one in (path, real))
    return formats == WAL_FORMAT and not (is_store and _may_write(real.parent))


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _traces(path: Path) -> list[tuple[int, int]]:
    """What changes when somebody writes to a database."""
    real = path.resolve()
    found = [file.stat() for file in (real, beside(real, "-wal")) if file.exists()]
    return [(one.st_size, one.st_mtime_ns) for one in found]


def _unused(path: Path) -> Database:
    """A reader that takes no locks, and puts nothing beside the file."""
    return Database(
        f"file:{quote(str(path.absolute()))}?immutable=1",
        apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
    )


def _unreadable_wal(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} lies where nothing can be written, and SQLite cannot read its newest messages "
        "there.",
        advice=f"Copy {path.name} and {path.name}-wal together to a folder of yours, and name the "
        "copy.",
    )


def copy(source: Database, to: Path, progress: Progress = silent) -> None:
    """Write what a connection sees into a new file: one file, for its owner alone.

    Writers go on meanwhile: the copy is that of one moment, and is never begun anew.
    """
    os.close(os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    target = Database(to, apsw.SQLITE_OPEN_READWRITE)
    try:
        # If it fails, the file goes: nothing has to be rolled back, and `settle` syncs it.
        target.pragma("journal_mode", "OFF")
        target.pragma("synchronous", "OFF")
        target.copy_from(source, pages=COPIED_PAGES, copied=progress)
        # Else whoever opens the copy would put a WAL beside it.
        target.pragma("journal_mode", "DELETE")
    finally:
        target.close()


def settle(file: Path, at: Path) -> None:
    """Move a finished file to its place, safe from a power cut."""
    sync(file)
    file.replace(at)
    sync(at.parent)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Generator[float]:
    """Hold the lock that writers queue for; the time since when, on the monotonic clock.

    Raises:
        StoreBusy: Somebody else does not let go of it.
    """
    lock = lock_beside(path)
    try:
        _acquire(lock, path)
        try:
            set_strays_aside(path, lock)
            yield time.monotonic()
        finally:
            lock.release()
    finally:
        lock.close()


def _acquire(lock: FileLock, path: Path) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            raise StoreBusy(
                f"Another process holds the lock of {path}.",
                advice="`room-mcp doctor` says which one; end it, or let it go on.",
            )
        time.sleep(LOCK_POLL_S)


def put_in_place(file: Path, path: Path) -> bool:
    """Make a store what a file holds, in one transaction that all processes see; the caller holds
    the file lock.

    Returns:
        Whether the WAL could be emptied after it: nobody reads what was there before.
    """
    source = Database(file, apsw.SQLITE_OPEN_READONLY)
    try:
        live = connect_writer(path)
        try:
            live.copy_from(source)
            live.pragma("journal_mode", "WAL")
            return empty_wal(live)
        finally:
            live.close()
    finally:
        source.close()


def empty_wal(live: Database) -> bool:
    """Copy the WAL into the database and cut it off; False: readers are in the way."""
    live.wait_for_locks(EMPTYING_MS)
    try:
        live.checkpoint(emptying=True)
    except apsw.BusyError:
        return False
    return True


def must_have_space(folder: Path, needed_bytes: int) -> None:
    """Raises StoreUnavailable unless the disk with the folder has that much, and some more."""
    needed_bytes += SLACK_BYTES
    free = free_bytes(folder)
    if free < needed_bytes:
        raise StoreUnavailable(
            f"The disk with {folder} has {free:,} bytes free, and this needs {needed_bytes:,}.",
            advice="Free some space there first.",
        )


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def size_bytes(paths: Iterable[Path]) -> int:
    """Of those that exist."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
