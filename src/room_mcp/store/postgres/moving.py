"""A PostgreSQL store as one end of a move to or from another engine."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from room_mcp.rooms.message import SYSTEM

from ..auditing import Entry
from ..interface import StoreBusy, StoreUnavailable
from ..migrate.tables import (
    AUDIT,
    NO,
    OF_ROOMS,
    PAGE_ROWS,
    READINGS,
    ROOMS,
    TIMES,
    WHOLE,
    Facts,
    Head,
    Incoming,
    Row,
    Rows,
    Table,
)
from ..moved import (
    advice_to_follow,
    epoch_before,
    moved_epoch,
    moved_to,
    must_be_no_old_store,
    sentence,
)
from ..tokens import content_tokens
from . import auditing, scrubbing
from .addresses import address_in
from .connecting import Connections
from .database import Database, Session
from .notices import ALL_CHANGED, CHANNEL
from .schema import MOVING_FROM, bring_up_to_date, holds_store
from .sessions import closed
from .troubles import MOVED

MOVE = "move"  # the act in the audit
LOCK_WAIT_MS = 5_000  # shorter than nodes wait for their locks: they go on when this gives up
_MOVING_AS = "moving_as"  # in `meta` while it is filled: what the source calls it
_ALONE = 0x6D6F7665  # "move": the advisory lock of whoever moves rooms to or from a database
_MAX_NO = (1 << 63) - 1

_SESSION = {
    "application_name": "room-mcp migrate",
    "jit": "off",
    "timezone": "UTC",
    "lock_timeout": str(LOCK_WAIT_MS),
    "idle_in_transaction_session_timeout": "0",  # the other side may take its time
    # A table that was filled just now has no statistics yet: rows are always found by their keys.
    **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off"),
}

# As they are locked by whoever writes, so that nobody waits for another in a ring.
_LOCKED = (
    *("rooms", "messages", "keys", "contracts", "readings", "members", "features", "memories"),
    *("invitations", "server_keys", "counters", "audit"),
)


# Those of members who are gone, and those that say nothing, stay behind.
_MARKED = (
    "JOIN members USING (room_no, skeleton)"
    " WHERE shown_to > 0 OR read_to > 0 OR seen_at IS NOT NULL OR waiting_until IS NOT NULL"
)


class PostgresEnd:
    """What both ends can do, on one connection."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(address_in(url))
        self._errors = self._connections.errors
        self._session: Any = None  # Any: of asyncpg's own, for copying

    @property
    def where(self) -> str:
        return self._connections.address.shown

    @property
    def _db(self) -> Database:
        return Database(cast(Session, self._session))

    async def _connect(self) -> None:
        """Raises StoreUnavailable; StoreBusy when somebody moves rooms there already."""
        with self._errors():
            self._session = await self._connections.patient(**_SESSION)
            await self._session.set_type_codec(
                "tsvector", schema="pg_catalog", encoder=_words, decoder=bytes, format="binary"
            )
            if not await self._db.value("SELECT pg_try_advisory_lock($1)", _ALONE):
                raise StoreBusy(
                    f"Another `room-mcp migrate` works on {self.where}.",
                    advice="Wait until it has ended.",
                )
            await bring_up_to_date(self._db, self.where)

    async def aclose(self) -> None:
        await closed(self._session)

    async def facts(self) -> Facts:
        kept = await self._meta()
        rows = await self._ask("SELECT name, no, link FROM counters")
        counters = {name: (no, link) for name, no, link in rows}
        return Facts(
            epoch_before(kept["epoch"]),
            kept["secret"],
            {name: kept[name] for name in TIMES if name in kept},
            counters["directory"][0],
            *counters["audit"],
        )

    async def _meta(self) -> dict[str, str]:
        rows = await self._ask("SELECT name, value FROM meta")
        return {row[0]: row[1] for row in rows}

    async def _ask(self, query: str, *values: object) -> list[Row]:
        with self._errors():
            return [tuple(row) for row in await self._db.rows(query, *values)]

    async def heads(self, above: int, upto: int | None, limit: int) -> list[Head]:
        rows = await self._ask(
            "SELECT no, rev, last_seq FROM rooms WHERE no > $1 AND no <= $2 ORDER BY no LIMIT $3",
            *(above, _MAX_NO if upto is None else upto, limit),
        )
        return [Head(*row) for row in rows]

    async def rooms(self, nos: Sequence[int]) -> list[Row]:
        return await self._ask(
            f"SELECT {', '.join(ROOMS.columns)} FROM rooms WHERE no = ANY($1) ORDER BY no",
            list(nos),
        )

    async def rows(self, table: Table, after: Mapping[int, int]) -> Rows:
        new = "AND seq > after" if table.grows else ""
        query = (
            f"SELECT {', '.join(table.columns)} FROM unnest($1::bigint[], $2::bigint[])"
            f" AS wanted (wanted_no, after) JOIN {table.name} ON room_no = wanted_no {new}"
            f" ORDER BY {', '.join(('room_no', *table.order))}"
        )
        async for page in self._pages(query, list(after), list(after.values())):
            yield page

    async def whole(self, table: Table, above: int = 0) -> Rows:
        columns, order = ", ".join(table.columns), ", ".join(table.order)
        where, values = "", ()
        if table is READINGS:
            where = _MARKED
        elif table is AUDIT:
            where, values = "WHERE no > $1", (above,)
        query = f"SELECT {columns} FROM {table.name} {where} ORDER BY {order}"
        async for page in self._pages(query, *values):
            yield page

    async def _pages(self, query: str, *values: object) -> Rows:
        with self._errors():
            async with self._session.transaction():
                cursor = await self._session.cursor(query, *values)
                while page := await cursor.fetch(PAGE_ROWS):
                    yield [tuple(row) for row in page]

    async def counts(self) -> Mapping[str, int]:
        with self._errors():
            await self._db.run("SET enable_seqscan = on")  # to count is to look at all
            return {
                table.name: await self._db.value(
                    f"SELECT count(*) FROM {table.name} {_MARKED if table is READINGS else ''}"
                )
                for table in (ROOMS, *OF_ROOMS, *WHOLE, AUDIT)
            }


