"""A clock that was set back: what was kept by its times harms nobody for long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from engines import ALL
from store_talk import NOON

from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio
ENGINES = ALL

HELD_FOR = timedelta(minutes=2)
HOUR = timedelta(hours=1)


async def take(store: Store, holder: str, needed: int, at, *, opened: int = 0) -> int:
    return await store.take_slots(
        "ann",
        "waits",
        holder,
        limit=10,
        opened=opened,
        needed=needed,
        at=at,
        until=at + HELD_FOR,
    )


async def test_slots_of_a_dead_process_are_free_soon_after_the_clock_was_set_back(store: Store):
    await take(store, "dead", 10, NOON + HOUR)

    assert await take(store, "alive", 10, NOON) == 10


async def test_slots_of_a_process_whose_clock_is_a_little_ahead_stay_its_own(store: Store):
    await take(store, "ahead", 4, NOON + timedelta(seconds=1))

    assert await take(store, "alive", 10, NOON) == 6
