"""The store in one SQLite file, shared by all processes of a machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from room_mcp.rooms import Refusal, Room

from ..auditing import MAX_PAGE_ENTRIES, AuditPage, Entry, Refusals
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
    Listing,
    Page,
    Reading,
    StoreBusy,
    StoreUnavailable,
    Times,
    Watch,
)
from ..limiting import Quota, Rate, Taken
from ..marks import Marks
from ..measuring import StoreMeasures
from ..watching import Watching
from ..work import Outbox
from . import auditing, callers, limiting, queries, scrubbing
from . import marks as marking
from . import times as noting
from .batch import Changes
from .connection import Database, must_be_sound
from .files import Place
from .readers import Query, Readers
from .schema import Opened
from .wakeups import Wakeups
from .work import (
    Acting,
    AnyWork,
    Counting,
    Creating,
    Deleting,
    Erasing,
    Scrubbing,
    Work,
    Writing,
)
from .writer import Writer

DEFAULT_TIMEOUT_S = 10.0
LOOKED_UP_MESSAGES = 100  # more are read by a thread, so that the event loop goes on meanwhile
MARKS_WAIT_S = 0.1  # what no commit took along by then is written by itself
CLOSE_WAIT_S = 5.0  # for work that was begun
COUNT_TIMEOUT_S = 1.0  # then callers are counted without the store for a while

T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


class SqliteStore:
    """A `Store` on one file; belongs to the event loop (asyncio) that opens it."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self.path = path
        self.measures = StoreMeasures()
        self._clock = clock
        self._cache = RoomCache()
        self._marks = Marks()
        self._refusals = Refusals()
        self._secret = b""
        self._opening: asyncio.Future[Exception | None] | None = None
        self._is_open = False
        self._marks_timer: asyncio.TimerHandle | None = None

    @property
    def epoch(self) -> str:
        return self._cache.epoch

    @property
    def secret(self) -> bytes:
        self._must_be_open()
        return self._secret

    # ---- opening and closing --------------------------------------------------------------------

    async def open(self) -> None:
        if self._is_open:
            return
        opening = self._opening or self._begin_opening()
        done, _ = await asyncio.wait([opening], timeout=DEFAULT_TIMEOUT_S)
        if not done:
            raise StoreBusy(
                f"Another process holds the lock of {self.path}.",
                advice="It may be stopped: end it, or let it go on; then try again.",
            )
        if error := opening.result():
            self._opening = None
            raise error

    def _begin_opening(self) -> asyncio.Future[Exception | None]:
        must_be_sound()
        self._loop = asyncio.get_running_loop()
        opening: asyncio.Future[Exception | None] = self._loop.create_future()
        self._opening = opening
        self._stopped = asyncio.Event()
        self._place = Place(self.path)
        self._wakeups = Wakeups(self.path, self._loop, self._on_moved)
        self._writer = Writer(
            self.path,
            clock=self._clock,
            marks=self._marks,
            refusals=self._refusals,
            measures=self.measures,
            opened=partial(self._in_loop, self._on_opened, opening),
            leaving=partial(self._in_loop, self._on_leaving),
            finished=partial(self._in_loop, self._on_finished),
            closed=partial(self._in_loop, self._stopped.set),
        )
        self._outbox: Outbox[AnyWork] = Outbox(
            self._loop, self._writer.submit, self._writer.abandon
        )
        self._writer.start()
        return opening

    def _on_opened(
        self,
        opening: asyncio.Future[Exception | None],
        opened: Opened | None,
        error: Exception | None,
    ) -> None:
        if opening is not self._opening:
            return  # the store was closed meanwhile
        if opened is not None:
            self._cache = opened.db.cache
            self._cache.found_epoch(opened.epoch)
            self._secret, self._files = opened.secret, opened.files
            self._readers = Readers(self.path, self._loop, self._cache)
            self._wakeups.begin(opened.files)
            self._is_open = True
        if not opening.done():
            opening.set_result(error)

    def _on_leaving(self, answer: SimpleQueue[Sequence[threading.Event]]) -> None:
        """Other files lie at the path: close those that are open, until the writer has others."""
        if self._is_open:
            self._readers.close()
            answer.put((self._readers.gone, self._wakeups.let_go()))

    async def aclose(self) -> None:
        """Finish what the writer has begun, refuse the rest, write marks and refusals.

        Never waits for another process, nor long for a query; else nothing of this store has the
        files open afterwards.
        """
        if self._opening is None:
            return
        if not self._opening.done():
            self._opening.set_result(StoreUnavailable("The store was closed while it opened."))
        was_open, self._is_open, self._opening = self._is_open, False, None
        self._outbox.refuse(StoreBusy("The store is closing; nothing was committed."))
        if was_open:
            self._wakeups.let_go()
            self._readers.close()
        self._writer.close()
        if not self._writer.is_blocked:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WAIT_S):
                    await self._stopped.wait()
                    if was_open:
                        await self._readers.ended.wait()

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("The store is not open.")

    def _in_loop(self, call: Callable[..., None], *args: object) -> None:
        """Run in the event loop; called from the writer's thread."""
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            return  # the event loop has ended, and with it everybody who waited

    # ---- writing --------------------------------------------------------------------------------

    async def create(
        self,
        room: Room,
        *,
        reuse: bool = False,
        quota: Quota | None = None,
        entry: Entry | None = None,
    ) -> tuple[Room, bool]:
        return await self._perform(Creating(room, reuse=reuse, quota=quota, entry=entry), None)

    async def act(
        self,
        room_id: str,
        decide: Decide,
        *,
        key: IdempotencyKey | None = None,
        entry: Entry | None = None,
        timeout_s: float | None = None,
    ) -> Done:
        (done,) = await self._perform(Acting(room_id, (Act(decide, key, entry),)), timeout_s)
        if isinstance(done, Refusal):
            raise done
        return done

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        return await self._perform(Acting(room_id, acts), timeout_s)

    async def erase(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> Room:
        return await self._perform(Erasing(room_id, decide, entry), None)

    async def delete(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> None:
        await self._perform(Deleting(room_id, decide, entry), None)

    async def scrub(self, *, max_bytes: int | None = None, pause: timedelta = timedelta(0)) -> bool:
        if await self._look_up(scrubbing.is_done):
            return False
        if max_bytes is not None and self.path.stat().st_size > max_bytes:
            raise scrubbing.left("to write it anew at once would stop all others.")
        try:
            await self._perform(Scrubbing(), None)
        except StoreBusy as error:
            raise scrubbing.left(error.detail) from error
        return True

    async def _perform(self, work: Work[T], timeout_s: float | None) -> T:
        """Hand work to the writer and wait for what comes of it."""
        self._must_be_open()
        timeout_s = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        await self._outbox.perform(work, timeout_s)
        return work.outcome()

    def _on_finished(self, works: Sequence[AnyWork], changes: Changes) -> None:
        for work in works:
            work.finish()
        if changes.rev and self._is_open:
            self._wakeups.after_commit(changes)

    # ---- reading --------------------------------------------------------------------------------

    async def room(self, room_id: str) -> Room:
        kept = await self._look_up(lambda db: queries.room(db, db.cache, room_id))
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
        is_short = limit <= LOOKED_UP_MESSAGES and sender is None and type is None
        run = self._look_up if is_short else self._query
        return await run(lambda db: queries.read(db, db.cache, room_id, wanted))

    async def seq_at(self, room_id: str, *, at: datetime | None, message_id: str | None) -> int:
        return await self._query(lambda db: queries.seq_at(db, db.cache, room_id, at, message_id))

    async def heads(self, room_ids: Collection[str]) -> Mapping[str, Head]:
        return await self._look_up(lambda db: queries.heads(db, db.cache, room_ids))

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
        return await self._query(lambda db: queries.directory(db, db.cache, wanted))

    async def stale(
        self,
        *,
        before: datetime | None = None,
        beyond: int | None = None,
        ended_only: bool = True,
        limit: int = 100,
    ) -> list[Listed]:
        return await self._query(
            lambda db: queries.stale(db, db.cache, before, beyond, ended_only, limit)
        )

    async def times(self) -> Times:
        return await self._look_up(noting.times)

    async def note_round(
        self, round_at: datetime | None, suspect_since: datetime | None = None
    ) -> None:
        await self._perform(
            Writing(lambda db: noting.note_round(db, round_at, suspect_since)), None
        )

    async def search(self, query: str, *, room_ids: Collection[str], limit: int = 20) -> list[Hit]:
        return await self._query(lambda db: queries.search(db, db.cache, query, room_ids, limit))

    async def directory_version(self) -> int:
        return await self._look_up(lambda db: queries.directory_version(db, db.cache))

    async def _look_up(self, query: Query[T]) -> T:
        """For what is found by key, and is short."""
        return await self._current(lambda: self._readers.look_up(query))

    async def _query(self, query: Query[T]) -> T:
        return await self._current(lambda: self._readers.run(query))

    async def _current(self, read: Callable[[], Awaitable[T]]) -> T:
        """What is read, from the files that are there. A file that was deleted is read on, as
        long as it is open here."""
        while True:
            self._must_be_open()
            if self._readers.are_open:
                try:
                    found = await read()
                except Exception:
                    if self._is_current():
                        raise
                else:
                    if self._is_current():
                        return found
            # Other files lie at the path. The writer opens them, or says why it cannot.
            await self._perform(Writing(lambda _: None), None)

    def _is_current(self) -> bool:
        found = self._place.files()
        return found == self._files or found.database is None

    def _on_moved(self) -> None:
        """Somebody who watches saw that other files lie at the path; the writer looks first."""
        if self._is_open:
            self._writer.submit(())

    # ---- how far members have read --------------------------------------------------------------

    async def readings(self, room_id: str) -> Mapping[str, Reading]:
        # Taken before and after: a commit in between moves marks from here to the table.
        before = self._marks.of_room(room_id)
        kept = await self._look_up(
            lambda db: marking.read(db, queries.room(db, db.cache, room_id).no)
        )
        after = self._marks.of_room(room_id)
        readings: dict[str, Reading] = {}
        for key, (name, reading) in kept.items():
            for pending in (before.get(key), after.get(key)):
                if pending is not None:
                    reading = reading.then(pending)
            readings[name] = reading
        return readings

    def mark_read(self, room_id: str, name: str, reading: Reading) -> None:
        self._must_be_open()
        self._marks.add(room_id, name, reading)
        self._write_soon()

    def _write_soon(self) -> None:
        if self._marks_timer is None:
            self._marks_timer = self._loop.call_later(MARKS_WAIT_S, self._write_rest)

    def _write_rest(self) -> None:
        self._marks_timer = None
        if self._is_open and (self._marks.pending() or self._refusals.pending()):
            self._writer.submit(())

    # ---- the audit ------------------------------------------------------------------------------

    def note_refusal(self, entry: Entry) -> None:
        self._must_be_open()
        self._refusals.add(entry)
        self._write_soon()

    async def audit(
        self, *, room_id: str | None = None, after: int = 0, limit: int = MAX_PAGE_ENTRIES
    ) -> AuditPage:
        if self._refusals.pending():
            await self._perform(Writing(lambda _: None), None)  # takes them along
        return await self._query(lambda db: auditing.page(db, room_id, after, limit))

    # ---- callers --------------------------------------------------------------------------------

    async def add_key(self, key: ServerKey, *, entry: Entry | None = None) -> None:
        await self._perform(Writing(lambda db: callers.add_key(db, key, entry)), None)

    async def server_key(self, id: str) -> ServerKey | None:
        return await self._look_up(lambda db: callers.server_key(db, id))

    async def server_keys(self) -> list[ServerKey]:
        return await self._query(callers.server_keys)

    async def revoke_key(
        self, id: str, at: datetime, *, entry: Entry | None = None
    ) -> ServerKey | None:
        return await self._perform(Writing(lambda db: callers.revoke_key(db, id, at, entry)), None)

    def key_used(self, id: str, at: datetime) -> None:
        self._must_be_open()
        self._writer.submit((Writing(lambda db: callers.note_use(db, id, at)),))

    async def add_invitation(self, invitation: Invitation, *, entry: Entry | None = None) -> None:
        write = Writing(lambda db: callers.add_invitation(db, invitation, entry))
        await self._perform(write, None)

    async def redeem(
        self,
        code_hash: str,
        at: datetime,
        key_for: Callable[[Invitation], ServerKey],
        *,
        entry: Entry | None = None,
    ) -> ServerKey | None:
        return await self._perform(
            Writing(lambda db: callers.redeem(db, code_hash, at, key_for, entry)), None
        )

    # ---- limits ---------------------------------------------------------------------------------

    async def take(
        self, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int = 0, at: datetime
    ) -> Taken:
        take = partial(limiting.take, needed=needed, wanted=wanted, at=at)
        return await self._perform(
            Counting(lambda db: take(db, subject, kind, rate)), COUNT_TIMEOUT_S
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
        def count(db: Database) -> int:
            return limiting.take_slots(
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

        return await self._perform(Counting(count), COUNT_TIMEOUT_S)

    def give_slots_back(self, subject: str, kind: str, holder: str, *, left: int) -> None:
        self._must_be_open()
        back = Counting(lambda db: limiting.give_slots_back(db, subject, kind, holder, left=left))
        self._writer.submit((back,))

    async def give_all_slots_back(self, holder: str) -> None:
        back = Counting(lambda db: limiting.give_all_slots_back(db, holder))
        await self._perform(back, COUNT_TIMEOUT_S)

    async def rooms_of(self, creator: str) -> list[str]:
        return await self._query(lambda db: limiting.rooms_of(db, creator))

    # ---- watching -------------------------------------------------------------------------------

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]:
        self._must_be_open()
        return Watching((self._wakeups,), room_ids, directory=directory)
