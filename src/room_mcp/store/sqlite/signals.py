"""How a process learns that another one has committed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import apsw

from .connection import Database, connect_reader
from .files import Place

POLL_S = 0.005  # without inotify: most of it is asleep, 1.2 % of a core
SAFETY_POLL_S = 0.05  # beside inotify, should an event be lost


def notify_path(path: Path) -> Path:
    return path.with_name(path.name + ".notify")


class NotifyFile:
    """The file that every commit touches. The WAL itself changes before a commit is visible."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(notify_path(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def touch(self) -> None:
        os.pwrite(self._fd, b"\n", 0)

    def close(self) -> None:
        os.close(self._fd)


class Signal(Protocol):
    """Calls back in the event loop when something may have been committed."""

    gone: threading.Event
    """Set while it has no connection."""

    def start(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None: ...

    def stop(self) -> None:
        """Be quiet until started again."""
        ...

    def close(self) -> None: ...


class InotifySignal:
    """Watches the notify file, and looks now and then all the same. Linux only."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the user has used up his inotify instances."""
        import inotify_simple  # pyright: ignore[reportMissingTypeStubs] -- it has none

        self.gone = threading.Event()
        self.gone.set()
        self._inotify: Any = inotify_simple.INotify(nonblocking=True)
        self._modified: Any = inotify_simple.flags.MODIFY
        self._path = notify_path(path)
        self._watch: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        loop.add_reader(self._inotify.fileno(), self._on_event)
        with suppress(OSError):  # no watches left for this user: then the poll must do
            self._watch = self._inotify.add_watch(self._path, self._modified)
        self._timer = loop.call_later(SAFETY_POLL_S, self._on_time)

    def stop(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._loop.remove_reader(self._inotify.fileno())
        if self._watch is not None:
            self._inotify.rm_watch(self._watch)
            self._watch = None

    def close(self) -> None:
        self.stop()
        self._inotify.close()

    def _on_event(self) -> None:
        self._inotify.read(timeout=0)
        self._call()

    def _on_time(self) -> None:
        self._timer = self._loop.call_later(SAFETY_POLL_S, self._on_time)
        self._call()


class PollingSignal:
    """A thread that asks SQLite every few milliseconds whether anybody has committed."""

    def __init__(self, path: Path) -> None:
        self.gone = threading.Event()
        self.gone.set()
        self._path = path
        self._stopped: threading.Event | None = None

    def start(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._stopped = threading.Event()
        self.gone = threading.Event()
        threading.Thread(
            target=self._poll,
            args=(loop, call, self._stopped, self.gone),
            name="room-mcp wake-ups",
            daemon=True,
        ).start()

    def stop(self) -> None:
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None

    def close(self) -> None:
        self.stop()

    def _poll(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Callable[[], None],
        stopped: threading.Event,
        gone: threading.Event,
    ) -> None:
        db: Database | None = None
        seen: object = None  # so that the first look calls back: nothing since `start` is missed
        place = Place(self._path)
        try:
            while not stopped.wait(POLL_S):
                try:
                    db = db or connect_reader(self._path)
                    version = (db.pragma("data_version"), place.files())
                except apsw.Error:
                    continue  # another process recovers the WAL; or whoever reads is told
                if version != seen:
                    seen = version
                    loop.call_soon_threadsafe(call)
        except RuntimeError:
            return  # the event loop has ended
        finally:
            if db is not None:
                db.close()
            gone.set()


def signal_for(path: Path) -> Signal:
    """The quickest way that this machine has."""
    try:
        return InotifySignal(path)
    except (ImportError, OSError):
        return PollingSignal(path)
