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
        self._draining = asyncio.Event()

    @property
    def draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        """End all waits now, as if their time were up; new ones are refused for now."""
        self._draining.set()

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
            await self._woken_or_draining(watch, left)

    async def _woken_or_draining(self, watch: Watch, timeout_s: float) -> None:
        waits = (
            asyncio.ensure_future(watch.wait(timeout_s)),
            asyncio.ensure_future(self._draining.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
