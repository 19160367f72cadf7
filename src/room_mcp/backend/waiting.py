"""Waiting for something to happen: register, read, and only then sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from room_mcp.store.interface import Watch

from .errors import HttpProblem
from .measures import DRAINED, LEFT, REFUSED, TIME, WOKEN, Measures

T = TypeVar("T")


class Waits:
    """All waits of one backend; `drain` ends them early when the server stops."""

    def __init__(self, measures: Measures | None = None) -> None:
        self._sleeping: set[Watch] = set()
        self._measures = measures or Measures()
        self.draining = False

    @property
    def open(self) -> int:
        """How many sleep at this moment."""
        return len(self._sleeping)

    def drain(self) -> None:
        """End all waits now, as if their time were up; new ones are refused for now."""
        self.draining = True
        for watch in self._sleeping:
            watch.wake()

    async def until(
        self,
        ready: Callable[[], Awaitable[T | None]],
        watch: Watch,
        timeout_s: float,
        *,
        of: Collection[str] = (),
        goes_on: bool = False,
    ) -> T | None:
        """What `ready` answers, once it answers something; None when the time ran out first.

        The caller registered `watch` before, so that no change falls between reading and waiting.

        Args:
            of: The rooms that are waited for, for the figures.
            goes_on: Whether the caller waits again when the time runs out: no wait has ended then.

        Raises:
            HttpProblem: The server stops; a wait that began before answers None instead.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        was_draining = self.draining
        slept_at: float | None = None
        ended = LEFT
        try:
            while True:
                if (result := await ready()) is not None:
                    ended = WOKEN
                    if slept_at is not None:
                        self._measures.woken(of, slept_at)
                    return result
                left = deadline - loop.time()
                if left > 0 and was_draining:
                    raise _stopping()
                if left <= 0 or self.draining:
                    ended = DRAINED if self.draining else TIME
                    return None
                slept_at = time.monotonic()
                self._sleeping.add(watch)
                try:
                    await watch.wait(left)
                finally:
                    self._sleeping.discard(watch)
        except Exception:
            ended = REFUSED
            raise
        finally:
            # Who found something at once has not waited.
            if slept_at is not None and not (goes_on and ended is TIME):
                self._measures.waits.add(ended)


def _stopping() -> HttpProblem:
    return HttpProblem("draining", "The server is stopping.", "Try again in a second.")
