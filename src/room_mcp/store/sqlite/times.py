"""The times by which retention goes, as rows of `meta`, in microseconds."""

from __future__ import annotations

from datetime import datetime

from ..codec import micros, moment
from ..interface import Times
from .connection import Database

RESTORED_AT = "restored_at"
_ROUND_AT = "retention_at"
_SUSPECT_SINCE = "retention_suspect_since"


def times(db: Database) -> Times:
    """As `Store.times` promises it."""
    newest = db.value("SELECT max(updated_at) FROM rooms")  # of deleted ones, too
    return Times(
        changed_at=moment(newest) if newest else None,
        restored_at=_noted(db, RESTORED_AT),
        round_at=_noted(db, _ROUND_AT),
        suspect_since=_noted(db, _SUSPECT_SINCE),
    )


def note_round(db: Database, round_at: datetime | None, suspect_since: datetime | None) -> None:
    """As `Store.note_round` promises it."""
    note(db, _ROUND_AT, round_at)
    note(db, _SUSPECT_SINCE, suspect_since)


def note(db: Database, name: str, at: datetime | None) -> None:
    """Keep a time under a name; None: none any more."""
    if at is None:
        db.run("DELETE FROM meta WHERE name = ?", (name,))
    else:
        db.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, str(micros(at))))


def _noted(db: Database, name: str) -> datetime | None:
    kept = db.value("SELECT value FROM meta WHERE name = ?", (name,))
    return None if kept is None else moment(int(kept))
