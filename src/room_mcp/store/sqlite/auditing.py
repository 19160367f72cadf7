"""The audit as rows."""

from __future__ import annotations

from collections.abc import Iterable

from ..auditing import (
    FIRST_LINK,
    MAX_PAGE_ENTRIES,
    AuditPage,
    Entry,
    Recorded,
    entry_values,
    keepable,
    link,
)
from ..codec import moment
from .connection import Database

_COLUMNS = "at, act, outcome, room_id, name, key_id, subject, request, detail"


def append(db: Database, entries: Iterable[Entry]) -> None:
    """Write entries behind those that are there, inside a transaction."""
    no, before = _last(db)
    for entry in entries:
        kept = keepable(entry)
        no += 1
        before = link(before, no, kept)
        db.run(
            f"INSERT INTO audit (no, {_COLUMNS}, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (no, *entry_values(kept), before),
        )


def page(db: Database, room_id: str | None, after: int, limit: int) -> AuditPage:
    """As `AuditStore.audit` promises it."""
    limit = max(1, min(limit, MAX_PAGE_ENTRIES))
    of_room = "" if room_id is None else "AND room_id = ?"
    rows = db.rows(
        f"SELECT no, (SELECT link FROM audit AS b WHERE b.no = a.no - 1), link, {_COLUMNS}"
        f" FROM audit AS a WHERE no > ? {of_room} ORDER BY no LIMIT ?",
        (after, *(() if room_id is None else (room_id,)), limit + 1),
    )
    found = tuple(
        Recorded(no, Entry(moment(at), *fields), previous or FIRST_LINK, kept_link)
        for no, previous, kept_link, at, *fields in rows[:limit]
    )
    return AuditPage(found, len(rows) > limit, *_last(db))


def _last(db: Database) -> tuple[int, str]:
    """The last number that was given, also where its entry was taken away, and the last link."""
    no = db.value("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
    last = db.value("SELECT link FROM audit ORDER BY no DESC LIMIT 1")
    return no or 0, last or FIRST_LINK
