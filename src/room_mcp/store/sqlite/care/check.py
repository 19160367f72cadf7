"""Whether a store is sound: the database, the log's own laws, the audit, and the files.

Nothing is written, and one room's messages are never in memory together. No sentence holds what
anybody wrote, nor a name.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import apsw

from ...auditing import MAX_PAGE_ENTRIES
from ...interface import StoreUnavailable
from .. import auditing
from ..connection import UNREADABLE, Database, trouble
from ..migrating import migrate, scripts
from ..schema import prepare_folder
from . import places, rooms
from .faults import RESTORE, Fault
from .places import Progress, beside, silent

MAX_WAL_BYTES = 128 * 1024 * 1024  # twice what writers let it grow to
MAX_SQLITE_FAULTS = 100  # one that is found is enough to restore
_OF_A_STORE = {
    "meta": {"name", "value"},
    "rooms": {"no", "id", "lifecycle", "last_seq", "state"},
    "messages": {"key", "sender", "content"},
}


def check(file: Path, *, files: bool = True, progress: Progress = silent) -> Iterator[Fault]:
    """Everything that is wrong with a store.

    Args:
        files: Look also at the files, as those of a store that is used; not for a backup.

    Raises:
        StoreUnavailable: There is no such file, or it is the database of another program.
    """
    places.must_exist(file)
    if files:
        yield from faults_of_files(file)
    try:
        with places.reading(file) as db:
            if not looks_like_a_store(db):
                raise not_a_store(file)
            yield from faults_in(db, progress)
    except apsw.Error as error:
        told = trouble(error, file)
        yield Fault("database", told.detail, told.advice)


def not_a_store(file: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{file} is not a room-mcp store: it has other tables, or none.",
        advice="Name the store (ROOM_MCP_STORE, --store), or a file that `room-mcp backup` wrote.",
    )


def looks_like_a_store(db: Database) -> bool:
    """Whether it has the columns of every version: other programs have tables of such names."""
    return all(
        columns <= {name for (name,) in db.rows("SELECT name FROM pragma_table_info(?)", (table,))}
        for table, columns in _OF_A_STORE.items()
    )


def is_up_to_date(db: Database) -> bool:
    """Whether all scripts were run that this version knows."""
    kept = dict(db.rows("SELECT name, value FROM meta WHERE name IN ('schema', 'expanded')"))
    return max(map(int, kept.values()), default=0) >= max(scripts())


def faults_in(db: Database, progress: Progress = silent) -> Iterator[Fault]:
    """Everything that is wrong inside a database, as one moment has it.

    Of a store that an earlier version wrote, only what that one knew is looked at.
    """
    try:
        is_current = is_up_to_date(db)
        deep = [*_of_sqlite(db), *(_of_schema(db) if is_current else ())]
        yield from deep
        if deep:
            return  # whatever else is wrong comes from that
        if is_current:
            yield from rooms.faults(db, progress)
            yield from _of_audit(db)
        else:
            yield from rooms.gaps(db)
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
        yield Fault("database", f"SQLite cannot read all of it: {error}.", RESTORE)
    except UNREADABLE as error:
        yield Fault("database", f"Not all of it is text ({type(error).__name__}).", RESTORE)


def _of_sqlite(db: Database) -> Iterator[Fault]:
    for (said,) in db.rows(f"PRAGMA integrity_check({MAX_SQLITE_FAULTS})"):
        if said != "ok":
            yield Fault("database", f"SQLite says: {' '.join(str(said).split())}.", RESTORE)


# ---- the schema ---------------------------------------------------------------------------------


@cache
def expected() -> tuple[frozenset[tuple[str, str]], dict[str, frozenset[str]]]:
    """The objects of this version's schema, and the columns of its tables."""
    db = Database(Path(":memory:"), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    try:
        migrate(db, Path(":memory:"))
        return _objects(db), _columns(db)
    finally:
        db.close()


def _objects(db: Database) -> frozenset[tuple[str, str]]:
    rows = db.rows("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return frozenset((type, name) for type, name in rows)


def _columns(db: Database) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for type, name in _objects(db):
        if type == "table":
            rows = db.rows("SELECT name FROM pragma_table_info(?)", (name,))
            found[name] = frozenset(str(column) for (column,) in rows)
    return found


def _of_schema(db: Database) -> Iterator[Fault]:
    """What is missing; what is there besides may be a newer version's."""
    objects, columns = expected()
    for type, name in sorted(objects - _objects(db)):
        yield Fault("schema", f"The {type} {name} is missing.", RESTORE)
    have = _columns(db)
    for table in sorted(columns):
        for column in sorted(columns[table] - have.get(table, columns[table])):
            yield Fault("schema", f"The table {table} has no column {column}.", RESTORE)


# ---- the audit ----------------------------------------------------------------------------------


def _of_audit(db: Database) -> Iterator[Fault]:
    """The first entry that does not follow from the one before; those behind it do not either."""
    advice = (
        "Somebody changed the audit, or the disk did. `room-mcp audit` shows it; a backup from "
        "before has the entries as they were."
    )
    no = 0
    while True:
        page = auditing.page(db, None, no, MAX_PAGE_ENTRIES)
        for one in page.entries:
            if one.no != no + 1:
                yield Fault("audit", f"Entry #{no + 1} of the audit is missing.", advice)
                return
            if not one.is_intact:
                yield Fault("audit", f"Entry #{one.no} of the audit was changed.", advice)
                return
            no = one.no
        if not page.has_more:
            break
    if no < page.last_no:
        yield Fault("audit", f"Entry #{no + 1} of the audit is missing.", advice)


# ---- the files ----------------------------------------------------------------------------------


def faults_of_files(store: Path) -> Iterator[Fault]:
    """Who may open the files of a store, where they are, and how large the WAL is."""
    own = (store, *(beside(store, end) for end in ("-wal", "-shm", ".lock", ".notify")))
    for file in own:
        if file.exists() and (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
            yield Fault(
                "permissions",
                f"Other users may open {file.name} (mode {mode:o}).",
                f"chmod 600 {shlex.quote(str(file))}",
                mode=f"{mode:o}",
            )
    try:
        prepare_folder(store)
    except StoreUnavailable as error:
        yield Fault("file-system", error.detail, error.advice)
    size_bytes = places.size_bytes((beside(store, "-wal"),))
    if size_bytes > MAX_WAL_BYTES:
        yield Fault(
            "wal",
            f"The WAL has {size_bytes // 1024**2:,} MiB.",
            "A process reads without end, or is stopped: end it; then `room-mcp vacuum`.",
        )
