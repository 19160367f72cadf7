"""The times by which retention goes, as rows of `meta`, in microseconds."""

from __future__ import annotations

from datetime import datetime

from ..codec import micros, moment
from ..interface import Times
from .database import Database

RESTORED_AT = "restored_at"
_ROUND_AT = "retention_at"
_SUSPECT_SINCE = "retention_suspect_since"


async def times(db: Database) -> Times:
    """As `Store.times` promises it."""
    rows = await db.rows(
        "SELECT '', max(updated_at) FROM rooms"  # of deleted ones, too
        " UNION ALL SELECT name, value::bigint FROM meta WHERE name = ANY ($1)",
        [RESTORED_AT, _ROUND_AT, _SUSPECT_SINCE],
    )
    kept = {str(name): moment(at) for name, at in rows if at}
    return Times(
        changed_at=kept.get(""),
        restored_at=kept.get(RESTORED_AT),
        round_at=kept.get(_ROUND_AT),
        suspect_since=kept.get(_SUSPECT_SINCE),
    )


async def note_round(
    db: Database, round_at: datetime | None, suspect_since: datetime | None
) -> None:
    """As `Store.note_round` promises it; inside a transaction."""
    await note(db, _ROUND_AT, round_at)
    await note(db, _SUSPECT_SINCE, suspect_since)


async def note(db: Database, name: str, at: datetime | None) -> None:
    """Keep a time under a name; None: none any more."""
    if at is None:
        await db.run("DELETE FROM meta WHERE name = $1", name)
    else:
        await db.run(
            "INSERT INTO meta (name, value) VALUES ($1, $2)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            str(micros(at)),
        )
