"""How often callers do things: what this process may still let through, leased from the store."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from room_mcp.store.interface import StoreError
from room_mcp.store.limiting import LEASED_FOR, LimitStore, Rate, leased

MAX_BUCKETS = 10_000  # callers that this process remembers; forgetting one loses him a lease
ALONE_FOR = timedelta(seconds=5)  # then a store that could not count is asked again
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Standing(NamedTuple):
    """How many a caller may still do now, and when all of the burst is his again."""

    left: int
    until_full: timedelta


@dataclass(slots=True)
class _Bucket:
    """What was leased for one caller and one kind; `due_at` is what the store last said.

    `count` is left of the `size` that it was when something came to it last.
    `wanted` is how much all need together who wait for the lease that is under way.
    """

    count: int = 0
    size: int = 0
    until: datetime = _LONG_AGO
    due_at: datetime = _LONG_AGO
    wanted: int = 0
    leasing: asyncio.Future[None] | None = None

    def left(self, at: datetime) -> int:
        # Also when it lies too far ahead: the clock was set back.
        return self.count if timedelta(0) < self.until - at <= LEASED_FOR else 0

    @property
    def runs_out(self) -> bool:
        return self.count * 2 < self.size

    def spend(self, count: int, at: datetime) -> bool:
        if self.left(at) < count:
            return False
        self.count -= count
        return True


class Rates:
    """Counts what callers do, over all processes of a store.

    While the store cannot be written, each process counts by itself: what only reads goes on.
    """

    def __init__(self, store: LimitStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._alone_until = _LONG_AGO

    async def take(self, subject: str, kind: str, rate: Rate, count: int) -> timedelta | None:
        """Take so many of a caller's rate.

        Returns:
            None when they were taken; otherwise how long it is until so many are free.
        """
        bucket = self._bucket(subject, kind)
        at = self._clock()
        if bucket.spend(count, at):
            if bucket.runs_out and bucket.leasing is None and rate.has_plenty(bucket.due_at, at):
                # Beside the posts that it lets through, so that the next ones need not wait.
                self._begin_lease(bucket, subject, kind, rate, needed=1)
            return None
        bucket.wanted += count
        try:
            while not bucket.spend(count, at := self._clock()):
                needed = count - bucket.left(at)
                if bucket.leasing is None:
                    # What the store said last can only have become later: no need to ask again,
                    # unless the clock was set back, which it has to hear of.
                    in_order = bucket.due_at - at <= rate.window
                    if in_order and rate.free(bucket.due_at, at) < needed:
                        return rate.until_free(bucket.due_at, at, needed)
                    self._begin_lease(bucket, subject, kind, rate, needed)
                # For all who wait, and all go on together: so their messages share a commit.
                if bucket.leasing is not None:
                    await asyncio.shield(bucket.leasing)
        finally:
            bucket.wanted -= count
        return None

    def _begin_lease(
        self, bucket: _Bucket, subject: str, kind: str, rate: Rate, needed: int
    ) -> None:
        bucket.leasing = asyncio.ensure_future(self._lease(bucket, subject, kind, rate, needed))

    async def _lease(
        self, bucket: _Bucket, subject: str, kind: str, rate: Rate, needed: int
    ) -> None:
        at = self._clock()
        wanted = bucket.wanted - bucket.left(at)
        taken = None
        try:
            if at >= self._alone_until:
                taken = await self._store.take(
                    subject, kind, rate, needed=needed, wanted=wanted, at=at
                )
        except StoreError:
            self._alone_until = at + ALONE_FOR
        finally:
            bucket.leasing = None
        if taken is None:
            taken = leased(rate, bucket.due_at, needed=needed, wanted=wanted, at=at)
        now = self._clock()
        bucket.due_at = taken.due_at
        if taken.number:
            bucket.count = bucket.size = bucket.left(now) + taken.number
            bucket.until = now + LEASED_FOR

    def standing(self, subject: str, kind: str, rate: Rate) -> Standing:
        """What a caller has left, as far as this process knows."""
        at = self._clock()
        bucket = self._bucket(subject, kind)
        return Standing(
            rate.free(bucket.due_at, at) + bucket.left(at),
            rate.until_free(bucket.due_at, at, rate.burst),
        )

    def _bucket(self, subject: str, kind: str) -> _Bucket:
        bucket = self._buckets.get((subject, kind))
        if bucket is None:
            bucket = self._buckets[subject, kind] = _Bucket()
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end((subject, kind))
        return bucket
