"""What is only noted, and goes along with the next commit: marks, uses of keys, refusals, slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ..auditing import Entry, Refusals
from ..interface import Reading
from ..marks import MarkKey, Marks
from . import auditing, callers, limiting
from . import marks as marking
from .database import Database

Slots = tuple[str, str, str]  # subject, kind, holder


class Along(NamedTuple):
    """What a transaction takes along; it is noted still until `Rest.written`."""

    marks: Mapping[MarkKey, Reading]
    uses: Mapping[str, datetime]
    refusals: Sequence[Entry]


class Rest:
    """What one node has noted and not written yet."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.refusals = Refusals()
        self._uses: dict[str, datetime] = {}  # of server keys, by id
        self._slots: dict[Slots, int] = {}  # that are given back: how many are left

    def add_use(self, key_id: str, at: datetime) -> None:
        self._uses[key_id] = max(at, self._uses.get(key_id, at))

    def add_slots(self, slots: Slots, left: int) -> None:
        self._slots[slots] = left

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any((self.marks.pending(), self._uses, self.refusals.pending(), self._slots))

    def taken(self) -> Along:
        """All but the slots, as it is now."""
        return Along(self.marks.pending(), dict(self._uses), self.refusals.pending())

    def written(self, taken: Along) -> None:
        """Forget what a commit took along; what came later stays."""
        self.marks.written(taken.marks)
        self.refusals.written(taken.refusals)
        for key_id, at in taken.uses.items():
            if self._uses.get(key_id) == at:
                del self._uses[key_id]

    async def give_slots_back(self, db: Database) -> None:
        """Write which slots are free, in a transaction that counts."""
        slots, self._slots = self._slots, {}
        for (subject, kind, holder), left in sorted(slots.items()):
            await limiting.give_slots_back(db, subject, kind, holder, left=left)


async def write_beside(db: Database, taken: Along) -> None:
    """All that needs no row of `counters`."""
    if taken.marks:
        await marking.write(db, taken.marks)
    if taken.uses:
        await callers.note_uses(db, taken.uses)


async def write(db: Database, taken: Along) -> None:
    """Write it in a transaction that writes nothing else after it."""
    await write_beside(db, taken)
    if taken.refusals:
        await auditing.append(db, taken.refusals)