class PostgresSource(PostgresEnd):
    """The database that is left; its nodes go on meanwhile."""

    async def open(self) -> None:
        await self._connect()
        if MOVING_FROM in await self._meta():
            raise StoreUnavailable(
                f"{self.where} is being filled by `room-mcp migrate`.",
                advice="Let that end first: run it again if it was stopped.",
            )
        # Now, not after all was copied, and while nobody can write.
        if (await self._ask(_MAY_CLOSE, list(_LOCKED)))[0] != (True,):
            raise StoreUnavailable(
                f"The user may not close the tables of {self.where}, as is done when all is moved.",
                advice="Let the user own the database and its tables.",
            )

    async def left(self) -> str:
        epoch = (await self._meta())["epoch"]
        return epoch if moved_to(epoch) else ""

    @asynccontextmanager
    async def seen(self) -> AsyncGenerator[None]:
        with self._errors():
            async with self._session.transaction(isolation="repeatable_read", readonly=True):
                yield

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        with self._errors():
            async with self._session.transaction():
                # EXCLUSIVE also keeps out who has only locked a room yet. Reading goes on.
                await self._db.run(f"LOCK TABLE {', '.join(_LOCKED)} IN EXCLUSIVE MODE")
                yield

    async def leave(self, where: str, at: datetime) -> None:
        epoch = moved_epoch((await self._meta())["epoch"], where, at)
        await self._db.run("UPDATE meta SET value = $1 WHERE name = 'epoch'", epoch)
        await self._db.run(_GONE)
        told, advice = (_literal(text) for text in (sentence(epoch), advice_to_follow(where)))
        for table in _LOCKED:
            await self._db.run(
                f"CREATE TRIGGER moved_away BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION moved_away({told}, {advice})"
            )
        await self._db.run("SELECT pg_notify($1, $2)", CHANNEL, ALL_CHANGED)
        # Committed at the end of `held`, which nothing follows but that.


_MAY_CLOSE = """
SELECT has_schema_privilege(current_schema(), 'CREATE')
    AND has_language_privilege('plpgsql', 'USAGE')
    AND bool_and(has_table_privilege(name, 'TRIGGER') AND has_table_privilege(name, 'UPDATE'))
FROM unnest($1::text[]) AS name
"""

_GONE = f"""
CREATE OR REPLACE FUNCTION moved_away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '{MOVED}', MESSAGE = TG_ARGV[0], HINT = TG_ARGV[1];
END $$
"""


