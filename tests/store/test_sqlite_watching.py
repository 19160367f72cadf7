"""A signal between the processes on a file that is lost."""

from __future__ import annotations

import pytest
from store_talk import new_room, says

from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio

LONG_S = 20.0  # something hangs


async def test_without_inotify_events_a_watcher_still_wakes_soon(store: Store, other: Store):
    room_id = await new_room(store)

    async with other.watch([room_id]) as watch:
        store._writer._notify.touch = lambda: None  # pyright: ignore -- an event that is lost
        await store.act(room_id, says("hello"))

        assert await watch.wait(LONG_S)
