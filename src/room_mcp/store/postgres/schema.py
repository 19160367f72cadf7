"""Brings the tables of a database up to date, and checks that it can be used.

The scripts are numbered and run once, all or none, by whichever node comes first. As in SQLite
those beyond `LAST_BREAKING` only expand: nodes of several versions work on one database while
they are upgraded one after the other.
"""

from __future__ import annotations

import secrets
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from ..interface import StoreUnavailable
from ..moved import must_be_here
from .database import Database

LAST_BREAKING = 1
"""The newest script that older versions cannot work beside; raised in a major version only."""

SECRET_BYTES = 32
MIN_SERVER = 15  # the oldest that this is tested with
MOVING_FROM = "moving_from"  # in `meta` while `room-mcp migrate` fills the database
_ALREADY_THERE = (
    *(asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError, asyncpg.DuplicateFunctionError),
)
SHOWN_TABLES = 3
# In the schema where ours would be made; those that belong to an extension are nobody's.
_OTHERS = """
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'f', 'm')
   AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                   AND objid = pg_class.oid AND deptype = 'e')
 ORDER BY relname LIMIT $1
"""
# Not `to_regclass`: in a transaction that has waited for another one it still says what its session
# had found before, as only a table that is opened makes a session look again.
_HAS_META = """
SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'meta' AND pg_table_is_visible(oid))
"""
LOCK = 0x726F6F6D  # "room": the advisory lock of whoever migrates


class Opened(NamedTuple):
    """`epoch` names this state of the store; `secret` is random, and never leaves it."""

    epoch: str
    secret: bytes


async def prepare(db: Database, shown: str) -> Opened:
    """Make a database ready.

    Raises:
        StoreUnavailable: It is too old, read only, of another program or of a newer version; or
            its rooms were moved away, or are still on their way to it.
    """
    await bring_up_to_date(db, shown)
    kept = dict(map(tuple, await db.rows("SELECT name, value FROM meta")))
    must_be_here(kept["epoch"])
    if MOVING_FROM in kept:
        raise StoreUnavailable(
            f"{shown} is being filled by `room-mcp migrate`.",
            advice="Wait until that has ended; if it was stopped, run it again.",
        )
    return Opened(kept["epoch"], bytes.fromhex(kept["secret"]))


async def bring_up_to_date(db: Database, shown: str) -> None:
    """Run the scripts that the database has not seen. Raises StoreUnavailable, as `prepare`."""
    await _must_be_usable(db, shown)
    if not await _is_current(db, shown):
        async with db.transaction():
            await db.run("SELECT pg_advisory_xact_lock($1)", LOCK)
            if not await _is_current(db, shown):
                await _migrate(db, shown)


async def holds_store(db: Database) -> bool:
    """Whether somebody has made the tables; perhaps another program, whose `meta` it is."""
    return bool(await db.value(_HAS_META))


def scripts() -> dict[int, str]:
    """The migrations by number."""
    folder = files("room_mcp.store").joinpath("migrations", "postgres")
    return {
        int(script.name.split("_")[0]): script.read_text("utf-8")
        for script in folder.iterdir()
        if script.name.endswith(".sql")
    }


async def _must_be_usable(db: Database, shown: str) -> None:
    row = await db.row(
        "SELECT current_setting('server_version_num')::int / 10000, version(),"
        " pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,"
        " current_setting('server_encoding')"
    )
    assert row is not None
    server, version, is_read_only, encoding = row
    if server < MIN_SERVER:
        raise StoreUnavailable(
            f"{shown} runs {str(version).split(' on ')[0]}.",
            advice=f"room-mcp needs PostgreSQL {MIN_SERVER} or newer.",
        )
    if is_read_only:
        raise StoreUnavailable(
            f"{shown} can only be read: it is a standby, or set to read only.",
            advice="Name the primary. Of several hosts it is found by itself: "
            "postgresql://HOST1,HOST2/DATABASE",
        )
    if encoding != "UTF8":
        raise StoreUnavailable(
            f"The database {shown} is encoded as {encoding}.",
            advice="Make one with ENCODING 'UTF8' TEMPLATE template0.",
        )


async def _is_current(db: Database, shown: str) -> bool:
    if not await holds_store(db):
        return False
    seen = await _numbers(db, shown)
    breaking = seen["schema"]
    if breaking > LAST_BREAKING:
        raise StoreUnavailable(
            f"{shown} was written by a newer room-mcp (schema {breaking}; this one knows "
            f"{LAST_BREAKING}).",
            advice="Upgrade room-mcp: pip install --upgrade room-mcp",
        )
    return seen["expanded"] >= max(scripts())


async def _numbers(db: Database, shown: str) -> dict[str, int]:
    try:
        rows = await db.rows("SELECT name, value FROM meta WHERE name IN ('schema', 'expanded')")
        numbers = {str(name): int(value) for name, value in rows}
    except (asyncpg.UndefinedColumnError, ValueError):
        raise _foreign(shown) from None
    if len(numbers) < 2:
        raise _foreign(shown)
    return numbers


async def _migrate(db: Database, shown: str) -> None:
    seen = 0
    try:
        if await holds_store(db):
            seen = (await _numbers(db, shown))["expanded"]
        else:
            await _must_be_empty(db, shown)
            await db.run(
                'CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY,'
                ' value text COLLATE "C" NOT NULL)'
            )
            await db.run(
                "INSERT INTO meta (name, value) VALUES ('epoch', $1), ('secret', $2)",
                secrets.token_hex(4),
                secrets.token_hex(SECRET_BYTES),
            )
        known = scripts()
        for number in range(seen + 1, max(known) + 1):
            await db.run(known[number])
        await db.run(
            "INSERT INTO meta (name, value) VALUES ('schema', $1), ('expanded', $2)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            str(LAST_BREAKING),
            str(max(known)),
        )
    except _ALREADY_THERE as error:
        raise _foreign(shown, str(error)) from error


async def _must_be_empty(db: Database, shown: str) -> None:
    """Where others keep tables, ours would be lost with theirs, and be changed by their tools."""
    others = [str(name) for (name,) in await db.rows(_OTHERS, SHOWN_TABLES + 1)]
    if others:
        more = " and more" if len(others) > SHOWN_TABLES else ""
        raise _foreign(shown, f"{', '.join(others[:SHOWN_TABLES])}{more}")


def _foreign(shown: str, why: str = "meta") -> StoreUnavailable:
    return StoreUnavailable(
        f"The database {shown} holds tables of another program ({why}).",
        advice="Give room-mcp a database of its own; or a schema, which the store's address names "
        "(CREATE SCHEMA rooms AUTHORIZATION user; then ?search_path=rooms).",
    )
