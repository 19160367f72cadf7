"""Takes removed texts out of the files: PostgreSQL leaves them in its pages for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from ..interface import TextLeft
from .database import Database

LOCK_WAIT_MS = 2_000  # whoever reads or writes such a table waits as long
LOOKS = 10  # whether all transactions have ended that may still see what was removed
LOOKS_EVERY_S = 0.2
_LOCK = 0x73637275  # "scru": the advisory lock of whoever scrubs
_PARTS = 16
_PARTED = ("messages", "keys")
_WHOLE = ("rooms", "features", "memories", "members", "readings", "contracts")
_SCRUBBED_AT = "scrubbed_at"  # in `meta`: when it was done last at the wish of an owner
_NOTE = "unscrubbed:"  # in `meta`, one for each room
MICROSECOND = timedelta(microseconds=1)

# Both by the clock of the database, and while nobody else scrubs.
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_HAS_PAUSED = f"""
    SELECT coalesce((SELECT abs({_NOW} - value::bigint) >= $2::bigint FROM meta WHERE name = $1),
        true)
"""
_NOTE_DONE = f"""
    INSERT INTO meta (name, value) VALUES ($1, {_NOW}::text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


async def note(db: Database, no: int) -> None:
    """Remember that texts of a room were removed, in the transaction that does it."""
    await db.run(
        "INSERT INTO meta (name, value) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        *(f"{_NOTE}{no}", str(no)),
    )


async def scrub(db: Database, max_bytes: int | None, pause: timedelta) -> bool:
    """As `Store.scrub` promises it, for the tables; not for the write-ahead log and backups.

    On a connection of its own, which gives it all the time, and is closed afterwards.
    """
    noted = await db.rows(
        "SELECT name, xmin::text, value::bigint FROM meta WHERE name LIKE 'unscrubbed:%'"
    )
    if not noted:
        return False
    names, written_by, nos = zip(*noted, strict=True)
    tables = [*_WHOLE, *await _parts_of(db, nos)]
    size = await db.value(
        "SELECT sum(pg_total_relation_size(name::regclass))::bigint"
        " FROM unnest($1::text[]) AS name",
        tables,
    )
    if max_bytes is not None and size > max_bytes:
        raise left("to write them anew at once would stop all others.")
    if not await db.value("SELECT pg_try_advisory_lock($1)", _LOCK):
        raise left("another node is writing them anew.")
    if pause and not await db.value(_HAS_PAUSED, _SCRUBBED_AT, pause // MICROSECOND):
        raise left("they were written anew a moment ago.")
    if not await _is_out_of_sight(db):
        raise left("a transaction that began before, such as a backup, may still ask for them.")
    try:
        for table in tables:
            await db.run(f"VACUUM FULL {table}")
    except asyncpg.LockNotAvailableError as error:
        raise left("somebody else uses them.") from error
    # Not what was noted anew meanwhile.
    await db.run(
        "DELETE FROM meta USING unnest($1::text[], $2::text[]) AS done (note, written_by)"
        " WHERE name = note AND xmin::text = written_by",
        *(names, written_by),
    )
    if pause:
        # Only now, or a try that was refused would keep others from the next one.
        await db.run(_NOTE_DONE, _SCRUBBED_AT)
    return True


async def _is_out_of_sight(db: Database) -> bool:
    """Whether no transaction is left that may see what was removed before: VACUUM FULL keeps what
    somebody can see. Of others' transactions the user is not told; so a row is tried."""
    try:
        for _ in range(LOOKS):
            await db.run("DROP TABLE IF EXISTS scrub_trial; CREATE TABLE scrub_trial (no int)")
            await db.run("INSERT INTO scrub_trial VALUES (1)")
            await db.run("DELETE FROM scrub_trial")
            await db.run("VACUUM FULL scrub_trial")
            if not await db.value("SELECT pg_relation_size('scrub_trial')"):
                return True
            await asyncio.sleep(LOOKS_EVERY_S)
        return False
    finally:
        await db.run("DROP TABLE IF EXISTS scrub_trial")


def left(why: str) -> TextLeft:
    return TextLeft(
        f"The removed texts are in no answer any more, but in pages of the database: {why}",
        advice="It is tried again each hour; or run VACUUM FULL on the tables of room-mcp.",
    )


async def _parts_of(db: Database, room_nos: Sequence[int]) -> list[str]:
    """The parts of the large tables that hold these rooms."""
    rows = await db.rows(
        "SELECT DISTINCT part.relname FROM pg_inherits"
        " JOIN pg_class AS part ON part.oid = inhrelid"
        " JOIN pg_class AS whole ON whole.oid = inhparent"
        " JOIN unnest($1::bigint[]) AS no ON satisfies_hash_partition("
        "  whole.oid, $2, right(part.relname, 2)::int, no)"
        " WHERE whole.relname = ANY($3::text[]) AND part.relkind = 'r'",
        *(list(room_nos), _PARTS, list(_PARTED)),
    )
    return sorted(name for (name,) in rows)