class PostgresTarget(PostgresEnd):
    """A database without rooms. Nobody can open it as a store before it is whole."""

    async def is_filled_from(self, identity: str, where: str) -> bool:
        with self._errors():
            session = await self._connections.own()
            try:
                db = Database(session)
                if not await holds_store(db):
                    return False
                known = dict(map(tuple, await db.rows("SELECT name, value FROM meta")))
            finally:
                await closed(session)
        return (known.get(MOVING_FROM), known.get(_MOVING_AS)) == (identity, where)

    async def open(self, identity: str) -> None:
        await self._connect()
        with self._errors():
            meta = await self._meta()
            must_be_no_old_store(meta["epoch"], self.where)
            kept = meta.get(MOVING_FROM)
            if kept is None:
                await self._must_be_empty()
                await self._db.run(
                    "INSERT INTO meta (name, value) VALUES ($1, $2)", MOVING_FROM, identity
                )
            elif kept != identity:
                raise StoreUnavailable(
                    f"{self.where} was begun to be filled with the rooms of another store.",
                    advice="Name an empty database, or make this one anew.",
                )
            await self._must_be_unused(is_begun=kept is not None)

    async def _must_be_empty(self) -> None:
        for table in (ROOMS, AUDIT, *WHOLE):
            if await self._db.value(f"SELECT EXISTS (SELECT 1 FROM {table.name})"):
                raise StoreUnavailable(
                    f"{self.where} is in use: its table {table.name} is not empty.",
                    advice="Name an empty database.",
                )

    async def _must_be_unused(self, *, is_begun: bool) -> None:
        """Whoever opens it from here on is told to wait; he who has it open would not see that."""
        others = await self._db.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'room-mcp'"
        )
        if others:
            if not is_begun:
                await self._db.run("DELETE FROM meta WHERE name = $1", MOVING_FROM)
            raise StoreUnavailable(
                f"A room-mcp server has {self.where} open.", advice="Stop it until this is done."
            )

    async def put(self, incoming: Incoming, read: Callable[[Table], Rows]) -> None:
        nos = [row[NO] for row in incoming.rooms]
        with self._errors():
            async with self._session.transaction():
                for table in OF_ROOMS:
                    gone = list(incoming.anew) if table.grows else nos
                    if gone:
                        await self._db.run(
                            f"DELETE FROM {table.name} WHERE room_no = ANY($1)", gone
                        )
                for no in incoming.anew:
                    await scrubbing.note(self._db, no)
                await self._db.run("DELETE FROM rooms WHERE no = ANY($1)", nos)
                await self._copy(ROOMS, _one_page(incoming.rooms))
                for table in OF_ROOMS:
                    await self._copy(table, read(table))

    async def _copy(self, table: Table, rows: Rows) -> None:
        columns, records = table.columns, _one_by_one(rows)
        if table.name == "messages":
            columns, records = (*columns, "words"), _with_words(rows, columns.index("content"))
        await self._session.copy_records_to_table(table.name, records=records, columns=columns)

    async def put_whole(self, table: Table, rows: Rows) -> None:
        with self._errors():
            async with self._session.transaction():
                if table is not AUDIT:
                    await self._db.run(f"DELETE FROM {table.name}")
                await self._copy(table, rows)

    async def put_facts(self, facts: Facts) -> None:
        kept = {**facts.times, "epoch": facts.epoch, "secret": facts.secret}
        with self._errors():
            async with self._session.transaction():
                await self._db.run("DELETE FROM meta WHERE name = ANY($1)", [*TIMES, *kept])
                await self._db.run(
                    "INSERT INTO meta (name, value) SELECT * FROM unnest($1::text[], $2::text[])",
                    *(list(kept), list(kept.values())),
                )
                await self._count("directory", facts.directory, "")
                await self._count("audit", facts.audit_no, facts.audit_link)
                # Numbers of rooms go on behind those that were ever given.
                await self._db.run(
                    "SELECT setval(pg_get_serial_sequence('rooms', 'no'), max(no)) FROM rooms"
                    " HAVING max(no) > 0"
                )

    async def _count(self, name: str, no: int, link: str) -> None:
        await self._db.run("UPDATE counters SET no = $2, link = $3 WHERE name = $1", name, no, link)

    async def note_left(self, where: str) -> None:
        with self._errors():
            await self._db.run(
                "INSERT INTO meta (name, value) VALUES ($1, $2)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                *(_MOVING_AS, where),
            )

    async def finish(self, at: datetime) -> None:
        with self._errors():
            async with self._session.transaction():
                await self._db.run(
                    "DELETE FROM meta WHERE name = ANY($1)", [MOVING_FROM, _MOVING_AS]
                )
                entry = Entry(at, MOVE, name=SYSTEM, detail="from SQLite")
                await auditing.append(self._db, [entry])
            await self._db.run("ANALYZE")


async def _one_page(rows: Sequence[Row]) -> Rows:
    yield rows


async def _one_by_one(rows: Rows) -> AsyncGenerator[Row]:
    async for page in rows:
        for row in page:
            yield row


async def _with_words(rows: Rows, content_at: int) -> AsyncGenerator[Row]:
    async for page in rows:
        for row in page:
            content = row[content_at]
            words = None if content is None else content_tokens(json.loads(content))
            yield (*row, words or None)


def _words(words: Sequence[str]) -> bytes:
    """A tsvector as it is sent: how many words, then each with its end and no positions."""
    return struct.pack(">I", len(words)) + ("\0\0\0".join(words) + "\0\0\0").encode()


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
