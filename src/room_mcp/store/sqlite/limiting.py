"""Rates, slots and quotas as rows."""

from __future__ import annotations

from datetime import datetime

from ..codec import micros, moment
from ..limiting import Quota, Rate, Taken, leased, slots, too_late
from .connection import Database

SWEPT_ROWS = 100  # removed at most with each new caller, so that nobody waits for a long sweep


def take(
    db: Database, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int, at: datetime
) -> Taken:
    kept = db.value("SELECT due_at FROM rates WHERE subject = ? AND kind = ?", (subject, kind))
    due_at = at if kept is None else moment(kept)
    taken = leased(rate, due_at, needed=needed, wanted=wanted, at=at)
    if taken.number or taken.due_at < due_at:  # as it is after the clock was set back
        if kept is None:
            _sweep_rates(db, at)
        db.run(
            "INSERT OR REPLACE INTO rates (subject, kind, due_at) VALUES (?, ?, ?)",
            (subject, kind, micros(taken.due_at)),
        )
    return taken


def _sweep_rates(db: Database, at: datetime) -> None:
    """Forget callers who have earned everything again: they are as new ones."""
    db.run(
        "DELETE FROM rates WHERE (subject, kind) IN"
        " (SELECT subject, kind FROM rates WHERE due_at <= ? LIMIT ?)",
        (micros(at), SWEPT_ROWS),
    )


def take_slots(
    db: Database,
    subject: str,
    kind: str,
    holder: str,
    *,
    limit: int,
    opened: int,
    needed: int,
    at: datetime,
    until: datetime,
) -> int:
    db.run(
        "DELETE FROM slots WHERE until <= ? OR until > ?", (micros(at), micros(too_late(at, until)))
    )
    others = db.value(
        "SELECT coalesce(sum(count), 0) FROM slots WHERE subject = ? AND kind = ? AND holder <> ?",
        (subject, kind, holder),
    )
    count = slots(limit=limit, others=int(others), opened=opened, needed=needed)
    if count > 0:
        db.run(
            "INSERT OR REPLACE INTO slots (subject, kind, holder, count, until)"
            " VALUES (?, ?, ?, ?, ?)",
            (subject, kind, holder, count, micros(until)),
        )
    return max(count, 0)


def give_slots_back(db: Database, subject: str, kind: str, holder: str, *, left: int) -> None:
    row = (subject, kind, holder)
    if left:
        db.run(
            "UPDATE slots SET count = min(count, ?) WHERE subject = ? AND kind = ? AND holder = ?",
            (left, *row),
        )
    else:
        db.run("DELETE FROM slots WHERE subject = ? AND kind = ? AND holder = ?", row)


def give_all_slots_back(db: Database, holder: str) -> None:
    db.run("DELETE FROM slots WHERE holder = ?", (holder,))


def rooms_of(db: Database, creator: str) -> list[str]:
    found = db.rows(
        "SELECT id FROM rooms WHERE creator = ? AND creator <> ''"
        " AND lifecycle IN ('open', 'paused')",
        (creator,),
    )
    return [str(id) for (id,) in found]


def must_have_room(db: Database, quota: Quota) -> None:
    """Raises QuotaExceeded when another room would be one too many."""
    if quota.limit:
        quota.must_allow_another(len(rooms_of(db, quota.creator)))
