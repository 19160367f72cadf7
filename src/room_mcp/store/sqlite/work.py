"""What callers hand to the writer of an SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from room_mcp.rooms import Refusal, Room, Step
from room_mcp.rooms.chain import chained

from .. import work
from ..auditing import Entry
from ..interface import Act, Decide, Done
from ..limiting import Quota
from .batch import Batch
from .connection import Database
from .limiting import must_have_room

T = TypeVar("T")


class Work(work.Work[Batch, T]):
    alone = False  # in a transaction of its own
    scrubs = False  # removes text, which must then leave the WAL as well
    lasts = True  # on the disk before anybody is told


class Acting(Work[list[Done | Refusal]]):
    """Acts in one room, in order."""

    def __init__(self, room_id: str, acts: Sequence[Act]) -> None:
        self.room_id = room_id
        self.acts = acts
        self.size = len(acts)

    def perform(self, batch: Batch) -> list[Done | Refusal]:
        return batch.act(self.room_id, self.acts)


class Creating(Work[tuple[Room, bool]]):
    alone = True

    def __init__(
        self, room: Room, *, reuse: bool, quota: Quota | None, entry: Entry | None
    ) -> None:
        self._room = room
        self._reuse = reuse
        self._quota = quota
        self._entry = entry

    def perform(self, batch: Batch) -> tuple[Room, bool]:
        if self._reuse and (known := batch.open_room_named(self._room)):
            return known, False
        if batch.has(self._room.id):
            raise ValueError("A room of this id exists already.")
        if self._quota is not None:
            must_have_room(batch.db, self._quota)
        batch.create(self._room, creator=self._quota.creator if self._quota else "")
        batch.record(self._entry)
        return self._room, True


class Erasing(Work[Room]):
    alone = True
    scrubs = True

    def __init__(self, room_id: str, decide: Decide, entry: Entry | None) -> None:
        self._room_id = room_id
        self._decide = decide
        self._entry = entry

    def perform(self, batch: Batch) -> Room:
        batch.load([self._room_id])
        before = batch.room(self._room_id)
        step = self._decide(before, batch.past(self._room_id))
        room = step.room.without_texts()
        room, messages, _ = chained(room.chain, Step(room, step.messages))
        batch.put(room, messages)  # first, since it may still fail; it writes nothing yet
        batch.erase_texts(self._room_id)
        batch.record(self._entry)
        return room


class Deleting(Work[None]):
    alone = True
    scrubs = True

    def __init__(self, room_id: str, decide: Decide, entry: Entry | None) -> None:
        self._room_id = room_id
        self._decide = decide
        self._entry = entry

    def perform(self, batch: Batch) -> None:
        batch.load([self._room_id])
        before = batch.room(self._room_id)
        self._decide(before, batch.past(self._room_id))
        batch.delete(self._room_id)
        batch.record(self._entry)


class Scrubbing(Work[None]):
    """Takes out of the files what was removed; `Transactions` does it, outside of any."""

    alone = True

    def perform(self, batch: Batch) -> None:
        raise AssertionError("No batch is given this work.")


class Writing(Work[T]):
    """Rows that belong to no room; they are written at once, and nothing fails after them."""

    alone = True

    def __init__(self, write: Callable[[Database], T]) -> None:
        self._write = write

    def perform(self, batch: Batch) -> T:
        return self._write(batch.db)


class Counting(Work[T]):
    """Numbers of callers, written at once, like `Writing`; but beside other work, and in memory
    until other work is synced: losing them in a power cut does no harm."""

    size = 0
    lasts = False

    def __init__(self, count: Callable[[Database], T]) -> None:
        self._count = count

    def perform(self, batch: Batch) -> T:
        return self._count(batch.db)


AnyWork = Work[Any]
