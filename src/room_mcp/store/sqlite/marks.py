"""How far members have read: kept in memory until the next commit takes it along."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from room_mcp.rooms import skeleton

from ..codec import micros, moment
from ..interface import Reading
from .connection import Database

MAX_SEQ = 0xFFFFFFFF  # the half of a message's key that is its seq

MarkKey = tuple[str, str]  # room id, skeleton of the name


class Marks:
    """Readings that are not written yet."""

    def __init__(self) -> None:
        self._pending: dict[MarkKey, Reading] = {}
        self._lock = threading.Lock()

    def add(self, room_id: str, name: str, reading: Reading) -> None:
        key = (room_id, skeleton(name))
        # What cannot be written must fail here, not in a transaction that others share.
        _columns(reading)
        try:
            "".join(key).encode()
        except UnicodeEncodeError:
            return  # nobody is called so
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


def write(db: Database, marks: Mapping[MarkKey, Reading]) -> None:
    """Put marks into the members' rows; names that are no members are passed over."""
    for (room_id, key), one in marks.items():
        db.run(
            "UPDATE members SET shown_to = max(shown_to, ?), read_to = max(read_to, ?),"
            " seen_at = coalesce(?, seen_at), waiting_until = ?"
            " WHERE room_no = (SELECT no FROM rooms WHERE id = ?) AND skeleton = ?",
            (*_columns(one), room_id, key),
        )


def _columns(one: Reading) -> tuple[int, int, int | None, int | None]:
    return (
        min(one.shown_to, MAX_SEQ),
        min(one.read_to, MAX_SEQ),
        None if one.seen_at is None else micros(one.seen_at),
        None if one.waiting_until is None else micros(one.waiting_until),
    )


def read(db: Database, room_no: int) -> dict[str, tuple[str, Reading]]:
    """Name and reading of every member of a room, by skeleton."""
    rows = db.rows(
        "SELECT skeleton, name, shown_to, read_to, seen_at, waiting_until FROM members"
        " WHERE room_no = ?",
        (room_no,),
    )
    return {
        key: (
            name,
            Reading(
                shown_to=shown_to,
                read_to=read_to,
                seen_at=None if seen_at is None else moment(seen_at),
                waiting_until=None if waiting_until is None else moment(waiting_until),
            ),
        )
        for key, name, shown_to, read_to, seen_at, waiting_until in rows
    }
