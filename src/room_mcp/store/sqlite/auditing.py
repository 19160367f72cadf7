"""The audit as rows, and the refusals that wait to become some."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ..auditing import FIRST_LINK, MAX_PAGE_ENTRIES, AuditPage, Entry, Recorded, link
from ..codec import micros, moment
from .connection import Database, SqlValue

MAX_REFUSALS = 1_000  # kept one by one of each minute: a flood must not fill the disk
MAX_OF_ONE = 30  # of those, of one caller: nor hide what others were refused
MAX_TEXT_CHARS = 200  # of each field, which may be somebody's words
_MINUTE_S = 60

_COLUMNS = "at, act, outcome, room_id, name, key_id, subject, request, detail"


class Refusals:
    """Refusals that are not written yet."""

    def __init__(self) -> None:
        self._pending: list[Entry] = []
        self._minute = 0
        self._kept = 0  # of this minute
        self._by_caller: Counter[str | None] = Counter()  # of the same
        self._more = 0
        self._latest: datetime | None = None
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        minute = int(entry.at.timestamp()) // _MINUTE_S
        with self._lock:
            if minute != self._minute:
                self._count_rest()
                self._minute, self._kept = minute, 0
                self._by_caller.clear()
            of_his = self._by_caller[entry.subject]
            if self._kept < MAX_REFUSALS and of_his < MAX_OF_ONE:
                self._kept += 1
                self._by_caller[entry.subject] += 1
                self._pending.append(entry)
            else:
                self._more += 1
                self._latest = entry.at

    def pending(self) -> Sequence[Entry]:
        """A copy of what is to be written."""
        with self._lock:
            return tuple(self._pending)

    def written(self, refusals: Sequence[Entry]) -> None:
        """Forget what a commit took along; what came later stays."""
        with self._lock:
            del self._pending[: len(refusals)]

    def settle(self) -> None:
        """Nothing follows: what was only counted becomes an entry."""
        with self._lock:
            self._count_rest()

    def _count_rest(self) -> None:
        if self._latest is not None:
            self._pending.append(
                Entry(self._latest, "more", "refused", detail=f"{self._more} more")
            )
            self._more, self._latest = 0, None


def append(db: Database, entries: Iterable[Entry]) -> None:
    """Write entries behind those that are there, inside a transaction."""
    no, before = _last(db)
    for entry in entries:
        kept = _kept(entry)
        no += 1
        before = link(before, no, kept)
        db.run(
            f"INSERT INTO audit (no, {_COLUMNS}, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (no, *_row(kept), before),
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


def _row(entry: Entry) -> tuple[SqlValue, ...]:
    return (
        micros(entry.at),
        entry.act,
        entry.outcome,
        entry.room_id,
        entry.name,
        entry.key_id,
        entry.subject,
        entry.request_id,
        entry.detail,
    )


def _kept(entry: Entry) -> Entry:
    """The entry with texts that can be kept: a refusal must not fail what is written with it."""
    return replace(
        entry,
        act=_text(entry.act) or "",
        outcome=_text(entry.outcome) or "",
        room_id=_text(entry.room_id),
        name=_text(entry.name),
        key_id=_text(entry.key_id),
        subject=_text(entry.subject),
        request_id=_text(entry.request_id),
        detail=_text(entry.detail),
    )


def _text(value: str | None) -> str | None:
    if value is None:
        return None
    return value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()  # without lone surrogates
