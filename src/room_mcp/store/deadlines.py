"""The deadlines of waiting work, by one timer for all of it.

Nearly all work is done long before its deadline: a timer for each would be made and cancelled for
nothing, which is a tenth of what a post costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `passed` in the event loop, once, with whatever is still here at its deadline."""

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[T], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._waiting: dict[T, float] = {}  # until when, in the time of the event loop
        self._timer: asyncio.TimerHandle | None = None
        self._next = inf  # when the timer comes

    def add(self, one: T, timeout_s: float) -> None:
        at = self._loop.time() + timeout_s
        self._waiting[one] = at
        if at < self._next:
            self._wake_at(at)

    def discard(self, one: T) -> None:
        self._waiting.pop(one, None)

    def waiting(self) -> list[T]:
        return list(self._waiting)

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        due, self._next, self._timer = self._next, inf, None
        for one in [one for one, at in self._waiting.items() if at <= due]:
            self._waiting[one] = inf  # once is enough
            self._passed(one)
        following = min(self._waiting.values(), default=inf)
        if following < inf:
            self._wake_at(following)
