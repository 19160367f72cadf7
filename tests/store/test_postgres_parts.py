"""When a part of a batch is written while the rest of it is decided."""

from __future__ import annotations

from typing import cast

import pytest
from store_talk import NOON, a_room, says

from room_mcp.store.cache import Kept, RoomCache
from room_mcp.store.interface import Act
from room_mcp.store.memories import Memories
from room_mcp.store.postgres.batch import AHEAD_MESSAGES, Batch
from room_mcp.store.postgres.database import Database


@pytest.mark.parametrize(
    ("said", "left", "is_ahead"),
    [
        (AHEAD_MESSAGES - 1, 1, False),
        (AHEAD_MESSAGES, 1, True),
        (40, 20, True),
        (40, 21, False),
    ],
)
def test_a_part_is_written_once_enough_was_said_for_what_is_left(
    said: int, left: int, is_ahead: bool
):
    room, cache = a_room(), RoomCache()
    cache.put(Kept(1, 0, room))
    batch = Batch(cast(Database, None), cache, Memories(), lambda: NOON)
    batch.assume([room.id])

    batch.act(room.id, [Act(says(f"{n}")) for n in range(said)])

    assert batch.is_ahead(left) == is_ahead
