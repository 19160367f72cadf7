"""Waiting for something to happen: register, read, and only then sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from room_mcp.store.interface import Watch

from .errors import HttpProblem

T = TypeVar("T")


class Waits:
    """All waits of one backend; `drain` ends them early when the server stops."""

    def __init__(self) -> None:
        self._sleeping: set[Watch] = set()
        self.draining = False

    def drain(self) -> None:
        """End all waits now, as if their time were up; new ones are refused for now."""
        self.draining = True
        for watch in self._sleeping:
            watch.wake()

    async def until(
        self, ready: Callable[[], Awaitable[T | None]], watch: Watch, timeout_s: float
    ) -> T | None:
        """What `ready` answers, once it answers something; None when the time ran out first.

        The caller registered `watch` before, so that no change falls between reading and waiting.

        Raises:
            HttpProblem: The server stops; a wait that began before answers None instead.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        was_draining = self.draining
        while True:
            if (result := await ready()) is not None:
                return result
            left = deadline - loop.time()
            if left > 0 and was_draining:
                raise HttpProblem("draining", "The server is stopping.", "Try again in a second.")
            if left <= 0 or self.draining:
                return None
            self._sleeping.add(watch)
            try:
                await watch.wait(left)
            finally:
                self._sleeping.discard(watch)
