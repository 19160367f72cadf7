"""A bare asyncpg driver: the statements of `Store.act`, with the same batching and no rules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from room_mcp.rooms import Message
from room_mcp.store.cache import RoomCache
from room_mcp.store.codec import micros
from room_mcp.store.interface import MAX_AHEAD
from room_mcp.store.postgres.batch import AHEAD_MESSAGES, AHEAD_RATIO
from room_mcp.store.postgres.notices import notice
from room_mcp.store.postgres.rows import Known, message_values
from room_mcp.store.postgres.sessions import SESSION
from room_mcp.store.postgres.statements import CONTRACTS, KEYS, LOCK, SAID, WRITE, as_columns
from room_mcp.store.postgres.writer import MAX_BATCH_MESSAGES, PLANS

from .posters import FINGERPRINT, ROOM, TEXT, new_id, new_key

Item = tuple[asyncio.Future[None], Message, str]


class BarePostgres:
    """Takes messages in an event loop, and writes all that came together in one transaction.

    Args:
        state: Of the room, made beforehand.
        words: Of the text.
    """

    def __init__(self, *, state: str, words: str) -> None:
        self._state = state
        self._words = words
        self._waiting: list[Item] = []
        self._some = asyncio.Event()
        self._rev = -1

    async def open(self, url: str) -> None:
        self._connection = await asyncpg.connect(url, server_settings={**SESSION, **PLANS})
        self._epoch = await self._connection.fetchval("SELECT value FROM meta WHERE name = 'epoch'")
        self._running = asyncio.create_task(self._run())

    async def post(self, sender: str) -> object:
        message = Message(
            room_id=ROOM,
            seq=0,
            id=new_id(),
            at=datetime.now(UTC),
            sender=sender,
            sender_type="agent",
            type="note",
            content=TEXT,
        )
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((done, message, new_key()))
        self._some.set()
        return await done

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                items = self._waiting[:MAX_BATCH_MESSAGES]
                del self._waiting[:MAX_BATCH_MESSAGES]
                await self._write(items)
                for done, _, _ in items:
                    done.set_result(None)
                await asyncio.sleep(0)

    async def _write(self, items: list[Item]) -> None:
        db = self._connection
        now = datetime.now(UTC)
        await db.execute("BEGIN")
        known = Known([ROOM], [self._rev], self._epoch, {}, RoomCache())
        (row,) = await db.fetch(LOCK, *known.values, micros(now + MAX_AHEAD))
        no, rev, seq = row["room_no"], row["room_rev"], row["last_seq"]
        if row["state"] is not None:
            await db.fetch(CONTRACTS, [no])
        await db.fetch(KEYS, *as_columns([(no, one.sender, key) for _, one, key in items], 3))
        numbered = list(enumerate(items, seq + 1))
        said = [(no, at, *message_values(one)[1:], self._words) for at, (_, one, _) in numbered]
        keys = [(no, one.sender, key, FINGERPRINT, at) for at, (_, one, key) in numbered]
        rooms = [(no, rev + 1, seq + len(items), self._state, None)]
        ahead = len(said) * AHEAD_RATIO // (AHEAD_RATIO + 1)
        if ahead >= AHEAD_MESSAGES:
            await db.fetchrow(SAID, *_columns(said[:ahead]), *_columns(keys[:ahead]))
            del said[:ahead], keys[:ahead]
        await db.fetchrow(
            WRITE,
            *_columns(said),
            *_columns(keys),
            *_columns(rooms),
            micros(now) // 1_000 * 1_000,
            notice("bare", [ROOM], directory=False),
        )
        await db.execute("COMMIT")
        self._rev = rev + 1


def _columns(rows: list[tuple]) -> Sequence[Sequence[object]]:
    return as_columns(rows, len(rows[0]))
