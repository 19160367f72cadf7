"""Rates, slots and quotas of a store in memory."""

from __future__ import annotations

from datetime import datetime

from ..limiting import Rate, Taken, leased, slots, too_late
from .place import Place, PlaceUser


class MemoryLimits(PlaceUser):
    """The `LimitStore` of it."""

    async def take(
        self, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int = 0, at: datetime
    ) -> Taken:
        place = await self._turn()
        due_at = place.rates.get((subject, kind), at)
        taken = leased(rate, due_at, needed=needed, wanted=wanted, at=at)
        if taken.number or taken.due_at < due_at:  # as it is after the clock was set back
            place.rates[subject, kind] = taken.due_at
        return taken

    async def take_slots(
        self,
        subject: str,
        kind: str,
        holder: str,
        *,
        limit: int,
        opened: int,
        needed: int,
        at: datetime,
        until: datetime,
    ) -> int:
        place = await self._turn()
        end = too_late(at, until)
        place.slots = {key: one for key, one in place.slots.items() if at < one[1] <= end}
        others = sum(
            count
            for key, (count, _) in place.slots.items()
            if key[:2] == (subject, kind) and key[2] != holder
        )
        count = slots(limit=limit, others=others, opened=opened, needed=needed)
        if count > 0:
            place.slots[subject, kind, holder] = (count, until)
        return max(count, 0)

    def give_slots_back(self, subject: str, kind: str, holder: str, *, left: int) -> None:
        place = self._opened()
        if held := place.slots.pop((subject, kind, holder), None):
            count, until = held
            if left:
                place.slots[subject, kind, holder] = (min(count, left), until)

    async def give_all_slots_back(self, holder: str) -> None:
        place = await self._turn()
        place.slots = {key: one for key, one in place.slots.items() if key[2] != holder}

    async def rooms_of(self, creator: str) -> list[str]:
        return rooms_of(self._opened(), creator)


def rooms_of(place: Place, creator: str) -> list[str]:
    """As `LimitStore.rooms_of` promises it."""
    return [
        kept.room.id
        for kept in place.rooms.values()
        if creator and kept.creator == creator and kept.room.lifecycle != "closed"
    ]
