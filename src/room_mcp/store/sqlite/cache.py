"""The rooms that this process has decoded lately, shared by its threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from room_mcp.rooms import Room

MAX_ROOMS = 1_000


class Kept(NamedTuple):
    """A room as a commit left it; true as long as its row carries the same `rev`."""

    no: int
    rev: int
    room: Room


class RoomCache:
    """The most recently used rooms by id. What is taken from it must be checked by `rev`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, room_id: str) -> Kept | None:
        with self._lock:
            kept = self._kept.get(room_id)
            if kept is not None:
                self._kept.move_to_end(room_id)
            return kept

    def put(self, kept: Kept) -> None:
        """Remember a committed state, unless a newer one is known."""
        with self._lock:
            known = self._kept.get(kept.room.id)
            if known is not None and known.rev > kept.rev:
                return
            self._kept[kept.room.id] = kept
            self._kept.move_to_end(kept.room.id)
            if len(self._kept) > MAX_ROOMS:
                self._kept.popitem(last=False)

    def drop(self, room_id: str) -> None:
        with self._lock:
            self._kept.pop(room_id, None)
