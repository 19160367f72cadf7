"""What a store asks its database and writes there: each is tried until it comes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from anyio import CancelScope

from ..interface import StoreBusy, StoreError, StoreSilent, StoreUnavailable
from .addresses import address_in
from .connecting import Connections
from .database import LASTING, PASSING, Database
from .rest import Rest
from .rest import write as write_rest
from .sessions import closed
from .trying import tried

MARKS_WAIT_S = 0.1  # together with what else comes by then
AGAIN_S = 1.0  # after what is only noted could not be written
COUNT_TIMEOUT_S = 1.0  # then callers are counted without the store for a while

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Transactions:
    """Questions to the database of one store and what is written there, but for the changes of
    rooms; with what is only noted, which is written soon."""

    def __init__(self, url: str, *, begun_anew: Callable[[], None]) -> None:
        self.address = address_in(url)
        self._connections = Connections(self.address, begun_anew=begun_anew)
        self._rest = Rest()
        self._is_open = False
        self._writing: asyncio.Task[None] | None = None  # the rest, if no commit takes it along
        self._ending = asyncio.Event()
        self._trouble = ""  # that was told last of writing it

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("The store is not open.")

    async def _query(self, query: Callable[[Database], Awaitable[T]]) -> T:
        self._must_be_open()

        async def ask() -> T:
            async with self._connections.borrowed() as db:
                return await query(db)

        return await tried(ask, self.address)

    @asynccontextmanager
    async def _patient(self, **settings: str) -> AsyncGenerator[Database]:
        """A connection beside the pool, whose statements may take as long as they need."""
        session = await self._connections.patient(**settings)
        try:
            yield Database(session)
        finally:
            await closed(session)

    async def _write(self, write: Callable[[Database], Awaitable[T]]) -> T:
        """A transaction of its own about anything but rooms.

        It takes nothing along: it may hold rows already that others take in another order.
        """
        self._must_be_open()

        async def transact() -> T:
            async with self._connections.borrowed() as db, db.transaction():
                return await write(db)

        return await seen_through(tried(transact, self.address))

    async def _count(self, count: Callable[[Database], Awaitable[T]]) -> T:
        """Counts must not hold anybody up: soon they are made without the store."""
        self._must_be_open()

        async def transact() -> T:
            async with self._connections.borrowed() as db:
                await self._rest.give_slots_back(db)
                async with db.transaction(PASSING):
                    return await count(db)

        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                return await tried(transact, self.address)
        except TimeoutError:
            raise StoreBusy("The store was too slow to count.", advice="Try again.") from None

    # ---- what is only noted ---------------------------------------------------------------------

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        """Write what is noted until nothing is left, or the store is closed."""
        wait_s = MARKS_WAIT_S
        try:
            while self._rest:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._ending.wait()
                wait_s = MARKS_WAIT_S if await self._write_rest() else AGAIN_S
                if not self._is_open:
                    return
        finally:
            self._writing = None

    async def _write_at_end(self, wait_s: float) -> None:
        """Write what is noted at once; given up after so many seconds."""
        self._ending.set()
        last = asyncio.create_task(self._write_last())
        await asyncio.wait([last], timeout=wait_s)
        for one in (last, self._writing):
            if one is not None:
                one.cancel()
        self._ending.clear()

    async def _write_last(self) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await self._write_rest()  # what was noted meanwhile

    async def _write_rest(self) -> bool:
        """Write what no commit took along; whether nothing of it has to be tried again."""
        await self._rest.wait_for_refusals()
        if not self._rest:
            return True

        async def transact() -> None:
            async with self._connections.borrowed() as db:
                await self._rest.give_slots_back(db)
                with self._rest.taken() as rest:
                    # Numbers of the audit are told, and must not come again after a crash.
                    async with db.transaction(LASTING if rest.refusals else PASSING):
                        await write_rest(db, rest)

        try:
            await tried(transact, self.address)
        except StoreError as error:
            self._tell_of_rest(str(error), is_told=isinstance(error, StoreSilent))
            return False
        self._tell_of_rest("")
        return True

    def _tell_of_rest(self, trouble: str, *, is_told: bool = False) -> None:
        """Say once what is wrong, and once that nothing is any more.

        Args:
            is_told: The listener says it.
        """
        before, self._trouble = self._trouble, "" if is_told else trouble
        if self._trouble == before:
            return
        if self._trouble:
            logger.warning(
                "What was only noted, such as how far members have read, cannot be written yet: %s",
                trouble,
            )
        else:
            logger.warning("What was only noted can be written again.")


async def seen_through(call: Coroutine[Any, Any, T]) -> T:
    """What the call answers. A caller who is cancelled waits for it: it may be done then, and is
    not told."""
    task = asyncio.create_task(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue  # told already; the first cancellation goes on from here
        if not task.cancelled():
            task.exception()  # seen, though nobody is told
        raise
