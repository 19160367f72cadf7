"""The rooms that this process has decoded lately, shared by its threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from room_mcp.rooms import Room

from .codec import NOTHING

MAX_ROOMS = 1_000


class Kept(NamedTuple):
    """A room as a commit left it; true as long as its row carries the same `rev`.

    `unknown` is what a later version has put into its state.
    """

    no: int
    rev: int
    room: Room
    unknown: Mapping[str, Any] = NOTHING


class RoomCache:
    """The most recently used rooms by id. What is taken from it must be checked by `rev`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._epoch = ""
        self._epoch_rev = 0  # of the newest commit that was seen under it

    @property
    def epoch(self) -> str:
        """The store's epoch, as it is for every room that was taken from here."""
        return self._epoch

    def found_epoch(self, epoch: str, rev: int | None = None) -> None:
        """The store had this epoch at that commit; a restored one goes on above all before it.

        Args:
            rev: None: it has it now, for nobody reads an older state. Rooms of another epoch are
                forgotten, for in this one their revs may stand for something else.
        """
        with self._lock:
            if rev is None and epoch != self._epoch:
                self._kept.clear()
            if rev is None or rev >= self._epoch_rev:
                self._epoch, self._epoch_rev = epoch, rev or 0

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

    def forget(self) -> None:
        """Forget all rooms; they are read again."""
        with self._lock:
            self._kept.clear()

    def drop(self, room_id: str) -> None:
        with self._lock:
            self._kept.pop(room_id, None)
