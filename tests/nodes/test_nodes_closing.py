"""A node that ends lets go of the database in order."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from node_apps import HANGS_S

from room_mcp.store.postgres.addresses import address_in
from room_mcp.store.postgres.connecting import Connections

pytestmark = pytest.mark.anyio


async def test_what_is_under_way_ends_before_its_connection_is_closed(database: str):
    connections = Connections(address_in(database))
    await connections.open()

    with anyio.fail_after(HANGS_S):
        async with connections.borrowed() as db:
            closing = asyncio.create_task(connections.aclose())
            await anyio.lowlevel.checkpoint()  # it has begun
            found = await db.value("SELECT 1")
        await closing

    assert found == 1
