"""The store in a PostgreSQL database: any number of nodes share it, and keep nothing themselves."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from room_mcp.rooms import Refusal, Room, Step
from room_mcp.rooms.chain import chained

from ..auditing import Entry
from ..cache import RoomCache
from ..interface import (
    MAX_PAGE_BYTES,
    Act,
    Decide,
    Done,
    Head,
    Hit,
    IdempotencyKey,
    Listed,
    Listing,
    OutcomeUnknown,
    Page,
    Reading,
    StoreBusy,
    Times,
    Watch,
)
from ..limiting import Quota
from ..measuring import StoreMeasures
from ..memories import Memories
from ..watching import Watchers, Watching
from ..work import Outbox
from . import limiting, queries, scrubbing
from . import marks as marking
from . import times as noting
from .batch import Batch, Changes
from .calling import PostgresCallers
from .course import Acting
from .database import Database, after_commit
from .doubts import doubts
from .lanes import Lanes
from .listening import Listener
from .rest import NOTHING
from .schema import Opened, prepare
from .transactions import seen_through
from .trying import once_started, tried
from .turns import Turns
from .writer import Writer

DEFAULT_TIMEOUT_S = 10.0
CLOSE_WAIT_S = 5.0  # for what was begun
# Searches look through all messages of their rooms, lists perhaps through all rooms. Each kind
# takes a third of the pool at most: the rest is for short questions, such as who is calling.
LONG_PART = 3
REMOVING = 2  # rooms that are erased or deleted at once, each on a connection beside the pool
NODE_BYTES = 6  # of the name by which a node knows its own notices

logger = logging.getLogger(__name__)

T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


class PostgresStore(PostgresCallers):
    """A `Store` on one database; belongs to the event loop (asyncio) that opens it."""

    def __init__(self, url: str, *, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(url, begun_anew=self._forget)
        self.measures = StoreMeasures()
        self._clock = clock
        self._node = secrets.token_hex(NODE_BYTES)
        self._cache = RoomCache()
        self._memories = Memories()
        self._watchers = Watchers()
        self._secret = b""
        self._opening = asyncio.Lock()
        few = max(1, self.address.lent // LONG_PART)
        self._searching = Turns(few, "Searches")
        self._listing = Turns(few, "Lists of rooms")
        self._removing = Turns(REMOVING, "Rooms that are erased or deleted")

    @property
    def epoch(self) -> str:
        return self._cache.epoch

    @property
    def secret(self) -> bytes:
        self._must_be_open()
        return self._secret

    # ---- opening and closing --------------------------------------------------------------------

    async def open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await self._open()

    async def _open(self) -> None:
        await self._connections.open()
        listener = Listener(self._connections, self._node, self._watchers)
        try:
            with self._connections.errors():
                opened = await once_started(self._prepared)
                await listener.start()
        except BaseException:
            await self._connections.aclose()
            raise
        self._listener = listener
        self._cache.found_epoch(opened.epoch)
        self._secret = opened.secret
        writer = partial(
            Writer,
            self._connections,
            node=self._node,
            cache=self._cache,
            memories=self._memories,
            clock=self._clock,
            measures=self.measures,
            committed=self._on_committed,
        )
        self._writer = Lanes(writer, self._rest)
        self._outbox: Outbox[Acting] = Outbox(
            asyncio.get_running_loop(), self._writer.submit, self._writer.abandon
        )
        self._writer.start()
        self._is_open = True

    async def _prepared(self) -> Opened:
        async with self._connections.borrowed() as db:
            opened = await prepare(db, self.address.shown)
            for doubt in await doubts(db):
                logger.warning("%s", doubt)
            return opened

    async def aclose(self) -> None:
        """Finish what was begun, refuse the rest, write marks and refusals."""
        async with self._opening:  # who opens it again meanwhile gets all of it
            if self._is_open:
                await self._close()

    async def _close(self) -> None:
        self._is_open = False
        self._outbox.refuse(StoreBusy("The store is closing; nothing was committed."))
        await self._writer.aclose(CLOSE_WAIT_S)
        self._rest.refusals.settle()
        await self._write_at_end(CLOSE_WAIT_S)
        await self._listener.aclose()
        await self._connections.aclose()
        self._watchers.wake_all()

    def _forget(self) -> None:
        """What is kept of rooms may stand for what the database does not hold any more."""
        self._cache.forget()
        self._memories.forget()

    # ---- writing --------------------------------------------------------------------------------

    async def act(
        self,
        room_id: str,
        decide: Decide,
        *,
        key: IdempotencyKey | None = None,
        entry: Entry | None = None,
        timeout_s: float | None = None,
    ) -> Done:
        acting = Acting(room_id, (Act(decide, key, entry),))
        await self._perform(acting, timeout_s)
        (done,) = acting.outcome()
        if isinstance(done, Refusal):
            raise done
        return done

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        acting = Acting(room_id, acts)
        await self._perform(acting, timeout_s)
        return acting.outcome()

    def _perform(self, acting: Acting, timeout_s: float | None) -> Awaitable[None]:
        self._must_be_open()
        return self._outbox.perform(acting, DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s)

    async def create(
        self,
        room: Room,
        *,
        reuse: bool = False,
        quota: Quota | None = None,
        entry: Entry | None = None,
    ) -> tuple[Room, bool]:
        async def create(batch: Batch) -> tuple[Room, bool]:
            if reuse and (known := await batch.open_room_named(room)):
                return known, False
            if quota is not None:
                await limiting.must_have_room(batch.db, quota)
            await batch.create(room, creator=quota.creator if quota else "")
            batch.record(entry)
            return room, True

        return await self._change(create)

    async def erase(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> Room:
        async def erase(batch: Batch) -> Room:
            step = await batch.decided(room_id, decide)
            room = step.room.without_texts()
            room, messages, _ = chained(room.chain, Step(room, step.messages))
            batch.put(room, messages)
            await batch.erase_texts(room_id)
            await scrubbing.note(batch.db, batch.no(room_id))
            batch.record(entry)
            return room

        async with self._removing.turn():
            return await self._change(erase, is_long=True)

    async def delete(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> None:
        async def delete(batch: Batch) -> None:
            await batch.decided(room_id, decide)
            await batch.delete(room_id)
            await scrubbing.note(batch.db, batch.no(room_id))
            batch.record(entry)

        async with self._removing.turn():
            await self._change(delete, is_long=True)

    async def scrub(self, *, max_bytes: int | None = None, pause: timedelta = timedelta(0)) -> bool:
        self._must_be_open()

        async def scrub() -> bool:
            async with self._patient(lock_timeout=str(scrubbing.LOCK_WAIT_MS)) as db:
                return await scrubbing.scrub(db, max_bytes, pause)

        return await tried(scrub, self.address)

    async def _change(self, change: Callable[[Batch], Awaitable[T]], *, is_long: bool = False) -> T:
        """A transaction of its own that changes rooms; never left half-way."""
        connection = self._patient if is_long else self._connections.borrowed

        async def transact() -> tuple[T, Batch, Changes, float]:
            async with connection() as db:
                began = time.perf_counter()
                async with db.transaction():
                    batch = Batch(db, self._cache, self._memories, self._clock)
                    result = await change(batch)
                    # It may take long, and what is noted must not: all of that waits for no room.
                    changes = await batch.write(self._node, NOTHING)
                return result, batch, changes, time.perf_counter() - began

        async def changed() -> T:
            try:
                result, batch, changes, seconds = await tried(transact, self.address)
            except OutcomeUnknown:
                self._listener.doubt()
                self._watchers.wake_all()  # they look for themselves
                raise
            batch.remember()
            if changes.room_ids:
                with after_commit("it could not be counted"):
                    self.measures.committed(1, changes.room_ids, seconds)
                with after_commit("who waits for it could not be woken"):
                    self._on_committed(changes)
            return result

        self._must_be_open()
        return await seen_through(changed())

    def _on_committed(self, changes: Changes) -> None:
        if not changes.is_sure:
            self._listener.doubt()
        self._watchers.wake(changes.room_ids, directory=changes.directory)

    # ---- reading --------------------------------------------------------------------------------

    async def room(self, room_id: str) -> Room:
        kept = await self._query(lambda db: queries.room(db, self._cache, room_id))
        return kept.room

    async def read(
        self,
        room_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 50,
        max_bytes: int = MAX_PAGE_BYTES,
        sender: str | None = None,
        type: str | None = None,
    ) -> Page:
        wanted = queries.PageWanted(after, before, limit, max_bytes, sender, type)
        return await self._query(lambda db: queries.read(db, self._cache, room_id, wanted))

    async def seq_at(self, room_id: str, *, at: datetime | None, message_id: str | None) -> int:
        return await self._query(lambda db: queries.seq_at(db, room_id, at, message_id))

    async def heads(self, room_ids: Collection[str]) -> Mapping[str, Head]:
        return await self._query(lambda db: queries.heads(db, self._cache, room_ids))

    async def directory(
        self,
        *,
        query: str = "",
        member: str | None = None,
        include_closed: bool = True,
        listed_only: bool = True,
        principal: str = "",
        before: datetime | None = None,
        limit: int = 100,
        archived: bool = False,
    ) -> list[Listed]:
        wanted = Listing(
            query, member, include_closed, listed_only, principal, before, limit, archived
        )
        async with self._listing.turn():
            return await self._query(lambda db: queries.directory(db, self._cache, wanted))

    async def stale(
        self,
        *,
        before: datetime | None = None,
        beyond: int | None = None,
        ended_only: bool = True,
        limit: int = 100,
    ) -> list[Listed]:
        return await self._query(
            lambda db: queries.stale(db, self._cache, before, beyond, ended_only, limit)
        )

    async def times(self) -> Times:
        return await self._query(noting.times)

    async def note_round(
        self, round_at: datetime | None, suspect_since: datetime | None = None
    ) -> None:
        await self._write(lambda db: noting.note_round(db, round_at, suspect_since))

    async def search(self, query: str, *, room_ids: Collection[str], limit: int = 20) -> list[Hit]:
        async with self._searching.turn():
            return await self._query(
                lambda db: queries.search(db, self._cache, query, room_ids, limit)
            )

    async def directory_version(self) -> int:
        return await self._query(lambda db: queries.directory_version(db, self._cache))

    # ---- how far members have read --------------------------------------------------------------

    async def readings(self, room_id: str) -> Mapping[str, Reading]:
        # Taken before and after: a commit in between moves marks from here to the table.
        before = self._rest.marks.of_room(room_id)

        async def read(db: Database) -> Mapping[str, tuple[str, Reading]]:
            kept = await queries.room(db, self._cache, room_id)
            return await marking.read(db, kept.no)

        kept = await self._query(read)
        after = self._rest.marks.of_room(room_id)
        readings: dict[str, Reading] = {}
        for key, (name, reading) in kept.items():
            for pending in (before.get(key), after.get(key)):
                if pending is not None:
                    reading = reading.then(pending)
            readings[name] = reading
        return readings

    def mark_read(self, room_id: str, name: str, reading: Reading) -> None:
        self._must_be_open()
        self._rest.marks.add(room_id, name, reading)
        self._write_soon()

    # ---- watching -------------------------------------------------------------------------------

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]:
        self._must_be_open()
        return Watching((self._watchers,), room_ids, directory=directory)
