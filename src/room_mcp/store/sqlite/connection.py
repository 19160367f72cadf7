"""Connections to the database file, and what SQLite's errors mean to a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import apsw

from ..cache import RoomCache
from ..interface import StoreBusy, StoreError, StoreUnavailable

MIN_SQLITE = (3, 51, 3)  # earlier ones can corrupt a WAL that several processes write and reset
BUSY_MS = 2_000  # only strangers, such as a backup tool, hold SQLite's own locks that long
WAL_KEPT_BYTES = 4 * 1024 * 1024  # what stays of the WAL file after it was emptied
WRITER_CACHE_KIB = 16 * 1024  # idempotency keys are random: their whole index is the working set


SqlValue = str | int | float | bytes | None
Bindings = Sequence[SqlValue] | Mapping[str, SqlValue]


class Database:
    """A connection that fetches everything at once: no open cursor keeps the WAL from ending.

    `cache` holds rooms of this very file: what was put in its place may count alike.
    """

    def __init__(self, path: Path | str, flags: int, cache: RoomCache | None = None) -> None:
        self.cache = cache or RoomCache()
        # Any: the stubs of apsw name a type that Python 3.11 does not have.
        self._connection: Any = apsw.Connection(str(path), flags=flags)
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def run(self, sql: str, bindings: Bindings = ()) -> None:
        self._connection.execute(sql, bindings)

    def rows(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, bindings).fetchall()

    def row(self, sql: str, bindings: Bindings = ()) -> tuple[Any, ...] | None:
        """The only row, or None."""
        found = self.rows(sql, bindings)
        return found[0] if found else None

    def value(self, sql: str, bindings: Bindings = ()) -> Any:
        """The first value of the only row, or None."""
        found = self.row(sql, bindings)
        return None if found is None else found[0]

    def size_bytes(self) -> int:
        """Of all pages, as this connection sees them."""
        return int(self.pragma("page_count")) * int(self.pragma("page_size"))

    def changed_rows(self) -> int:
        """Rows that were written since the connection was opened."""
        return int(self._connection.total_changes())

    def pragma(self, name: str, value: str | int | None = None) -> Any:
        return self._connection.pragma(name, *(() if value is None else (value,)))

    def function(self, name: str, call: Callable[[Any], SqlValue]) -> None:
        """Let SQL call it by this name, with one value."""
        self._connection.create_scalar_function(name, call, 1, deterministic=True)

    def wait_for_locks(self, wait_ms: int) -> None:
        """How long to wait for SQLite's own locks."""
        self._connection.set_busy_timeout(wait_ms)

    def checkpoint(self, *, emptying: bool) -> None:
        """Copy the WAL into the database file; `emptying` waits for readers to let go of it."""
        self._connection.wal_checkpoint(
            mode=apsw.SQLITE_CHECKPOINT_TRUNCATE if emptying else apsw.SQLITE_CHECKPOINT_PASSIVE
        )

    def copy_from(
        self, source: Database, *, pages: int = -1, copied: Callable[[int, int], None] | None = None
    ) -> None:
        """Become a copy of another database, in one transaction.

        Args:
            pages: So many at a time; all at once by default.
            copied: Called after each time with the pages that are done, and all of them.
        """
        with self._connection.backup("main", source._connection, "main") as copying:
            while not copying.done:
                copying.step(pages)
                if copied is not None:
                    copied(copying.page_count - copying.remaining, copying.page_count)

    def on_commit(self, call: Callable[[int], None]) -> None:
        """Call with the pages in the WAL after each commit."""

        def hook(_connection: object, _name: str, pages: int) -> int:
            call(pages)
            return apsw.SQLITE_OK

        self._connection.set_wal_hook(hook)

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        self._connection.close()


def must_be_sound() -> None:
    """Refuse a SQLite library that can lose a shared file."""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < MIN_SQLITE:
        wanted = ".".join(map(str, MIN_SQLITE))
        raise StoreUnavailable(
            f"SQLite {version} can corrupt a file that several processes share; "
            f"{wanted} or newer is needed.",
            advice="Upgrade apsw: pip install --upgrade apsw",
        )


def connect_writer(path: Path) -> Database:
    """The connection that writes; the file must exist."""
    db = _connect(path, apsw.SQLITE_OPEN_READWRITE)
    # Before anything is written: a full commit is on the disk when COMMIT returns.
    db.pragma("synchronous", "FULL")
    db.pragma("fullfsync", 1)  # macOS: fsync alone does not empty the drive's cache
    db.pragma("checkpoint_fullfsync", 1)
    db.pragma("secure_delete", "FAST")  # what was removed from a page is overwritten in it
    db.pragma("journal_size_limit", WAL_KEPT_BYTES)
    db.pragma("cache_size", -WRITER_CACHE_KIB)
    return db


def connect_reader(
    path: Path, cache: RoomCache | None = None, *, wait_ms: int = BUSY_MS
) -> Database:
    """A connection that cannot write, with its files open: it goes on when they are deleted."""
    db = _connect(path, apsw.SQLITE_OPEN_READONLY, cache)
    try:
        db.wait_for_locks(wait_ms)
        db.pragma("query_only", 1)
        db.pragma("data_version")  # SQLite opens the WAL with the first look into the file
    except apsw.Error:
        db.close()
        raise
    return db


def _connect(path: Path, flags: int, cache: RoomCache | None = None) -> Database:
    db = Database(path, flags, cache)
    db.wait_for_locks(BUSY_MS)
    db.pragma("wal_autocheckpoint", 0)  # checkpoints happen under the file lock only
    db.pragma("temp_store", "MEMORY")
    return db


_TROUBLE: tuple[tuple[type[apsw.Error], str, str], ...] = (
    (
        apsw.FullError,
        "The disk with {path} is full; nothing was stored.",
        "Free some space there, then try again: reading goes on meanwhile.",
    ),
    (
        apsw.ReadOnlyError,
        "{path} cannot be written.",
        "Check the permissions of the file and its folder, and whether the disk is read-only.",
    ),
    (
        apsw.NotADBError,
        "{path} is not a room-mcp store: it is not a database.",
        "Put a backup in its place with `room-mcp restore FILE`, or name another file.",
    ),
    (
        apsw.CorruptError,
        "{path} is damaged.",
        "`room-mcp check` says what is wrong; `room-mcp restore FILE` puts a backup in its place. "
        "Rooms that are newer than that, and can be read, `room-mcp export ROOM` saves.",
    ),
    (
        apsw.CantOpenError,
        "{path} cannot be opened.",
        "Check that it is a file and that you may read and write it and its folder.",
    ),
    (
        apsw.PermissionsError,
        "{path} may not be used.",
        "Check the permissions of the file and its folder.",
    ),
    (
        apsw.IOError,
        "The disk with {path} reported an error.",
        "Check the disk, then try again.",
    ),
)


UNREADABLE = (UnicodeDecodeError, JSONDecodeError)
"""Python's errors about a text that was never stored so: SQLite does not see what is in a cell."""


def trouble(error: Exception, path: Path) -> StoreError:
    """What went wrong, as a sentence with advice. Nothing was committed."""
    if isinstance(error, UNREADABLE):
        return trouble(apsw.CorruptError(), path)
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreBusy(
            f"Another program holds {path} locked.",
            advice="Try again; if it lasts, end the program that has the file open.",
        )
    for kind, detail, advice in _TROUBLE:
        if isinstance(error, kind):
            return StoreUnavailable(detail.format(path=path), advice=advice)
    return StoreUnavailable(
        f"SQLite failed on {path}: {error}.",
        advice="Try again; if it lasts, `room-mcp check` says whether the store is sound.",
    )
