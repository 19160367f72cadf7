"""Those who wait for a change, and how they are woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

import anyio


class MemoryWatch:
    """One watcher. A wake-up before `wait` is kept for it."""

    def __init__(self, room_ids: Collection[str], *, directory: bool) -> None:
        self.room_ids = frozenset(room_ids)
        self.directory = directory
        self._changed = asyncio.Event()

    def wake(self) -> None:
        self._changed.set()

    async def wait(self, timeout_s: float) -> bool:
        if timeout_s > 0:
            with anyio.move_on_after(timeout_s):
                await self._changed.wait()
        changed = self._changed.is_set()
        self._changed.clear()
        return changed


class Watchers:
    """All watchers of a place."""

    def __init__(self) -> None:
        self._all: set[MemoryWatch] = set()

    @asynccontextmanager
    async def watching(
        self, mine: set[MemoryWatch], room_ids: Collection[str], *, directory: bool
    ) -> AsyncGenerator[MemoryWatch]:
        """A watcher for the length of an `async with`; among `mine`, too, for as long."""
        watch = MemoryWatch(room_ids, directory=directory)
        self._all.add(watch)
        mine.add(watch)
        try:
            yield watch
        finally:
            self._all.discard(watch)
            mine.discard(watch)

    def wake(self, room_id: str, *, directory: bool) -> None:
        """The room has changed, and perhaps what the directory shows of it."""
        for watch in self._all:
            if room_id in watch.room_ids or (directory and watch.directory):
                watch.wake()
