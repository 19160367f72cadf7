"""Reading: look-ups in the event loop, and threads for what takes longer.

A look-up by key takes some 30 µs, while handing it to a thread and back takes several times as
long, and more on a busy machine.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ..interface import StoreUnavailable
from .connection import Database, connect_reader, trouble

READERS = 2

T = TypeVar("T")
Query = Callable[[Database], T]


class Readers:
    """Runs queries in read transactions: all statements of one query see the same state."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._loop = loop
        self._own: Database | None = None  # the event loop's connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        for number in range(READERS):
            threading.Thread(
                target=self._serve, name=f"room-mcp reader {number}", daemon=True
            ).start()

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
            if self._own is None:
                self._own = connect_reader(self._path)
                self._own.wait_for_locks(0)  # the event loop must not wait
            return _in_transaction(self._own, query)
        except apsw.BusyError:
            return await self.run(query)
        except apsw.Error as error:
            raise trouble(error, self._path) from error

    def close(self) -> None:
        """Let the threads end after the queries that they have."""
        self._closed = True
        if self._own is not None:
            self._own.close()
            self._own = None
        for _ in range(READERS):
            self._jobs.put(None)

    def _serve(self) -> None:
        db: Database | None = None
        while (job := self._jobs.get()) is not None:
            result: Any = None
            failure: BaseException | None = None
            try:
                db = db or connect_reader(self._path)
                result = _in_transaction(db, job.query)
            except apsw.Error as error:
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
