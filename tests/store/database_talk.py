"""What a test asks a database itself, beside the stores on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

HANGS_S = 20
Connection = Any  # of asyncpg, which has no types


@asynccontextmanager
async def connected(url: str, **settings: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def held(url: str, *room_ids: str) -> AsyncIterator[Connection]:
    """Rooms that another transaction holds, as if its node had stopped for a while."""
    async with connected(url) as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM rooms WHERE id = ANY($1::text[]) ORDER BY no FOR UPDATE", room_ids
        )
        yield connection


async def waiting(connection: Connection, count: int) -> None:
    """Until so many connections to this database wait for what somebody else holds."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(HANGS_S):
        while await connection.fetchval(asked) < count:
            # Else a transaction sees the same again.
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def left_open(url: str) -> int:
    """How many connections to this database are in a transaction and do nothing."""
    async with connected(url) as connection:
        return await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
