"""What is only noted, and goes along with the next commit: marks, uses of keys, refusals, slots."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from ..auditing import Entry, Refusals
from ..interface import Reading
from ..marks import MarkKey, Marks
from . import auditing, callers, limiting
from . import marks as marking
from .database import Database, after_commit

Slots = tuple[str, str, str]  # subject, kind, holder


class Along(NamedTuple):
    """What a transaction takes along; it is noted still until that is committed."""

    marks: Mapping[MarkKey, Reading]
    uses: Mapping[str, datetime]
    refusals: Sequence[Entry]
    sent: auditing.Sent  # of the refusals


NOTHING = Along({}, {}, (), auditing.Sent())


class Rest:
    """What one node has noted and not written yet."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.refusals = Refusals()
        self._uses: dict[str, datetime] = {}  # of server keys, by id
        self._slots: dict[Slots, int] = {}  # that are given back: how many are left
        self._giving_back = asyncio.Lock()
        self._sent = auditing.Sent()
        self._has_refusals = asyncio.Event()  # whether they are here, or with a transaction
        self._has_refusals.set()

    def add_use(self, key_id: str, at: datetime) -> None:
        self._uses[key_id] = max(at, self._uses.get(key_id, at))

    def add_slots(self, slots: Slots, left: int) -> None:
        self._slots[slots] = left

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any((self.marks.pending(), self._uses, self.refusals.pending(), self._slots))

    @contextmanager
    def taken(self) -> Generator[Along]:
        """All but the slots, for a transaction; forgotten if the block ends without an error.

        Refusals go with one transaction at a time: two would both write them.
        """
        is_bearer = self._has_refusals.is_set()
        refusals = self.refusals.pending() if is_bearer else ()
        along = Along(self.marks.pending(), dict(self._uses), refusals, self._sent)
        if is_bearer:
            self._has_refusals.clear()
        try:
            yield along
            with after_commit("what went along may be written again"):
                self._forget(along)
        finally:
            if is_bearer:
                self._has_refusals.set()

    async def wait_for_refusals(self) -> None:
        """Until they are with no transaction."""
        while not self._has_refusals.is_set():
            await self._has_refusals.wait()

    def _forget(self, taken: Along) -> None:
        """What came later stays."""
        self.marks.written(taken.marks)
        if taken.refusals:
            self.refusals.written(taken.refusals)
            self._sent = auditing.Sent()
        for key_id, at in taken.uses.items():
            if self._uses.get(key_id) == at:
                del self._uses[key_id]

    async def give_slots_back(self, db: Database) -> None:
        """Write which slots are free, outside a transaction: whoever has given some back waits
        for nobody, and whoever takes some anew comes after it."""
        async with self._giving_back:
            while self._slots:
                slots, left = next(iter(self._slots.items()))
                await limiting.give_slots_back(db, *slots, left=left)
                if self._slots.get(slots) == left:
                    del self._slots[slots]


async def write_beside(db: Database, taken: Along) -> None:
    """All that needs no row of `counters`."""
    if taken.marks:
        await marking.write(db, taken.marks)
    if taken.uses:
        await callers.note_uses(db, taken.uses)


async def write(db: Database, taken: Along) -> None:
    """Write it in a transaction that writes nothing else after it."""
    await write_beside(db, taken)
    await auditing.append(db, (), taken.refusals, taken.sent)
