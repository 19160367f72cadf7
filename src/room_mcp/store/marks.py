"""How far members have read: kept in memory until the next commit takes it along."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

from room_mcp.rooms import skeleton

from .codec import micros, moment
from .interface import Reading

MAX_SEQ = 0xFFFFFFFF  # more than any room holds

MarkKey = tuple[str, str]  # room id, skeleton of the name


class MarkRow(NamedTuple):
    """A reading as the engines keep it."""

    shown_to: int
    read_to: int
    seen_at: int | None
    waiting_until: int | None

    @property
    def reading(self) -> Reading:
        return Reading(
            shown_to=self.shown_to,
            read_to=self.read_to,
            seen_at=None if self.seen_at is None else moment(self.seen_at),
            waiting_until=None if self.waiting_until is None else moment(self.waiting_until),
        )


def mark_row(one: Reading) -> MarkRow:
    return MarkRow(
        min(one.shown_to, MAX_SEQ),
        min(one.read_to, MAX_SEQ),
        None if one.seen_at is None else micros(one.seen_at),
        None if one.waiting_until is None else micros(one.waiting_until),
    )


class Marks:
    """Readings that are not written yet."""

    def __init__(self) -> None:
        self._pending: dict[MarkKey, Reading] = {}
        self._lock = threading.Lock()

    def add(self, room_id: str, name: str, reading: Reading) -> None:
        key = (room_id, skeleton(name))
        # What cannot be written must fail here, not in a transaction that others share.
        mark_row(reading)
        try:
            text = "".join(key).encode()
        except UnicodeEncodeError:
            return  # nobody is called so
        if b"\0" in text:
            return  # nor so
        with self._lock:
            before = self._pending.get(key)
            self._pending[key] = reading if before is None else before.then(reading)

    def pending(self) -> dict[MarkKey, Reading]:
        """A copy of what is to be written."""
        with self._lock:
            return dict(self._pending)

    def of_room(self, room_id: str) -> dict[str, Reading]:
        """What is not written of one room, by skeleton."""
        with self._lock:
            return {key[1]: one for key, one in self._pending.items() if key[0] == room_id}

    def written(self, marks: Mapping[MarkKey, Reading]) -> None:
        """Forget what a commit took along; what came later stays."""
        with self._lock:
            for key, reading in marks.items():
                if self._pending.get(key) is reading:
                    del self._pending[key]
