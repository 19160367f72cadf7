"""What a process counts and times, in plain numbers; whoever shows them reads them from here."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from types import CoroutineType
from typing import Any, NamedTuple, ParamSpec, TypeVar

# Upper bounds, both close to equal steps on a logarithmic scale.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ACTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
MAX_COMMITTED = 10_000  # rooms whose last commit is known, so that readers soon after find it

Labels = tuple[str, ...]
P = ParamSpec("P")
T = TypeVar("T")


class Tally:
    """Counts, by labels; any thread may add to it."""

    def __init__(self) -> None:
        self._counts: dict[Labels, int] = {}
        self._lock = Lock()

    def add(self, *labels: str) -> None:
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + 1

    def counts(self) -> Mapping[Labels, int]:
        with self._lock:
            return dict(self._counts)


class Spread(NamedTuple):
    """How values are spread: how many lie in each stretch between bounds, the last beyond all."""

    counts: tuple[int, ...]
    total: float


class Spreads:
    """Values, counted by the stretch that they lie in, by labels; any thread may add to it.

    Args:
        bounds: The upper ends of the stretches, rising; each belongs to the stretch below.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts: dict[Labels, list[int]] = {}
        self._totals: dict[Labels, float] = {}
        self._lock = Lock()

    def add(self, value: float, *labels: str) -> None:
        at = bisect_left(self.bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self.bounds) + 1)
                self._totals[labels] = 0.0
            counts[at] += 1
            self._totals[labels] += value

    def spreads(self) -> Mapping[Labels, Spread]:
        with self._lock:
            return {
                labels: Spread(tuple(counts), self._totals[labels])
                for labels, counts in self._counts.items()
            }


class StoreMeasures:
    """Of one store: its commits, and how long its calls take.

    `commit_acts` are acts per transaction, `commit_s` seconds for one; `call_s` are seconds that
    whoever called has waited, by kind of call.
    """

    def __init__(self) -> None:
        self.commit_acts = Spreads(ACTS)
        self.commit_s = Spreads(SECONDS)
        self.call_s = Spreads(SECONDS)
        self._committed: OrderedDict[str, float] = OrderedDict()  # by room, as time.monotonic
        self._lock = Lock()

    def committed(self, acts: int, room_ids: Collection[str], seconds: float) -> None:
        """Told by the engine after each commit that changed rooms, before it wakes anybody.

        Args:
            acts: How many acts shared the transaction.
            room_ids: The rooms that it changed.
            seconds: From its beginning to the end of COMMIT.
        """
        self.commit_acts.add(acts)
        self.commit_s.add(seconds)
        now = time.monotonic()
        with self._lock:
            for id in room_ids:
                self._committed[id] = now
                self._committed.move_to_end(id)
            while len(self._committed) > MAX_COMMITTED:
                self._committed.popitem(last=False)

    def committed_at(self, room_ids: Collection[str]) -> float | None:
        """When this process last changed one of these rooms, as `time.monotonic` tells it."""
        with self._lock:
            known = [self._committed[id] for id in room_ids if id in self._committed]
        return max(known, default=None)

    def timed(
        self, kind: str, call: Callable[P, CoroutineType[Any, Any, T]]
    ) -> Callable[P, CoroutineType[Any, Any, T]]:
        """The same call, whose seconds are counted under `kind`, however it ends."""

        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.perf_counter()
            try:
                return await call(*args, **kwargs)
            finally:
                self.call_s.add(time.perf_counter() - began, kind)

        return measured
