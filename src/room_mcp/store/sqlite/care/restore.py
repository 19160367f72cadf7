"""Putting a backup in place of the store, while other processes have it open."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import apsw

from room_mcp.rooms.message import SYSTEM

from ...auditing import Entry
from ...codec import micros
from ...interface import StoreError, StoreUnavailable
from .. import auditing
from ..connection import Database, connect_writer, must_be_sound
from ..migrating import migrate
from ..schema import open_locked, prepare_folder
from ..signals import NotifyFile
from ..times import RESTORED_AT, note
from . import places
from .backup import BACKUP_AT, Contents, contents_of, said_plainly
from .check import faults_in
from .places import Progress, beside, silent

RESTORE = "restore"  # the act in the audit

# Above every number that a store which cannot be read any more has given to its commits. Clients
# see these numbers, as JSON holds them: up to 2 to the 53rd.
UNKNOWN_REVS = 1 << 40


FRAME_SHARE = 100  # a page of 4096 bytes has a header of 24 in the WAL: less than a hundredth


class Restored(NamedTuple):
    """What is there now, under which epoch, and where the store from before is.

    `saved_to` is None when there was none. `was_readable` is False when it was damaged: then it
    stands there as it was, and nothing of it could be carried over. `lost_keys` counts server
    keys that were made after the backup, and are gone with it.
    """

    contents: Contents
    epoch: str
    saved_to: Path | None
    was_readable: bool
    lost_keys: int


def restore(
    store: Path, file: Path, *, at: datetime | None = None, progress: Progress = silent
) -> Restored:
    """Make the store what the backup holds; all processes see it at once, as one transaction.

    The store from before is kept beside. Revoked keys stay revoked, invitations that were redeemed
    stay so, and the numbers of commits go on above all that were given, so that no process takes
    what it remembers for what is there now.

    Raises:
        StoreUnavailable, StoreBusy: With advice; the store is as it was.
        StoreError: The backup is damaged.
    """
    must_be_sound()
    at = at or datetime.now(UTC)
    if not file.is_file():
        raise StoreUnavailable(f"There is no backup {file}.", advice="Name a file that is one.")
    if store.exists() and store.samefile(file):
        raise StoreUnavailable(f"{file} is the store itself.", advice="Name a backup of it.")
    contents = contents_of(file)
    prepare_folder(store)
    with said_plainly(file, store), places.workplace(store) as folder:
        part = folder / "rooms.db"
        with places.reading(file) as db:
            size = db.size_bytes()
            places.must_have_space(store.parent, size + _needed_bytes(store, size))
            places.copy(db, part, progress)
        _bring_up_to_date(part, file)
        places.must_have_space(store.parent, _needed_bytes(store, places.size_bytes((part,))))
        with places.locked(store):
            before = _saved(store, folder, at)
            adapted = _adapt(part, before, at)
            _put_in_place(part, store, before)
            open_locked(store).db.close()
            notify = NotifyFile(store)
            notify.touch()
            notify.close()
    return Restored(
        contents, adapted.epoch, before.saved_to, adapted.was_readable, adapted.lost_keys
    )


def _needed_bytes(store: Path, size: int) -> int:
    """On the disk of the store: its copy that is kept, the backup in the WAL, and what it grows by.

    Args:
        size: Of the backup, in bytes.
    """
    now = places.size_bytes((store,))
    kept = now + places.size_bytes((beside(store, "-wal"),))
    return kept + size + size // FRAME_SHARE + max(0, size - now)


def _bring_up_to_date(part: Path, file: Path) -> None:
    """Raises StoreError unless it is a sound store of this version or an earlier one."""
    with said_plainly(file, part), _writing(part) as db:
        migrate(db, file)
        found = next(faults_in(db), None)
    if found is not None:
        raise StoreError(
            f"{file} is damaged, and was not restored: {found.detail}",
            advice=f"Take another backup; `room-mcp check {file}` says all that is wrong.",
        )


@contextmanager
def _writing(part: Path) -> Generator[Database]:
    db = connect_writer(part)
    try:
        yield db
    finally:
        db.close()


# ---- the store from before ----------------------------------------------------------------------


class _Before(NamedTuple):
    """What was there. `copy` is a file that can be read, None when there is none."""

    copy: Path | None
    saved_to: Path | None


def _saved(store: Path, folder: Path, at: datetime) -> _Before:
    """Keep the present store beside its place; the caller holds the file lock."""
    if not store.exists() or store.stat().st_size == 0:
        return _Before(None, None)
    saved_to = _free(beside(store, f".before-restore-{at:%Y%m%d-%H%M%S}"))
    part = folder / "before.db"
    try:
        with places.reading(store) as db:
            places.copy(db, part)
        places.settle(part, saved_to)
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError):
        return _Before(None, _saved_as_it_is(store, at))
    except apsw.Error as error:
        with said_plainly(store, folder):
            raise error
    return _Before(saved_to, saved_to)


def _saved_as_it_is(store: Path, at: datetime) -> Path:
    """Keep the files of a store that SQLite cannot read, for whoever wants to save more of it."""
    saved_to = _free(beside(store, f".damaged-{at:%Y%m%d-%H%M%S}"))
    for end in ("", "-wal"):
        if (file := beside(store, end)).exists():
            shutil.copyfile(file, beside(saved_to, end))
            beside(saved_to, end).chmod(0o600)
            places.sync(beside(saved_to, end))
    places.sync(saved_to.parent)
    return saved_to


def _free(file: Path) -> Path:
    """The file's name, or the first behind it that nothing has."""
    number, found = 1, file
    while found.exists():
        number += 1
        found = beside(file, f"-{number}")
    return found


