"""Only a few at once of what may take long, so that it never takes all there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ..interface import StoreBusy

TURN_S = 5.0  # that somebody waits for his turn


class Turns:
    """So many at once; the others wait, and are told when they have waited for too long.

    Args:
        what: Is done, as it is told.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._free = asyncio.Semaphore(most)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Raises StoreBusy."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy(
                f"{self._what} take all {self._most} connections that a node has for them.",
                advice="Try again in a while.",
            ) from None
        try:
            yield
        finally:
            self._free.release()
