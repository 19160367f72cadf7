"""Those who wait for a change of a room, or of the directory, and how they are woken."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, KeysView
from types import TracebackType
from typing import Protocol


class RoomWatch:
    """One watcher. A wake-up before `wait` is kept for it."""

    def __init__(self, room_ids: Iterable[str] = (), *, directory: bool = False) -> None:
        self.room_ids = frozenset(room_ids)
        self.directory = directory
        self._changed = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._changed = True
        self._let_go()

    async def wait(self, timeout_s: float) -> bool:
        if not self._changed and timeout_s > 0:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self._let_go)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        changed, self._changed = self._changed, False
        return changed

    def _let_go(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Watchers:
    """Watchers by what they watch; lives in the event loop."""

    def __init__(self) -> None:
        self._by_room: dict[str, set[RoomWatch]] = {}
        self._of_directory: set[RoomWatch] = set()
        self._all: set[RoomWatch] = set()

    def __bool__(self) -> bool:
        """Whether anybody watches."""
        return bool(self._all)

    @property
    def room_ids(self) -> KeysView[str]:
        """The rooms that somebody watches."""
        return self._by_room.keys()

    @property
    def watch_directory(self) -> bool:
        """Whether somebody watches the directory."""
        return bool(self._of_directory)

    def register(self, watch: RoomWatch) -> None:
        """Wake it for every change from now on."""
        self._all.add(watch)
        for room_id in watch.room_ids:
            self._by_room.setdefault(room_id, set()).add(watch)
        if watch.directory:
            self._of_directory.add(watch)

    def unregister(self, watch: RoomWatch) -> None:
        self._all.discard(watch)
        self._of_directory.discard(watch)
        for room_id in watch.room_ids:
            watchers = self._by_room.get(room_id)
            if watchers is not None:
                watchers.discard(watch)
                if not watchers:
                    del self._by_room[room_id]

    def wake(self, room_ids: Iterable[str], *, directory: bool = False) -> None:
        """These rooms have changed, and perhaps what the directory shows."""
        for room_id in room_ids:
            for watch in self._by_room.get(room_id, ()):
                watch.wake()
        if directory:
            for watch in self._of_directory:
                watch.wake()

    def wake_all(self) -> None:
        for watch in self._all:
            watch.wake()


class Registry(Protocol):
    """`Watchers`, or what does more when the first comes and the last goes."""

    def register(self, watch: RoomWatch) -> None: ...

    def unregister(self, watch: RoomWatch) -> None: ...


class Watching:
    """Registers a watcher for the length of an `async with`."""

    def __init__(
        self, registries: Collection[Registry], room_ids: Iterable[str], *, directory: bool
    ) -> None:
        self._registries = registries
        self._watch = RoomWatch(room_ids, directory=directory)

    async def __aenter__(self) -> RoomWatch:
        for registry in self._registries:
            registry.register(self._watch)
        return self._watch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for registry in self._registries:
            registry.unregister(self._watch)
