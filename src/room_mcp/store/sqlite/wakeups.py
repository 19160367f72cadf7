"""Wakes whoever watches a room, or the directory, after commits of this and other processes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import apsw

from ..interface import StoreError
from .batch import Changes
from .connection import Database, connect_reader, trouble
from .files import Files, Place
from .signals import Signal, signal_for


class RoomWatch:
    """One watcher. A wake-up before `wait` is kept for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._changed = True
        self._let_go()

    async def wait(self, timeout_s: float) -> bool:
        if not self._changed and timeout_s > 0:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(timeout_s, self._let_go)
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


class Watching:
    """Registers a watcher for the length of an `async with`."""

    def __init__(self, wakeups: Wakeups, room_ids: Iterable[str], directory: bool) -> None:
        self._wakeups = wakeups
        self._room_ids = frozenset(room_ids)
        self._directory = directory

    async def __aenter__(self) -> RoomWatch:
        self._watch = self._wakeups.register(self._room_ids, directory=self._directory)
        return self._watch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wakeups.unregister(self._watch, self._room_ids)


class Wakeups:
    """All watchers of this process; lives in the event loop.

    `moved` is called when other files than those it began with lie at the path.
    """

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, moved: Callable[[], None]
    ) -> None:
        self._path = path
        self._loop = loop
        self._moved = moved
        self._place = Place(path)
        self._files: Files | None = None  # None: not begun, or let go of
        self._by_room: dict[str, set[RoomWatch]] = {}
        self._of_directory: set[RoomWatch] = set()
        self._all: set[RoomWatch] = set()
        self._signal: Signal | None = None
        self._db: Database | None = None
        self._seen_rev = 0  # commits up to this one have woken whom they concern
        self._seen_version = -1

    def register(self, room_ids: Collection[str], *, directory: bool) -> RoomWatch:
        """A watcher that wakes for every commit from now on."""
        if not self._all:
            self._begin()
        watch = RoomWatch(self._loop)
        self._all.add(watch)
        for room_id in room_ids:
            self._by_room.setdefault(room_id, set()).add(watch)
        if directory:
            self._of_directory.add(watch)
        return watch

    def unregister(self, watch: RoomWatch, room_ids: Collection[str]) -> None:
        self._all.discard(watch)
        self._of_directory.discard(watch)
        for room_id in room_ids:
            watchers = self._by_room.get(room_id)
            if watchers is not None:
                watchers.discard(watch)
                if not watchers:
                    del self._by_room[room_id]
        if not self._all and self._signal is not None:
            self._signal.stop()

    def after_commit(self, changes: Changes) -> None:
        """This process has committed."""
        if not self._all:
            return
        if changes.rev == self._seen_rev + 1:
            self._seen_rev = changes.rev  # nobody else came between: no need to look it up
        self._wake(changes.room_ids, directory=changes.directory)

    def wake_all(self) -> None:
        for watch in self._all:
            watch.wake()

    def begin(self, files: Files) -> None:
        """Follow what is committed to these files. Who watches already is woken."""
        self._files = files
        if self._all:
            with suppress(StoreError):  # those who are woken read, and are told
                self._begin()
            self.wake_all()

    def let_go(self) -> threading.Event:
        """Close the files until told to begin again; the watchers stay, and are woken.

        Returns:
            Set when no connection is left.
        """
        self._files = None
        self.wake_all()
        gone = threading.Event()
        gone.set()
        if self._signal is not None:
            self._signal.close()
            gone = self._signal.gone
            self._signal = None
        if self._db is not None:
            self._db.close()
            self._db = None
        return gone

    def _begin(self) -> None:
        """Listen, and only then note where we are: what comes between is seen twice, not lost."""
        if self._files is None:
            return  # `begin` wakes all, and whoever is woken reads
        try:
            if self._db is None:
                self._db = connect_reader(self._path, wait_ms=0)  # the event loop must not wait
            if self._signal is None:
                self._signal = signal_for(self._path)
            self._signal.start(self._loop, self._look)
            self._seen_version = -1
            self._seen_rev = int(self._db.value("SELECT coalesce(max(rev), 0) FROM rooms"))
        except apsw.Error as error:
            raise trouble(error, self._path) from error

    def _look(self) -> None:
        """Somebody may have committed: wake whom it concerns."""
        if self._db is None or not self._all:
            return
        files = self._place.files()
        if files != self._files and files.database is not None:
            self._moved()
            return
        try:
            version = self._db.pragma("data_version")
            if version == self._seen_version:
                return
            ((rev, dir_rev, ids),) = self._db.rows(
                "SELECT max(rev), max(dir_rev), json_group_array(id) FROM rooms WHERE rev > ?",
                (self._seen_rev,),
            )
        except apsw.Error:
            # Another process recovers the WAL, and the next look comes soon; or the file is
            # damaged, which whoever reads is told.
            return
        self._seen_version = version
        if rev is None:
            return
        directory = dir_rev > self._seen_rev
        self._seen_rev = rev
        self._wake(json.loads(ids), directory=directory)

    def _wake(self, room_ids: Iterable[str], *, directory: bool) -> None:
        for room_id in room_ids:
            for watch in self._by_room.get(room_id, ()):
                watch.wake()
        if directory:
            for watch in self._of_directory:
                watch.wake()
