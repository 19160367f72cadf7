"""A copy of the store while others write to it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from ...codec import micros, moment
from ...interface import StoreError, StoreUnavailable
from ..connection import (
    UNREADABLE,
    Database,
    connect_reader,
    connect_writer,
    must_be_sound,
    trouble,
)
from ..rows import stored_epoch
from . import places
from .check import faults_in, looks_like_a_store, not_a_store
from .places import Progress, beside, silent

BACKUP_AT = "backup_at"  # in `meta` of a backup only

# What goes wrong where something is written; all else may be what is read.
_WRITING = frozenset(
    (
        *(apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC),
        *(apsw.SQLITE_IOERR_TRUNCATE, apsw.SQLITE_IOERR_DELETE, apsw.SQLITE_IOERR_CLOSE),
    )
)


class Contents(NamedTuple):
    """What a store holds. `at` is when the backup was begun; None for any other file."""

    rooms: int
    messages: int
    size_bytes: int
    epoch: str
    at: datetime | None


def back_up(
    store: Path,
    file: Path,
    *,
    force: bool = False,
    at: datetime | None = None,
    progress: Progress = silent,
) -> Contents:
    """Copy the store as it is at this moment into one file, for its owner alone.

    Whatever was acknowledged before is in it. Nobody has to wait for it; only the WAL grows by
    what is written meanwhile. It stands in its place once it was checked and is safe on the disk.

    Args:
        force: Put it in place of a file that is there.

    Raises:
        StoreUnavailable: With advice; the place is as it was.
    """
    must_be_sound()
    places.must_exist(store)
    at = at or datetime.now(UTC)
    with said_plainly(store, file):
        _must_be_free(store, file, force=force)
        with places.workplace(file) as folder:
            part = folder / file.name
            with places.reading(store) as db:
                if not looks_like_a_store(db):
                    raise not_a_store(store)
                places.must_have_space(file.parent, db.size_bytes())
                places.copy(db, part, progress)
            _note_time(part, at)
            contents = _contents(part)
            _must_be_flawless(part, store)
            _must_be_free(store, file, force=force)  # somebody else may have been quicker
            places.settle(part, file)
    return contents


def contents_of(file: Path) -> Contents:
    """What a store or backup holds.

    Raises:
        StoreUnavailable: It is neither, or cannot be read.
    """
    with said_plainly(file, file):
        return _contents(file)


def _contents(file: Path) -> Contents:
    with places.reading(file) as db:
        if not looks_like_a_store(db):
            raise not_a_store(file)
        at = db.value("SELECT value FROM meta WHERE name = ?", (BACKUP_AT,))
        return Contents(
            int(db.value("SELECT count(*) FROM rooms WHERE lifecycle <> 'deleted'")),
            int(db.value("SELECT count(*) FROM messages")),
            places.size_bytes((file,)),
            stored_epoch(db),
            None if at is None else moment(int(at)),
        )


@contextmanager
def said_plainly(path: Path, other: Path) -> Generator[None]:
    """Turn what SQLite and the system say into a sentence; what cannot be written is `other`."""
    try:
        yield
    except (apsw.FullError, apsw.ReadOnlyError) as error:
        raise trouble(error, other) from error
    except apsw.IOError as error:
        is_writing = getattr(error, "extendedresult", 0) in _WRITING
        raise trouble(error, other if is_writing else path) from error
    except apsw.Error as error:
        raise trouble(error, path) from error
    except UNREADABLE as error:
        raise trouble(error, path) from error
    except OSError as error:
        raise StoreUnavailable(
            f"{other} cannot be written: {error.strerror}.",
            advice="Check its disk and its folder, or name another file.",
        ) from error


def _must_be_free(store: Path, file: Path, *, force: bool) -> None:
    if not file.parent.is_dir():
        raise StoreUnavailable(f"There is no folder {file.parent}.", advice="Make it first.")
    if file.is_dir():
        raise StoreUnavailable(f"{file} is a folder.", advice="Name a file in it.")
    own = (store, *(beside(store, end) for end in (*places.SIDE_FILES, ".lock", ".notify")))
    if any(_is_same(file, one) for one in own):
        raise StoreUnavailable(f"{file} belongs to the store itself.", advice="Name another file.")
    if any(beside(file, suffix).exists() for suffix in places.SIDE_FILES):
        # SQLite would read what stands there as a part of the backup.
        raise StoreUnavailable(
            f"Beside {file} is a file that belongs to a database of this name.",
            advice="It may be in use: name another file.",
        )
    if file.exists() and not force:
        raise StoreUnavailable(
            f"{file} exists already.", advice="Name another file, or say --force to replace it."
        )


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _note_time(part: Path, at: datetime) -> None:
    db = connect_writer(part)
    try:
        db.run(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (BACKUP_AT, str(micros(at)))
        )
    finally:
        db.close()


def _must_be_flawless(part: Path, store: Path) -> None:
    """Only what was checked is called a backup."""
    db: Database = connect_reader(part)
    try:
        found = next(faults_in(db), None)
    finally:
        db.close()
    if found is not None:
        raise StoreError(
            f"{store} is damaged, and no backup was made of it: {found.detail}",
            advice="`room-mcp check` says what else there is and what to do.",
        )