# ---- what the backup takes over -----------------------------------------------------------------


class _Adapted(NamedTuple):
    epoch: str
    lost_keys: int
    was_readable: bool


def _adapt(part: Path, before: _Before, at: datetime) -> _Adapted:
    """Make the backup one that processes of the present store can go on with."""
    with said_plainly(part, part):
        if before.copy is not None:
            with suppress(apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
                # The last one: an earlier version wrote it, and has not all of the tables.
                return _adapted(part, before.copy, at)
        return _adapted(part, None, at)


def _adapted(part: Path, old: Path | None, at: datetime) -> _Adapted:
    """`old` is the store from before; None: nobody can read it."""
    epoch = secrets.token_hex(4)
    with _writing(part) as db:
        if old is not None:
            db.run("ATTACH ? AS old", (str(old),))
        db.run("BEGIN IMMEDIATE")
        db.run("DELETE FROM meta WHERE name = ?", (BACKUP_AT,))
        db.run("INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', ?)", (epoch,))
        lost_keys = 0
        if old is not None:
            lost_keys = _carry_over(db)
        else:
            # Nobody can tell which of them were redeemed; they are easily made again.
            db.run("DELETE FROM invitations")
            db.run("DELETE FROM slots")
        _renumber(db, at, is_known=old is not None)
        note(db, RESTORED_AT, at)
        auditing.append(db, [Entry(at, RESTORE, name=SYSTEM, detail=f"epoch {epoch}")])
        db.run("COMMIT")
    return _Adapted(epoch, lost_keys, was_readable=old is not None)


def _carry_over(db: Database) -> int:
    """What must not go back with the rooms; how many server keys are gone."""
    db.run(
        "INSERT OR REPLACE INTO meta (name, value)"
        " SELECT name, value FROM old.meta WHERE name = 'secret'"
    )
    db.run(
        "UPDATE server_keys SET"
        " revoked_at = coalesce(server_keys.revoked_at, was.revoked_at),"
        " used_at = nullif(max(coalesce(server_keys.used_at, 0), coalesce(was.used_at, 0)), 0)"
        " FROM old.server_keys AS was WHERE was.id = server_keys.id"
    )
    db.run("DELETE FROM invitations WHERE hash NOT IN (SELECT hash FROM old.invitations)")
    # Of processes that run now, not of those then.
    for table, columns in (
        ("rates", "subject, kind, due_at"),
        ("slots", "subject, kind, holder, count, until"),
    ):
        db.run(f"DELETE FROM {table}")
        db.run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM old.{table}")
    return int(
        db.value(
            "SELECT count(*) FROM old.server_keys WHERE revoked_at IS NULL"
            " AND id NOT IN (SELECT id FROM server_keys)"
        )
    )


def _renumber(db: Database, at: datetime, *, is_known: bool) -> None:
    """Let every room be newer than whatever a process remembers of it.

    Rooms that were opened since the backup leave a tombstone, which wakes who waits in them.
    """
    rev = 1 + int(db.value("SELECT coalesce(max(rev), 0) FROM rooms"))
    if is_known:
        rev = max(rev, 1 + int(db.value("SELECT coalesce(max(rev), 0) FROM old.rooms")))
    else:
        rev += UNKNOWN_REVS
    db.run("UPDATE rooms SET rev = ?1, dir_rev = ?1", (rev,))
    tombstone = (
        "INSERT INTO rooms (id, rev, dir_rev, lifecycle, listed, last_seq, updated_at, name_key,"
        " searchable, state)"
    )
    now = micros(at)
    if is_known:
        db.run(
            f"{tombstone} SELECT id, ?1, ?1, 'deleted', 0, 0, ?2, '', '', NULL FROM old.rooms"
            " WHERE id NOT IN (SELECT id FROM main.rooms)",
            (rev, now),
        )
    # One that stands for no room: a store without any has no other place for the number.
    db.run(
        f"{tombstone} VALUES (?3, ?1, ?1, 'deleted', 0, 0, ?2, '', '', NULL)",
        (rev, now, f"restored-{rev}"),
    )


# ---- putting it there ---------------------------------------------------------------------------


def _put_in_place(part: Path, store: Path, before: _Before) -> None:
    """The caller holds the file lock."""
    if before.saved_to is None:
        _replace(part, store)
        return
    try:
        with said_plainly(store, store):
            places.put_in_place(part, store)
    except StoreUnavailable as error:
        if not isinstance(error.__cause__, (apsw.CorruptError, apsw.NotADBError, apsw.IOError)):
            raise
        # SQLite cannot write through what is there. Other processes find a new file.
        _replace(part, store)


def _replace(part: Path, store: Path) -> None:
    # A WAL that is left would be read as one of the new file.
    for end in places.SIDE_FILES:
        beside(store, end).unlink(missing_ok=True)
    try:
        places.settle(part, store)
    except OSError as error:
        raise StoreUnavailable(
            f"{store} cannot be written: {error.strerror}.",
            advice="Check the permissions of its folder.",
        ) from error
