"""How much a caller may do: rates, things open at once, and quotas, over all processes together.

A rate is kept as one time per caller: when everything that was taken will be earned again. That
is the generic cell rate algorithm, known from ATM networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from room_mcp.rooms.refusals import QuotaExceeded

LEASED_FOR = timedelta(seconds=1)  # what a process took and did not use by then is lost
LEASED_PART = 4  # a process takes at most this part of what there is, so that others find some
SPARE_PART = 8  # of the free slots, those that a process takes beside what it needs


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and then one in each `every`."""

    burst: int
    every: timedelta

    @property
    def window(self) -> timedelta:
        """In which a burst is earned again."""
        return self.every * self.burst

    def free(self, due_at: datetime, at: datetime) -> int:
        """How many may be taken at a time."""
        return (self.window - self._debt(due_at, at)) // self.every

    def has_plenty(self, due_at: datetime, at: datetime) -> bool:
        """Whether there are so many that a process may take some before it needs them."""
        return self.free(due_at, at) >= 2 * LEASED_PART

    def taken(self, due_at: datetime, at: datetime, count: int) -> datetime:
        """When all is earned again once `count` were taken; never later than a clock that was set
        back allows."""
        return at + self._debt(due_at, at) + self.every * count

    def until_free(self, due_at: datetime, at: datetime, count: int) -> timedelta:
        """How long until so many are free; 0 or less when they are."""
        return self._debt(due_at, at) + self.every * count - self.window

    def _debt(self, due_at: datetime, at: datetime) -> timedelta:
        # More than a window can only be owed after the clock was set back.
        return min(max(due_at - at, timedelta(0)), self.window)


class Taken(NamedTuple):
    """What a process got of a rate, for `LEASED_FOR`; and when all of it is earned again."""

    number: int
    due_at: datetime


def leased(rate: Rate, due_at: datetime, *, needed: int, wanted: int, at: datetime) -> Taken:
    """What a process takes at once when it needs so many now; none when there are fewer.

    It takes what is wanted by all who wait in it. And more while there are plenty, but never more
    than is earned again by the time they are lost, and the fewer the fewer are left: so processes
    that share a caller neither wait for the store each time nor take his last ones away from each
    other.
    """
    free = rate.free(due_at, at)
    if free < needed:
        return Taken(0, rate.taken(due_at, at, 0))
    spare = min(free // LEASED_PART, LEASED_FOR // rate.every)
    count = max(needed, min(wanted, free), spare)
    return Taken(count, rate.taken(due_at, at, count))


def slots(*, limit: int, others: int, opened: int, needed: int) -> int:
    """How many slots a process gets that has some opened and needs so many; perhaps fewer.

    What is open stays counted, even where the process was taken for dead and others came.
    """
    free = limit - others
    return max(opened, min(free, needed + max(free - needed, 0) // SPARE_PART))


def too_late(at: datetime, until: datetime) -> datetime:
    """Slots that are held for longer than this were taken before the clock was set back; who is
    alive takes them anew."""
    return until + (until - at)


@dataclass(frozen=True, slots=True)
class Quota:
    """Whom a new room counts for, and how many that have not ended he may have; 0: any number."""

    creator: str
    limit: int = 0

    def must_allow_another(self, count: int) -> None:
        """Raises QuotaExceeded when he has so many rooms that one more would be too many."""
        if self.limit and count >= self.limit:
            raise QuotaExceeded(
                f"Your open rooms: {count}, as many as you may have here.",
                limit=self.limit,
            )


class LimitStore(Protocol):
    """The part of a store that counts for all its processes.

    A `subject` is who is counted, as the backend names him; a `kind` is what. These numbers need
    not outlive a power cut: they never wait for the disk.
    """

    async def take(
        self, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int = 0, at: datetime
    ) -> Taken:
        """Take at least so many of a rate for this process as are needed, or none; see `leased`."""
        ...

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
        """Have slots for things that are open at once, in place of those that one has.

        Args:
            holder: The process.
            limit: Of all processes together.
            opened: How many of them are in use already.
            needed: How many are wanted at least; see `slots`.
            until: Then they are free again, unless they were taken anew: the process has died.

        Returns:
            How many it has now; fewer than needed when there are no more.
        """
        ...

    def give_slots_back(self, subject: str, kind: str, holder: str, *, left: int) -> None:
        """Keep only so many; written soon. One who ends before loses them by the time only."""
        ...

    async def give_all_slots_back(self, holder: str) -> None:
        """The process ends."""
        ...

    async def rooms_of(self, creator: str) -> list[str]:
        """The ids of the rooms that count for somebody: those that have not ended."""
        ...
