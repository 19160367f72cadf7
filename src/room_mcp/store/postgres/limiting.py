"""Rates, slots and quotas as rows."""

from __future__ import annotations

import hashlib
from datetime import datetime

from ..codec import micros, moment
from ..limiting import Quota, Rate, Taken, leased, slots, too_late
from .database import Database

SWEPT_ROWS = 100  # removed at most with each new caller, so that nobody waits for a long sweep


async def take(
    db: Database, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int, at: datetime
) -> Taken:
    """As `LimitStore.take` promises it; a transaction is not needed.

    Two statements, and no lock in between: when somebody else came first, all is asked again.
    Each time somebody gets something or is told that there is nothing.
    """
    while True:
        kept = await db.value(
            "SELECT due_at FROM rates WHERE subject = $1 AND kind = $2", subject, kind
        )
        due_at = at if kept is None else moment(kept)
        taken = leased(rate, due_at, needed=needed, wanted=wanted, at=at)
        if not taken.number and taken.due_at >= due_at:  # less after the clock was set back
            return taken
        new = micros(taken.due_at)
        if kept is None:
            changed = await db.run(
                "INSERT INTO rates (subject, kind, due_at) VALUES ($1, $2, $3)"
                " ON CONFLICT DO NOTHING",
                *(subject, kind, new),
            )
            await _sweep_rates(db, at)
        else:
            changed = await db.run(
                "UPDATE rates SET due_at = $4 WHERE subject = $1 AND kind = $2 AND due_at = $3",
                *(subject, kind, kept, new),
            )
        if changed:
            return taken


async def _sweep_rates(db: Database, at: datetime) -> None:
    """Forget callers who have earned everything again: they are as new ones."""
    await db.run(
        "DELETE FROM rates WHERE (subject, kind) IN (SELECT subject, kind FROM rates"
        " WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        *(micros(at), SWEPT_ROWS),
    )


async def take_slots(
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
    """As `LimitStore.take_slots` promises it; inside a transaction."""
    alive = (micros(at), micros(too_late(at, until)))
    # The sum is another statement than the lock: it sees what those before it have committed.
    await db.run(_lock_statement("slots", subject, kind))
    found = await db.row(
        "SELECT coalesce(sum(count) FILTER (WHERE holder <> $3), 0)::bigint,"
        " count(*) FILTER (WHERE holder = $3)"
        " FROM slots WHERE subject = $1 AND kind = $2 AND until > $4 AND until <= $5",
        *(subject, kind, holder, *alive),
    )
    assert found is not None
    others, has_some = found
    count = slots(limit=limit, others=others, opened=opened, needed=needed)
    if count > 0:
        await db.run(
            "INSERT INTO slots (subject, kind, holder, count, until)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject, kind, holder)"
            " DO UPDATE SET count = excluded.count, until = excluded.until",
            *(subject, kind, holder, count, micros(until)),
        )
    if not has_some:
        # Of all callers, and last: it takes rows that others may want, and waits for nobody.
        await db.run(
            "DELETE FROM slots WHERE (subject, kind, holder) IN (SELECT subject, kind, holder"
            " FROM slots WHERE until <= $1 OR until > $2 LIMIT $3 FOR UPDATE SKIP LOCKED)",
            *(*alive, SWEPT_ROWS),
        )
    return max(count, 0)


async def give_slots_back(db: Database, subject: str, kind: str, holder: str, *, left: int) -> None:
    row = (subject, kind, holder)
    if left:
        await db.run(
            "UPDATE slots SET count = least(count, $4)"
            " WHERE subject = $1 AND kind = $2 AND holder = $3",
            *(*row, left),
        )
    else:
        await db.run("DELETE FROM slots WHERE subject = $1 AND kind = $2 AND holder = $3", *row)


async def give_all_slots_back(db: Database, holder: str) -> None:
    await db.run("DELETE FROM slots WHERE holder = $1", holder)


async def rooms_of(db: Database, creator: str) -> list[str]:
    found = await db.rows(
        "SELECT id FROM rooms WHERE creator = $1 AND creator <> ''"
        " AND lifecycle IN ('open', 'paused')",
        creator,
    )
    return [str(id) for (id,) in found]


async def must_have_room(db: Database, quota: Quota) -> None:
    """Inside the transaction that makes the room, before anything is locked in it.

    Whoever makes one for the same creator waits until this one is committed.

    Raises:
        QuotaExceeded: Another room would be one too many.
    """
    if quota.limit:
        await db.run(_lock_statement("quota", quota.creator))
        quota.must_allow_another(len(await rooms_of(db, quota.creator)))


def _lock_statement(*names: str) -> str:
    """Takes a lock with this name until the transaction ends."""
    name = "\0".join(names).encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.sha256(name).digest()[:8], signed=True)
    return f"SELECT pg_advisory_xact_lock({number})"
