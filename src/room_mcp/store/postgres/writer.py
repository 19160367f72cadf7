"""Commits the acts of this node, for all who wait together, on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ..cache import RoomCache
from ..interface import OutcomeUnknown, StoreBusy, StoreError
from ..measuring import StoreMeasures
from ..memories import Memories
from ..work import State, fail, give_up
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
        held_up: Takes the works of a room that is held for longer.
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
        held_up: Callable[[Sequence[Acting]], None],
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
        self._apart: set[str] = set()  # rooms that are tried alone: one of them is held
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
        self._refuse(self._waiting)
        self._waiting.clear()

    def submit(self, works: Sequence[Acting]) -> None:
        if self._is_over:
            self._refuse(works)
            return
        self._waiting.extend(works)
        self._some.set()

    def room_ids(self) -> set[str]:
        """The rooms that there is work for."""
        works = (*self._works, *self._waiting)
        return {one.room_id for one in works if one.state is not State.ABANDONED}

    def withdrawn(self, room_ids: Collection[str]) -> list[Acting]:
        """Take back what has not begun of these rooms."""
        works = [one for one in self._waiting if one.room_id in room_ids]
        if works:
            self._waiting = deque(one for one in self._waiting if one.room_id not in room_ids)
        return works

    @property
    def _is_over(self) -> bool:
        return self._closing and (self._task is None or self._task.done())

    @staticmethod
    def _refuse(works: Iterable[Acting]) -> None:
        for one in works:
            if one.state is not State.ABANDONED:
                one.failure = _closing()
                one.finish()

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
                    self._apart.difference_update(one.room_id for one in works)
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
                if works and (one.size > room or self._must_part(one, works[0])):
                    break
                one.state = State.CLAIMED
                works.append(one)
                room -= one.size
            self._waiting.popleft()
        return works

    def _must_part(self, one: Acting, first: Acting) -> bool:
        is_alone = not self._apart.isdisjoint((one.room_id, first.room_id))
        return is_alone and one.room_id != first.room_id

    def _begun(self, works: Iterable[Acting]) -> list[Acting]:
        """Those that may wait again, and are their callers' to take back; others are told."""
        again: list[Acting] = []
        for one in works:
            if one.is_late:
                give_up(one)
            else:
                one.state = State.PENDING
                again.append(one)
        return again

    # ---- until it is known what has become of it ------------------------------------------------

    async def _store(self, works: list[Acting], *, may_part: bool = True) -> None:
        """Commit it; what fails is told to those it concerns.

        Args:
            may_part: Who is held up leaves the list.
        """
        try:
            with self._rest.taken() as rest:
                await self._try(works, rest, may_part=may_part)
        except _HeldUp:
            self._leave(works)
        except StoreError as error:
            fail(works, error)
            if isinstance(error, OutcomeUnknown):  # whoever waits here looks for himself
                room_ids = tuple(one.room_id for one in works)
                self._tell(Changes(room_ids, directory=True, is_sure=False))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                # What they were to be told is not true; and not all may get their turn.
                fail(works, _closing())
                for one in works:
                    await self._store([one], may_part=False)
            else:
                fail(works, self._told(error))
        except BaseException:
            fail(works, _unknown(self._connections.address.shown))  # the writer ends
            raise

    def _told(self, error: Exception) -> Exception:
        reason = misfit(error)
        is_foreign = isinstance(reason, (asyncpg.PostgresError, asyncpg.InterfaceError))
        return trouble(reason, self._connections.address) if is_foreign else reason

    async def _try(self, works: list[Acting], rest: Along, *, may_part: bool) -> None:
        """Try until it is committed, or known not to be, or the time is over."""
        doubt = _Doubt()
        free_only = False
        waits = pauses()
        end = time.monotonic() + MAX_TRYING_S
        while True:
            try:
                # Whoever is in doubt waits for his room: the one who holds it may be himself.
                is_sure = doubt.about is None
                await self._transact(works, rest, doubt, free_only=free_only and is_sure)
                return
            except _Unsure as failure:
                if doubt.about is None:  # what has become of it can be asked, however long it took
                    end = time.monotonic() + MAX_TRYING_S
                doubt.about, error = failure.batch, failure.reason
            except PASSES as failure:
                error = failure
                is_locked = isinstance(failure, asyncpg.LockNotAvailableError)
                if is_locked and may_part and doubt.about is None and not free_only:
                    if len({one.room_id for one in works}) == 1:
                        raise _HeldUp from failure
                    free_only = True  # to see which are
                    continue
            except Exception as failure:
                if doubt.about is None:
                    raise
                # Whatever it is, it says nothing about the COMMIT that was sent before.
                await self._give_up_session(failure)
                raise _unknown(self._connections.address.shown) from failure
            await self._give_up_session(error)
            pause_s = next(waits)
            if time.monotonic() + pause_s > end:
                if doubt.about is not None:
                    raise _unknown(self._connections.address.shown) from error
                raise trouble(error, self._connections.address) from error
            await asyncio.sleep(pause_s)

    def _leave(self, works: list[Acting]) -> None:
        """The room of these works is held by somebody for long."""
        self._apart.discard(works[0].room_id)
        again = self._begun(works)
        works.clear()
        if again:
            self._held_up(again)

    def _try_alone(self, works: list[Acting], held: set[str]) -> None:
        """Some of these rooms are held by somebody, perhaps only for a moment."""
        self._apart |= held
        again = self._begun(one for one in works if one.room_id in held)
        works[:] = [one for one in works if one.room_id not in held]
        self._waiting.extendleft(reversed(again))

    async def _transact(
        self, works: list[Acting], rest: Along, doubt: _Doubt, *, free_only: bool
    ) -> None:
        db = await self._database()
        began = time.perf_counter()
        batch = Batch(db, self._cache, self._memories, self._clock)
        course = Course(batch, works)
        try:
            await batch.send(db.run("BEGIN"))
            if doubt.about is None and self._is_alone and not free_only:
                batch.assume(one.room_id for one in works)
            await self._hold(batch, course, works, free_only=free_only)
            if doubt.about is not None and await self._is_stored(doubt, db):
                batch = doubt.about
                changes = Changes(tuple(room.id for room in batch.changed()), directory=True)
            else:
                await self._decide(batch, course, works)
                changes = await batch.write(self._node, rest)
        except Exception:
            with suppress(Exception):  # what led here is told
                await batch.settled()
            await db.roll_back()
            raise
        except BaseException:
            await batch.stop()
            await db.roll_back()
            raise
        try:
            await db.commit()
        except CommitFailed as error:
            raise _Unsure(batch, error) from error
        acts = sum(one.size for one in works)
        self._after_commit(batch, changes, acts, time.perf_counter() - began)

    async def _is_stored(self, doubt: _Doubt, db: Database) -> bool:
        """Whether an earlier try was committed; where it was not, there is no doubt any more."""
        assert doubt.about is not None
        stored = await is_stored(doubt.about, db)
        if stored is None:
            raise _unknown(self._connections.address.shown)
        if not stored:
            doubt.about = None
        return stored

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
        if free_only:
            self._try_alone(works, await batch.held_elsewhere())

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


@dataclass(slots=True)
class _Doubt:
    """The batch whose COMMIT was sent, and of which nobody knows what has become."""

    about: Batch | None = None


class _HeldUp(Exception):
    """The room of all these works is held by somebody for long; nothing was stored."""


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


def _closing() -> StoreBusy:
    return StoreBusy("The store is closing; nothing was committed.")
