"""Commits the acts of this node, for all who wait together, on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime

import asyncpg

from ..cache import RoomCache
from ..interface import OutcomeUnknown, StoreBusy, StoreError
from ..measuring import StoreMeasures
from ..memories import Memories
from ..work import State, fail
from .batch import Batch, Changes
from .connecting import Connections
from .course import Acting, Course
from .database import CommitFailed, Database, Session, after_commit
from .outcomes import is_stored
from .rest import Along, Rest
from .sessions import closed
from .troubles import LOST, PASSES, misfit, trouble
from .trying import pauses

MAX_BATCH_MESSAGES = 256  # in one transaction, so that other nodes get their turn soon
MAX_TRYING_S = 15.0  # for what was begun: a database that is started anew is back by then

# Statements of the writer find rows by their keys. Where tables are new and have no statistics, a
# planner that may scan them does.
PLANS = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


class Writer:
    """Takes work until it is closed; lives in the event loop.

    Args:
        lock_wait_ms: How long to wait for a row that somebody else holds.
        held_up: Takes works of rooms that are held for longer; without it they are tried again,
            those of one room at a time.
        committed: Called after each commit that changed something, before anybody is told.
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
        lock_wait_ms: int,
        held_up: Callable[[Sequence[Acting]], None] | None = None,
    ) -> None:
        self._connections = connections
        self._node = node
        self._rest = rest
        self._cache = cache
        self._memories = memories
        self._clock = clock
        self._measures = measures
        self._committed = committed
        self._lock_wait_ms = lock_wait_ms
        self._held_up = held_up
        self._works: list[Acting] = []  # that are being stored
        self._waiting: deque[Acting] = deque()
        self._some = asyncio.Event()
        self._closing = False
        self._is_alone = True  # no other node has changed the rooms of the last transaction
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

    def room_ids(self) -> set[str]:
        """The rooms that there is work for."""
        return {one.room_id for one in (*self._works, *self._waiting)}

    def withdrawn(self, room_ids: Collection[str]) -> list[Acting]:
        """Take back what has not begun of these rooms."""
        works = [one for one in self._waiting if one.room_id in room_ids]
        if works:
            self._waiting = deque(one for one in self._waiting if one.room_id not in room_ids)
        return works

    async def _run(self) -> None:
        while not self._closing or self._waiting:
            await self._some.wait()
            self._some.clear()
            while works := self._claim():
                self._works = works
                try:
                    await self._store(works)
                finally:  # also where the writer ends: nobody may wait for it any more
                    self._works = []
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
                if works and (one.size > room or self._is_apart(one, works[0])):
                    break
                one.state = State.CLAIMED
                works.append(one)
                room -= one.size
            self._waiting.popleft()
        return works

    def _is_apart(self, one: Acting, first: Acting) -> bool:
        return self._held_up is None and one.room_id != first.room_id

    # ---- until it is known what has become of it ------------------------------------------------

    async def _store(self, works: list[Acting]) -> None:
        """Commit it; what fails is told to those it concerns. Who is held up leaves the list."""
        try:
            with self._rest.taken() as rest:
                await self._try(works, rest)
        except StoreError as error:
            fail(works, error)
            if isinstance(error, OutcomeUnknown):  # whoever waits here looks for himself
                room_ids = tuple(one.room_id for one in works)
                self._tell(Changes(room_ids, directory=True, is_sure=False))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                # What they were to be told is not true; and not all may get their turn.
                fail(works, StoreBusy("The store is closing; nothing was committed."))
                for one in list(works):
                    await self._store(alone := [one])
                    if not alone:
                        works.remove(one)
            else:
                fail(works, self._told(error))
        except BaseException:
            fail(works, _unknown(self._connections.address.shown))  # the writer ends
            raise

    def _told(self, error: Exception) -> Exception:
        reason = misfit(error)
        is_foreign = isinstance(reason, (asyncpg.PostgresError, asyncpg.InterfaceError))
        return trouble(reason, self._connections.address) if is_foreign else reason

    async def _try(self, works: list[Acting], rest: Along) -> None:
        """Try until it is committed, or known not to be, or the time is over."""
        unsure: Batch | None = None  # whose COMMIT was sent, and not answered
        is_held_up = False
        waits = pauses()
        end = time.monotonic() + MAX_TRYING_S
        while True:
            try:
                await self._transact(works, rest, unsure, free_only=is_held_up and not unsure)
                return
            except _Unsure as failure:
                if unsure is None:  # what has become of it can be asked, however long it took
                    end = time.monotonic() + MAX_TRYING_S
                unsure, error = failure.batch, failure.reason
            except PASSES as failure:
                error = failure
                is_locked = isinstance(failure, asyncpg.LockNotAvailableError)
                if is_locked and self._held_up is not None and not is_held_up:
                    is_held_up = True
                    continue
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

    async def _transact(
        self, works: list[Acting], rest: Along, unsure: Batch | None, *, free_only: bool
    ) -> None:
        db = await self._database()
        began = time.perf_counter()
        batch = Batch(db, self._cache, self._memories, self._clock)
        course = Course(batch, works)
        try:
            await batch.send(db.run("BEGIN"))
            if unsure is None and self._is_alone and not free_only:
                batch.assume(one.room_id for one in works)
            await self._hold(batch, course, works, free_only=free_only)
            if unsure is not None:
                batch = await self._as_it_was(db, unsure) or batch
            if batch is not unsure:
                await self._decide(batch, course, works)
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
        acts = sum(one.size for one in works)
        self._after_commit(batch, changes, acts, time.perf_counter() - began)

    async def _as_it_was(self, db: Database, unsure: Batch) -> Batch | None:
        """The batch of an earlier try, if that was committed; None if it was not."""
        stored = await is_stored(unsure, db)
        if stored is None:
            raise _unknown(self._connections.address.shown)
        return unsure if stored else None

    async def _hold(
        self, batch: Batch, course: Course, works: list[Acting], *, free_only: bool
    ) -> None:
        """Lock the rooms; what is decided meanwhile holds if they are as this node knew them."""
        await course.while_busy()
        await batch.settled()
        await batch.ask_for_rooms((one.room_id for one in works), free_only=free_only)
        await course.while_busy()
        if await batch.has_other_rooms():
            course.begin_anew()
        self._is_alone = batch.knew_rooms
        if free_only and self._held_up is not None:
            held = await batch.held_elsewhere()
            self._held_up([one for one in works if one.room_id in held])
            works[:] = [one for one in works if one.room_id not in held]

    @staticmethod
    async def _decide(batch: Batch, course: Course, works: Sequence[Acting]) -> None:
        await batch.ask_for_keys(
            (one.room_id, act.key) for one in works for act in one.acts if act.key is not None
        )
        await course.while_busy()
        if await batch.has_known_keys():
            course.begin_anew()
        await course.to_the_end()

    def _after_commit(self, batch: Batch, changes: Changes, acts: int, seconds: float) -> None:
        batch.remember()
        if changes.room_ids:
            with after_commit("it could not be counted"):
                self._measures.committed(acts, changes.room_ids, seconds)
            self._tell(changes)

    def _tell(self, changes: Changes) -> None:
        with after_commit("who waits for it could not be woken"):
            self._committed(changes)

    # ---- the connection -------------------------------------------------------------------------

    async def _database(self) -> Database:
        if self._session is None or self._session.is_closed():
            settings = {"lock_timeout": str(self._lock_wait_ms), **PLANS}
            self._session = await self._connections.own(**settings)
        return Database(self._session)

    async def _give_up_session(self, error: BaseException) -> None:
        """After a failure nothing is known of the connection, unless the server said so."""
        session = self._session
        if session is None:
            return
        unwell = (*LOST, asyncpg.ReadOnlySQLTransactionError)
        is_well = isinstance(error, asyncpg.PostgresError) and not isinstance(error, unwell)
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
