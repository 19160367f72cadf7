"""Commits the acts of this node, for all who wait together, on a connection of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg

from room_mcp.rooms import Refusal

from .. import work
from ..cache import RoomCache
from ..interface import Act, Done, OutcomeUnknown, StoreBusy, StoreError
from ..measuring import StoreMeasures
from ..memories import Memories
from ..work import State, fail
from .batch import AHEAD_MESSAGES, Batch, Changes
from .connecting import LOST, PASSES, Connections, closed, misfit, trouble
from .database import CommitFailed, Database, Session
from .rest import Along, Rest
from .source import Wanted
from .trying import pauses

logger = logging.getLogger(__name__)

MAX_BATCH_MESSAGES = 256  # in one transaction, so that other nodes get their turn soon
MAX_TRYING_S = 15.0  # for what was begun: a database that is started anew is back by then

# Statements of the writer find rows by their keys. Where tables are new and have no statistics, a
# planner that may scan them does.
PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


class Acting(work.Work[Batch, list[Done | Refusal]]):
    """Acts in one room, in order."""

    def __init__(self, room_id: str, acts: Sequence[Act]) -> None:
        super().__init__()
        self.room_id = room_id
        self.acts = acts
        self.size = len(acts)

    def perform(self, batch: Batch) -> list[Done | Refusal]:
        return batch.act(self.room_id, self.acts)


class Writer:
    """Takes work until it is closed; lives in the event loop.

    `committed` is called after each commit that changed something, before anybody is told.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        node: str,
        rest: Rest,
        cache: RoomCache,
        memories: Memories,
        clock: Callable[[], datetime],
        measures: StoreMeasures,
        committed: Callable[[Changes], None],
    ) -> None:
        self._connections = connections
        self._node = node
        self._rest = rest
        self._cache = cache
        self._memories = memories
        self._clock = clock
        self._measures = measures
        self._committed = committed
        self._waiting: deque[Acting] = deque()
        self._some = asyncio.Event()
        self._closing = False
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="room-mcp writer")

    async def aclose(self, wait_s: float) -> None:
        """Finish what was begun, for at most so long."""
        self._closing = True
        self._some.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=wait_s)
            self._task.cancel()
            await asyncio.wait([self._task])
        await closed(self._session)

    def submit(self, works: Sequence[Acting]) -> None:
        self._waiting.extend(works)
        self._some.set()

    def abandon(self, acting: Acting) -> bool:
        """Take work back. False: it is begun, and will be finished."""
        if acting.state is not State.PENDING:
            return False
        acting.state = State.ABANDONED
        return True

    async def _run(self) -> None:
        while not self._closing or self._waiting:
            await self._some.wait()
            self._some.clear()
            while works := self._claim():
                try:
                    await self._store(works)
                finally:  # also where the writer ends: nobody may wait for it any more
                    for one in works:
                        one.finish()
                # Those who were just told may have the next thing to say: it comes along.
                await asyncio.sleep(0)

    def _claim(self) -> list[Acting]:
        """The next transaction's work. Callers cannot take it back from here on."""
        works: list[Acting] = []
        room = MAX_BATCH_MESSAGES
        while self._waiting:
            one = self._waiting[0]
            if one.state is not State.ABANDONED:
                if works and one.size > room:
                    break
                one.state = State.CLAIMED
                works.append(one)
                room -= one.size
            self._waiting.popleft()
        return works

    # ---- until it is known what has become of it ------------------------------------------------

    async def _store(self, works: Sequence[Acting]) -> None:
        """Commit it; what fails is told to those it concerns."""
        try:
            with self._rest.taken() as rest:
                await self._try(works, rest)
        except StoreError as error:
            fail(works, error)
            if isinstance(error, OutcomeUnknown):  # whoever waits here looks for himself
                self._committed(Changes(tuple(one.room_id for one in works), directory=True))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                # What they were to be told is not true; and not all may get their turn.
                fail(works, StoreBusy("The store is closing; nothing was committed."))
                for one in works:
                    await self._store([one])
            else:
                fail(works, self._told(error))
        except BaseException:
            fail(works, _unknown(self._connections.address.shown))  # the writer ends
            raise

    def _told(self, error: Exception) -> Exception:
        reason = misfit(error)
        is_foreign = isinstance(reason, (asyncpg.PostgresError, asyncpg.InterfaceError))
        return trouble(reason, self._connections.address) if is_foreign else reason

    async def _try(self, works: Sequence[Acting], rest: Along) -> None:
        """Try until it is committed, or known not to be, or the time is over."""
        unsure: Batch | None = None  # whose COMMIT was sent, and not answered
        waits = pauses()
        end = time.monotonic() + MAX_TRYING_S
        while True:
            try:
                await self._transact(works, rest, unsure)
                return
            except _Unsure as failure:
                if unsure is None:  # what has become of it can be asked, however long it took
                    end = time.monotonic() + MAX_TRYING_S
                unsure, error = failure.batch, failure.reason
            except PASSES as failure:
                error = failure
            except Exception as failure:
                if unsure is None:
                    raise
                # Whatever it is, it says nothing about the COMMIT that was sent before.
                await self._give_up_session(failure)
                raise _unknown(self._connections.address.shown) from failure
            await self._give_up_session(error)
            pause_s = next(waits)
            if time.monotonic() + pause_s > end:
                if unsure is not None:
                    raise _unknown(self._connections.address.shown) from error
                raise trouble(error, self._connections.address) from error
            await asyncio.sleep(pause_s)

    async def _transact(self, works: Sequence[Acting], rest: Along, unsure: Batch | None) -> None:
        db = await self._database()
        began = time.perf_counter()
        batch = Batch(db, self._cache, self._memories, self._clock())
        await db.run("BEGIN")
        try:
            await batch.load({one.room_id: None for one in works})
            if unsure is not None:
                batch = await self._as_it_was(db, unsure) or batch
            if batch is not unsure:
                await self._decide(batch, works)
                changes = await batch.write(self._node, rest)
            else:
                changes = Changes(tuple(room.id for room in batch.changed()), directory=True)
        except BaseException:
            with suppress(Exception):  # what led here is told
                await batch.settled()
            await db.roll_back()
            raise
        try:
            await db.commit()
        except CommitFailed as error:
            raise _Unsure(batch, error) from error
        self._remember(batch)
        if changes.room_ids:
            acts = sum(one.size for one in works)
            self._measures.committed(acts, changes.room_ids, time.perf_counter() - began)
            self._committed(changes)

    async def _as_it_was(self, db: Database, unsure: Batch) -> Batch | None:
        """The batch of an earlier try, if that was committed; None if it was not."""
        is_stored = await unsure.is_stored(db)
        if is_stored is None:
            raise _unknown(self._connections.address.shown)
        return unsure if is_stored else None

    async def _decide(self, batch: Batch, works: Sequence[Acting]) -> None:
        await batch.ask_for_keys(
            (one.room_id, act.key) for one in works for act in one.acts if act.key is not None
        )
        first, others = works[:AHEAD_MESSAGES], works[AHEAD_MESSAGES:]
        for one in first:
            await self._attempt(batch, one)
        if await batch.has_known_keys():
            for one in first:
                await self._attempt(batch, one)
        for one in others:
            await batch.write_ahead()
            await self._attempt(batch, one)

    @staticmethod
    async def _attempt(batch: Batch, acting: Acting) -> None:
        while True:
            try:
                acting.attempt(batch)
            except Wanted as wanted:
                await batch.is_free()
                await wanted.fetch()
                continue
            except Exception as error:
                # A refusal, or a mistake in somebody's `decide`: his alone.
                acting.failure = error
            return

    def _remember(self, batch: Batch) -> None:
        # It is committed: from here on nothing may look like a failure, nor be done again.
        try:
            batch.remember()
        except Exception:
            logger.exception("What was committed is read anew: it could not be remembered")
            self._cache.forget()
            self._memories.forget()

    # ---- the connection -------------------------------------------------------------------------

    async def _database(self) -> Database:
        if self._session is None or self._session.is_closed():
            self._session = await self._connections.own(**PLANS)
        return Database(self._session)

    async def _give_up_session(self, error: BaseException) -> None:
        """After a failure nothing is known of the connection, unless the server said so."""
        session = self._session
        if session is None:
            return
        is_well = isinstance(error, asyncpg.PostgresError) and not isinstance(error, LOST)
        if not is_well or session.is_closed():
            self._session = None
            with suppress(Exception):
                session.terminate()


class _Unsure(Exception):
    """COMMIT was sent for this batch, and it is not known what has become of it."""

    def __init__(self, batch: Batch, reason: CommitFailed) -> None:
        super().__init__()
        self.batch = batch
        self.reason = reason


def _unknown(shown: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"The connection to {shown} was lost while committing.",
        advice="Retry with the same idempotency key.",
    )
