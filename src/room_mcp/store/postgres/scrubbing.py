"""Takes removed texts out of the files: PostgreSQL leaves them in its pages for long."""

from __future__ import annotations

import asyncpg

from ..interface import TextLeft
from .database import Database

LOCK_WAIT_MS = 2_000  # whoever reads or writes such a table waits as long
_PARTS = 16
_PARTED = ("messages", "keys")
_WHOLE = ("rooms", "features", "memories", "members", "contracts")
_NOTE = "unscrubbed:"  # in `meta`, one for each room


async def note(db: Database, no: int) -> None:
    """Remember that texts of a room were removed, in the transaction that does it."""
    await db.run(
        "INSERT INTO meta (name, value) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        *(f"{_NOTE}{no}", str(no)),
    )


async def scrub(db: Database, max_bytes: int | None) -> bool:
    """As `Store.scrub` promises it, for the tables; not for the write-ahead log and backups."""
    noted = [
        (name, int(value))
        for name, value in await db.rows(
            "SELECT name, value FROM meta WHERE name LIKE 'unscrubbed:%'"
        )
    ]
    if not noted:
        return False
    tables = [*_WHOLE, *await _parts_of(db, [no for _, no in noted])]
    size = await db.value(
        "SELECT sum(pg_total_relation_size(name::regclass))::bigint"
        " FROM unnest($1::text[]) AS name",
        tables,
    )
    if max_bytes is not None and size > max_bytes:
        raise left("to write them anew at once would stop all others.")
    try:
        await db.run(f"SET lock_timeout = {LOCK_WAIT_MS}")
        for table in tables:
            await db.run(f"VACUUM FULL {table}")
    except asyncpg.LockNotAvailableError as error:
        raise left("somebody else uses them.") from error
    finally:
        await db.run("RESET lock_timeout")
    await db.run("DELETE FROM meta WHERE name = ANY($1::text[])", [name for name, _ in noted])
    return True


def left(why: str) -> TextLeft:
    return TextLeft(
        f"The removed texts are in no answer any more, but in pages of the database: {why}",
        advice="It is tried again each hour; or run VACUUM FULL on the tables of room-mcp.",
    )


async def _parts_of(db: Database, room_nos: list[int]) -> list[str]:
    """The parts of the large tables that hold these rooms."""
    rows = await db.rows(
        "SELECT DISTINCT part.relname FROM pg_inherits"
        " JOIN pg_class AS part ON part.oid = inhrelid"
        " JOIN pg_class AS whole ON whole.oid = inhparent"
        " JOIN unnest($1::bigint[]) AS no ON satisfies_hash_partition("
        "  whole.oid, $2, right(part.relname, 2)::int, no)"
        " WHERE whole.relname = ANY($3::text[]) AND part.relkind = 'r'",
        *(room_nos, _PARTS, list(_PARTED)),
    )
    return sorted(name for (name,) in rows)
