"""Rates as rows in SQLite's file."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_talk import NOON

from room_mcp.store.limiting import Rate
from room_mcp.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def test_callers_who_have_earned_everything_again_are_forgotten(store: SqliteStore):
    rate = Rate(100, timedelta(milliseconds=50))
    for number in range(5):
        await store.take(f"addr:{number}", "posts", rate, needed=100, at=NOON)

    await store.take("addr:new", "posts", rate, needed=1, at=NOON + timedelta(minutes=1))

    rows = await store._query(lambda db: db.rows("SELECT subject FROM rates"))
    assert rows == [("addr:new",)]
