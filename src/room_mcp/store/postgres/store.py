"""The store in a PostgreSQL database: any number of nodes share it, and keep nothing themselves."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

from anyio import CancelScope

from room_mcp.rooms import Refusal, Room, Step
from room_mcp.rooms.chain import chained

from ..auditing import MAX_PAGE_ENTRIES, AuditPage, Entry
from ..cache import RoomCache
from ..callers import Invitation, ServerKey
from ..interface import (
    MAX_PAGE_BYTES,
    Act,
    Decide,
    Done,
    Head,
    Hit,
    IdempotencyKey,
    Listed,
    OutcomeUnknown,
    Page,
    Reading,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    Times,
    Watch,
)
from ..limiting import Quota, Rate, Taken
from ..measuring import StoreMeasures
from ..memories import Memories
from ..watching import Watchers, Watching
from ..work import Outbox
from . import auditing, callers, limiting, queries, scrubbing
from . import marks as marking
from . import times as noting
from .batch import Batch, Changes
from .connecting import Connections, address_in, closed
from .database import PASSING, Database
from .listening import Listener
from .rest import Rest
from .rest import write as write_rest
from .schema import prepare
from .trying import tried
from .writer import Acting, Writer

DEFAULT_TIMEOUT_S = 10.0
MARKS_WAIT_S = 0.1  # together with what else comes by then
AGAIN_S = 1.0  # after what is only noted could not be written
CLOSE_WAIT_S = 5.0  # for what was begun
COUNT_TIMEOUT_S = 1.0  # then callers are counted without the store for a while
NODE_BYTES = 6  # of the name by which a node knows its own notices

logger = logging.getLogger(__name__)

T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


class PostgresStore:
    """A `Store` on one database; belongs to the event loop (asyncio) that opens it."""

    def __init__(self, url: str, *, clock: Callable[[], datetime] = _now) -> None:
        self.address = address_in(url)
        self.measures = StoreMeasures()
        self._clock = clock
        self._node = secrets.token_hex(NODE_BYTES)
        self._connections = Connections(self.address, begun_anew=self._forget)
        self._cache = RoomCache()
        self._memories = Memories()
        self._rest = Rest()
        self._watchers = Watchers()
        self._secret = b""
        self._opening = asyncio.Lock()
        self._is_open = False
        self._writing: asyncio.Task[None] | None = None  # the rest, if no commit takes it along

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
                async with self._connections.borrowed() as db:
                    opened = await prepare(db, self.address.shown)
                await listener.start()
        except BaseException:
            await self._connections.aclose()
            raise
        self._listener = listener
        self._cache.found_epoch(opened.epoch)
        self._secret = opened.secret
        self._writer = Writer(
            self._connections,
            node=self._node,
            rest=self._rest,
            cache=self._cache,
            memories=self._memories,
            clock=self._clock,
            measures=self.measures,
            committed=self._on_committed,
        )
        self._outbox: Outbox[Acting] = Outbox(
            asyncio.get_running_loop(), self._writer.submit, self._writer.abandon
        )
        self._writer.start()
        self._is_open = True

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
        if self._writing is not None:
            self._writing.cancel()
        await asyncio.wait([asyncio.create_task(self._write_rest())], timeout=CLOSE_WAIT_S)
        await self._listener.aclose()
        await self._connections.aclose()
        self._watchers.wake_all()

    def _forget(self) -> None:
        """What is kept of rooms may stand for what the database does not hold any more."""
        self._cache.forget()
        self._memories.forget()

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("The store is not open.")

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
        (done,) = await self.act_all(room_id, (Act(decide, key, entry),), timeout_s=timeout_s)
        if isinstance(done, Refusal):
            raise done
        return done

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        self._must_be_open()
        acting = Acting(room_id, acts)
        await self._outbox.perform(acting, DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s)
        return acting.outcome()

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

        return await self._change(erase)

    async def delete(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> None:
        async def delete(batch: Batch) -> None:
            await batch.decided(room_id, decide)
            await batch.delete(room_id)
            await scrubbing.note(batch.db, batch.no(room_id))
            batch.record(entry)

        await self._change(delete)

    async def scrub(self, *, max_bytes: int | None = None) -> bool:
        self._must_be_open()

        async def scrub() -> bool:
            session = await self._connections.patient(lock_timeout=str(scrubbing.LOCK_WAIT_MS))
            try:
                return await scrubbing.scrub(Database(session), max_bytes)
            finally:
                await closed(session)

        return await tried(scrub, self.address)

    async def _change(self, change: Callable[[Batch], Awaitable[T]]) -> T:
        """A transaction of its own that changes rooms; never left half-way."""

        async def transact() -> tuple[T, Batch, Changes]:
            with self._rest.taken() as rest:
                async with self._connections.borrowed() as db, db.transaction():
                    batch = Batch(db, self._cache, self._memories, self._clock())
                    result = await change(batch)
                    return result, batch, await batch.write(self._node, rest)

        async def changed() -> T:
            try:
                result, batch, changes = await tried(transact, self.address)
            except OutcomeUnknown:
                self._watchers.wake_all()  # they look for themselves
                raise
            batch.remember()
            if changes.room_ids:
                self._on_committed(changes)
            return result

        self._must_be_open()
        return await _seen_through(changed())

    async def _write(self, write: Callable[[Database], Awaitable[T]]) -> T:
        """A transaction of its own about something else.

        It takes nothing along: it may hold rows already that others take in another order.
        """
        self._must_be_open()

        async def transact() -> T:
            async with self._connections.borrowed() as db, db.transaction():
                return await write(db)

        return await _seen_through(tried(transact, self.address))

    def _on_committed(self, changes: Changes) -> None:
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
        wanted = queries.Listing(
            query, member, include_closed, listed_only, principal, before, limit, archived
        )
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
        return await self._query(lambda db: queries.search(db, self._cache, query, room_ids, limit))

    async def directory_version(self) -> int:
        return await self._query(lambda db: queries.directory_version(db, self._cache))

    async def _query(self, query: Callable[[Database], Awaitable[T]]) -> T:
        self._must_be_open()

        async def ask() -> T:
            async with self._connections.borrowed() as db:
                return await query(db)

        return await tried(ask, self.address)

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

    def _write_soon(self, wait_s: float = MARKS_WAIT_S) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_later(wait_s))

    async def _write_later(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self._writing = None
        await self._write_rest()

    async def _write_rest(self) -> None:
        """Write what no commit took along; what cannot be written is tried again."""
        await self._rest.wait_for_refusals()
        if not self._rest:
            return

        async def transact() -> None:
            async with self._connections.borrowed() as db:
                await self._rest.give_slots_back(db)
                with self._rest.taken() as rest:
                    async with db.transaction(PASSING):
                        await write_rest(db, rest)

        try:
            await tried(transact, self.address)
        except StoreError as error:
            logger.warning("What is only noted could not be written: %s", error)
            if self._is_open:
                self._write_soon(AGAIN_S)

    # ---- the audit ------------------------------------------------------------------------------

    def note_refusal(self, entry: Entry) -> None:
        self._must_be_open()
        self._rest.refusals.add(entry)
        self._write_soon()

    async def audit(
        self, *, room_id: str | None = None, after: int = 0, limit: int = MAX_PAGE_ENTRIES
    ) -> AuditPage:
        await self._write_rest()
        await self._rest.wait_for_refusals()  # that an act has taken along
        return await self._query(lambda db: auditing.page(db, room_id, after, limit))

    # ---- callers --------------------------------------------------------------------------------

    async def add_key(self, key: ServerKey, *, entry: Entry | None = None) -> None:
        await self._write(lambda db: callers.add_key(db, key, entry))

    async def server_key(self, id: str) -> ServerKey | None:
        return await self._query(lambda db: callers.server_key(db, id))

    async def server_keys(self) -> list[ServerKey]:
        return await self._query(callers.server_keys)

    async def revoke_key(
        self, id: str, at: datetime, *, entry: Entry | None = None
    ) -> ServerKey | None:
        return await self._write(lambda db: callers.revoke_key(db, id, at, entry))

    def key_used(self, id: str, at: datetime) -> None:
        self._must_be_open()
        self._rest.add_use(id, at)
        self._write_soon()

    async def add_invitation(self, invitation: Invitation, *, entry: Entry | None = None) -> None:
        await self._write(lambda db: callers.add_invitation(db, invitation, entry))

    async def redeem(
        self,
        code_hash: str,
        at: datetime,
        key_for: Callable[[Invitation], ServerKey],
        *,
        entry: Entry | None = None,
    ) -> ServerKey | None:
        return await self._write(lambda db: callers.redeem(db, code_hash, at, key_for, entry))

    # ---- limits ---------------------------------------------------------------------------------

    async def take(
        self, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int = 0, at: datetime
    ) -> Taken:
        return await self._count(
            lambda db: limiting.take(db, subject, kind, rate, needed=needed, wanted=wanted, at=at)
        )

    async def take_slots(
        self,
        subject: str,
        kind: str,
        holder: str,
        *,
        limit: int,
        opened: int,
        needed: int,
        at: datetime,
        until: datetime,
    ) -> int:
        return await self._count(
            lambda db: limiting.take_slots(
                db,
                subject,
                kind,
                holder,
                limit=limit,
                opened=opened,
                needed=needed,
                at=at,
                until=until,
            )
        )

    def give_slots_back(self, subject: str, kind: str, holder: str, *, left: int) -> None:
        self._must_be_open()
        self._rest.add_slots((subject, kind, holder), left)
        self._write_soon()

    async def give_all_slots_back(self, holder: str) -> None:
        await self._count(lambda db: limiting.give_all_slots_back(db, holder))

    async def rooms_of(self, creator: str) -> list[str]:
        return await self._query(lambda db: limiting.rooms_of(db, creator))

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

    # ---- watching -------------------------------------------------------------------------------

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]:
        self._must_be_open()
        return Watching((self._watchers,), room_ids, directory=directory)


async def _seen_through(call: Coroutine[Any, Any, T]) -> T:
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
