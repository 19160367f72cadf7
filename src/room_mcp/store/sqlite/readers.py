"""Reading: look-ups in the event loop, and threads for what takes longer.

A look-up by key takes some 30 µs, while handing it to a thread and back takes several times as
long, and more on a busy machine.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ..cache import RoomCache
from ..interface import StoreUnavailable
from .connection import UNREADABLE, Database, connect_reader, trouble

READERS = 2

T = TypeVar("T")
Query = Callable[[Database], T]


class Readers:
    """Runs queries in read transactions: all statements of one query see the same state.

    Its connections are opened at once, and stay with the file that is there then.
    """

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, cache: RoomCache) -> None:
        self.gone = threading.Event()  # closed, and no connection is left
        self.ended = asyncio.Event()  # the same, for the event loop
        self._path = path
        self._loop = loop
        self._cache = cache
        self._own: Database | None = None  # the event loop's connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._serving = READERS
        self._count = threading.Lock()
        with suppress(apsw.Error):  # the first look-up tries again, and tells
            self._own = self._connect_own()
        for number in range(READERS):
            threading.Thread(
                target=self._serve, name=f"room-mcp reader {number}", daemon=True
            ).start()

    @property
    def are_open(self) -> bool:
        return not self._closed

    async def run(self, query: Query[T]) -> T:
        """What the query gives; it must fetch everything it wants before it returns."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        job = _Job(query, self._loop.create_future())
        self._jobs.put(job)
        return await job.future

    async def look_up(self, query: Query[T]) -> T:
        """What a query by key gives, without a thread unless a lock is in the way."""
        if self._closed:
            raise StoreUnavailable("The store is closed.")
        try:
            self._own = self._own or self._connect_own()
            return _in_transaction(self._own, query)
        except apsw.BusyError:
            return await self.run(query)
        except (apsw.Error, *UNREADABLE) as error:
            raise trouble(error, self._path) from error

    def close(self) -> None:
        """Let the threads end after the queries that they have."""
        self._closed = True
        if self._own is not None:
            self._own.close()
            self._own = None
        for _ in range(READERS):
            self._jobs.put(None)

    def _connect_own(self) -> Database:
        return connect_reader(self._path, self._cache, wait_ms=0)  # the event loop must not wait

    def _serve(self) -> None:
        try:
            self._serve_jobs()
        finally:
            with self._count:
                self._serving -= 1
            if not self._serving:
                self.gone.set()
                with suppress(RuntimeError):  # the event loop has ended, and with it who waited
                    self._loop.call_soon_threadsafe(self.ended.set)

    def _serve_jobs(self) -> None:
        db: Database | None = None
        with suppress(apsw.Error):  # the first job tries again, and tells
            db = connect_reader(self._path, self._cache)
        while (job := self._jobs.get()) is not None:
            result: Any = None
            failure: BaseException | None = None
            try:
                db = db or connect_reader(self._path, self._cache)
                result = _in_transaction(db, job.query)
            except (apsw.Error, *UNREADABLE) as error:
                failure = trouble(error, self._path)
            except Exception as error:
                failure = error
            try:
                self._loop.call_soon_threadsafe(job.finish, result, failure)
            except RuntimeError:
                break  # the event loop has ended, and with it whoever asked
            del job, result, failure
        if db is not None:
            db.close()


class _Job:
    def __init__(self, query: Query[Any], future: asyncio.Future[Any]) -> None:
        self.query = query
        self.future = future

    def finish(self, result: Any, failure: BaseException | None) -> None:
        if self.future.done():
            return  # whoever asked was cancelled
        if failure is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(failure)


def _in_transaction(db: Database, query: Query[T]) -> T:
    db.run("BEGIN")
    try:
        return query(db)
    finally:
        if db.in_transaction:
            db.run("COMMIT")
