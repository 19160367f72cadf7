"""Wakes whoever watches a room, or the directory, after commits of this and other processes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw

from ..interface import StoreError
from ..watching import RoomWatch, Watchers
from .batch import Changes
from .connection import Database, connect_reader, trouble
from .files import Files, Place
from .signals import Signal, signal_for


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
        self._watchers = Watchers()
        self._signal: Signal | None = None
        self._db: Database | None = None
        self._seen_rev = 0  # commits up to this one have woken whom they concern
        self._seen_version = -1

    def register(self, watch: RoomWatch) -> None:
        """Wake it for every commit from now on."""
        if not self._watchers:
            self._begin()
        self._watchers.register(watch)

    def unregister(self, watch: RoomWatch) -> None:
        self._watchers.unregister(watch)
        if not self._watchers and self._signal is not None:
            self._signal.stop()

    def after_commit(self, changes: Changes) -> None:
        """This process has committed."""
        if not self._watchers:
            return
        if changes.rev == self._seen_rev + 1:
            self._seen_rev = changes.rev  # nobody else came between: no need to look it up
        self._watchers.wake(changes.room_ids, directory=changes.directory)

    def wake_all(self) -> None:
        self._watchers.wake_all()

    def begin(self, files: Files) -> None:
        """Follow what is committed to these files. Who watches already is woken."""
        self._files = files
        if self._watchers:
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
        if self._db is None or not self._watchers:
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
        self._watchers.wake(json.loads(ids), directory=directory)
