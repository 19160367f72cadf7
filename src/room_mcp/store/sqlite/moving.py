"""Leaving the files that are open for others that lie at the path of a store."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..interface import StoreBusy
from .files import Files, Place, vanished

SAVING_S = 5  # how long others get to save what is only in their WAL; they may have died
OPENING_S = 0.3  # the same when a store is opened: somebody may only have looked with a tool
LEAVING_S = 1  # how long readers get to end before other files are opened

Connections = Sequence[threading.Event]  # each is set once it is closed
Leaving = Callable[["queue.SimpleQueue[Connections]"], None]


class Moving:
    """For the writer's thread, while it holds the file lock.

    Args:
        leaving: Has all connections of the process closed but the writer's; puts an event for
            each of them into the queue.
    """

    def __init__(self, path: Path, leaving: Leaving) -> None:
        self._path = path
        self._place = Place(path)
        self._leaving = leaving
        self._waiting_since: float | None = None

    def leave(self, ours: Files, found: Files, note: bytes, save: Callable[[], bool]) -> None:
        """Let nothing that is only in our WAL be lost, nor get into a file that is not its own.

        Args:
            note: Of the files that were opened last by any process; empty when the lock was
                deleted as well.
            save: Copies our WAL into the database file; False: not all of it.

        Raises:
            StoreBusy, StoreUnavailable: Something is in the way; all is as it was.
        """
        self.must_not_wait(found, note, ours)
        # No process has left our files for others yet. Then what else lies at the path was made by
        # a mere reader, and is of no worth.
        is_first = note == ours.noted() or (not note and found.wal in (ours.wal, None))
        if found.database != ours.database:
            # SQLite would take our WAL for that of the new file. What it holds is of the old one.
            self._save_apart(ours, found, save)
            self._place.remove_wal(wal=False, shm=found.shm == ours.shm)
        elif is_first:
            if found.wal != ours.wal and not save():  # all of it is still open here
                raise self._in_the_way()
            self._place.remove_wal(wal=found.wal != ours.wal, shm=True)

    def _save_apart(self, ours: Files, found: Files, save: Callable[[], bool]) -> None:
        if found.wal is not None and found.wal == ours.wal:
            if save():
                self._place.remove_wal(wal=True, shm=False)
            else:
                self._place.set_wal_aside()
        elif (left := self._place.left(ours.wal)) is not None and save():
            # Whoever opened the other database first could not save what is open here alone.
            with suppress(OSError):
                os.unlink(left)

    def must_wait(self, found: Files, note: bytes, ours: Files | None, *, wait_s: float) -> bool:
        """Whether another process has to come first, to save what it alone has open.

        Args:
            note: Of the files that were opened last by any process.
            ours: Nothing is only in them, or it is saved here.
            wait_s: Then it is taken for dead.
        """
        noted = Files.from_note(note)
        if noted in (None, found, ours) or noted.database != found.database:
            self._waiting_since = None
            return False
        now = time.monotonic()
        self._waiting_since = self._waiting_since or now
        return now - self._waiting_since < wait_s

    def must_not_wait(self, found: Files, note: bytes, ours: Files | None) -> None:
        """Raises StoreBusy as long as another process has to come first."""
        if self.must_wait(found, note, ours, wait_s=SAVING_S):
            raise vanished(self._path)

    def let_go(self) -> None:
        """Wait until the other connections are closed: SQLite shares files between them.

        Raises:
            StoreBusy: A reader takes too long.
        """
        answer: queue.SimpleQueue[Connections] = queue.SimpleQueue()
        end = time.monotonic() + LEAVING_S
        self._leaving(answer)
        with suppress(queue.Empty):
            connections = answer.get(timeout=LEAVING_S)
            if all(one.wait(max(0, end - time.monotonic())) for one in connections):
                return
        raise self._in_the_way()

    def _in_the_way(self) -> StoreBusy:
        return StoreBusy(
            f"The files of {self._path} were replaced, and readers are in the way of opening the "
            "new ones; nothing was stored.",
            advice="Try again.",
        )
