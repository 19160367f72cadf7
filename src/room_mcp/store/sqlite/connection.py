"""Connections to the database file, and what SQLite's errors mean to a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from ..interface import StoreBusy, StoreError, StoreUnavailable

MIN_SQLITE = (3, 51, 3)  # earlier ones can corrupt a WAL that several processes write and reset
BUSY_MS = 2_000  # only strangers, such as a backup tool, hold SQLite's own locks that long
WAL_KEPT_BYTES = 4 * 1024 * 1024  # what stays of the WAL file after it was emptied
WRITER_CACHE_KIB = 16 * 1024  # idempotency keys are random: their whole index is the working set


SqlValue = str | int | float | bytes | None
Bindings = Sequence[SqlValue] | Mapping[str, SqlValue]


class Database:
    """A connection that fetches everything at once: no open cursor keeps the WAL from ending."""

    def __init__(self, path: Path, flags: int) -> None:
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


def connect_reader(path: Path) -> Database:
    """A connection that cannot write."""
    db = _connect(path, apsw.SQLITE_OPEN_READONLY)
    db.pragma("query_only", 1)
    return db


def _connect(path: Path, flags: int) -> Database:
    db = Database(path, flags)
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
        "Name another file, or move this one away.",
    ),
    (
        apsw.CorruptError,
        "{path} is damaged.",
        "Stop all processes that use it and restore a backup.",
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


def trouble(error: apsw.Error, path: Path) -> StoreError:
    """What went wrong, as a sentence with advice. Nothing was committed."""
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreBusy(
            f"Another program holds {path} locked.",
            advice="Try again; if it lasts, end the program that has the file open.",
        )
    for kind, detail, advice in _TROUBLE:
        if isinstance(error, kind):
            return StoreUnavailable(detail.format(path=path), advice=advice)
    return StoreUnavailable(f"SQLite failed on {path}: {error}.")
