"""The one thread of this process that writes: it commits for all who wait, together."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path

import apsw

from ..auditing import Entry
from ..interface import OutcomeUnknown, Reading, StoreError
from ..memories import Memories
from . import auditing
from . import marks as marking
from .auditing import Refusals
from .batch import Batch, Changes
from .cache import RoomCache
from .connection import BUSY_MS, trouble
from .marks import MarkKey, Marks
from .schema import Opened, lock_beside, open_locked, prepare_folder
from .signals import NotifyFile
from .work import Acting, AnyWork, State

MAX_BATCH_MESSAGES = 256  # in one transaction, so that other processes get their turn soon
CHECKPOINT_PAGES = 1_000  # of the WAL, about 4 MB
MAX_WAL_PAGES = 16_384  # 64 MiB: beyond it the WAL is emptied, waiting for readers if need be
MERGED_PAGES = 64  # of the full-text index at a time, a few milliseconds
CLOSE_MERGING_S = 1  # then the rest of the merging is left to the next removal
EMPTYING_MS = 100  # how long a checkpoint that empties the WAL waits for readers

# COMMIT with these has certainly not happened; what else it raises leaves that open.
_NOT_COMMITTED = (apsw.FullError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError)

Told = Callable[[Opened | None, Exception | None], None]
Finished = Callable[[Sequence[AnyWork], Changes], None]


class Writer(threading.Thread):
    """Opens the store, then takes work until it is closed; a daemon, so exit never waits.

    `opened`, `finished` and `closed` are called in this thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        cache: RoomCache,
        marks: Marks,
        refusals: Refusals,
        opened: Told,
        finished: Finished,
        closed: Callable[[], None],
    ) -> None:
        super().__init__(name="room-mcp writer", daemon=True)
        self.is_blocked = False  # waiting for the file lock, perhaps for ever
        self._path = path
        self._clock = clock
        self._cache = cache
        self._marks = marks
        self._refusals = refusals
        self._opened = opened
        self._finished = finished
        self._closed = closed
        self._memories = Memories()
        self._closing = False
        self._inbox: queue.SimpleQueue[Sequence[AnyWork]] = queue.SimpleQueue()
        self._waiting: deque[AnyWork] = deque()
        self._claims = threading.Lock()
        self._wal_pages = 0
        self._checkpointed_pages = 0
        self._is_merging = False

    # ---- called from the event loop -------------------------------------------------------------

    def submit(self, works: Sequence[AnyWork]) -> None:
        """Queue work; none at all asks for marks and refusals to be written."""
        self._inbox.put(works)

    def abandon(self, work: AnyWork) -> bool:
        """Take work back. False: the writer has it already."""
        with self._claims:
            if work.state is not State.PENDING:
                return False
            work.state = State.ABANDONED
            return True

    def close(self) -> None:
        """Ask the thread to end. If `is_blocked` is True after this, do not wait for it."""
        self._closing = True
        self._inbox.put(())

    # ---- the thread -----------------------------------------------------------------------------

    def run(self) -> None:
        try:
            opened = self._open()
        except Exception as error:
            self._opened(None, error)
            self._closed()
            return
        self._opened(opened, None)
        while not self._closing:
            self._turn()
        self._close()
        self._closed()

    def _open(self) -> Opened:
        prepare_folder(self._path)
        self._lock = lock_beside(self._path)
        try:
            self._notify = NotifyFile(self._path)
            if not self._take_lock():
                raise StoreError("The store was closed while it opened.")
            try:
                opened = open_locked(self._path)
            finally:
                self._lock.release()
        except BaseException:
            self._lock.close()
            raise
        self._db = opened.db
        self._db.on_commit(self._count_pages)
        return opened

    def _take_lock(self) -> bool:
        """Wait for the file lock. False: not taken, for the store closes."""
        if self._lock.try_acquire():
            return True
        # In this order: `close` says so first and then looks whether it must wait.
        self.is_blocked = True
        try:
            if self._closing:
                return False
            self._lock.acquire()
        finally:
            self.is_blocked = False
        return True

    def _turn(self) -> None:
        """Wait for work, commit what there is, tell."""
        self._collect()
        if not self._take_lock():
            return
        works: Sequence[AnyWork] = ()
        try:
            works = self._claim()
            changes = self._commit(works)
            if any(work.scrubs for work in works):
                self._is_merging = True
                self._checkpoint(emptying=True)
            elif self._is_merging and not works:
                self._merge_words()
            elif self._wal_pages - self._checkpointed_pages >= CHECKPOINT_PAGES:
                # First the good news: a checkpoint takes longer than a commit.
                self._finished(works, changes)
                works = ()
                self._checkpoint(emptying=self._wal_pages >= MAX_WAL_PAGES)
        finally:
            # Before telling: the woken event loop would keep this thread from letting go.
            self._lock.release()
        if works:
            self._finished(works, changes)

    def _collect(self) -> None:
        """Wait until there is something to do."""
        if not self._waiting and not self._is_merging:
            self._waiting.extend(self._inbox.get())
        self._collect_more()

    def _collect_more(self) -> None:
        while True:
            try:
                self._waiting.extend(self._inbox.get_nowait())
            except queue.Empty:
                return

    def _claim(self) -> list[AnyWork]:
        """The next transaction's work. Callers cannot take it back from here on."""
        self._collect_more()
        works: list[AnyWork] = []
        room = MAX_BATCH_MESSAGES
        with self._claims:
            while self._waiting:
                work = self._waiting[0]
                if work.state is not State.ABANDONED:
                    if works and (work.alone or works[0].alone or work.size > room):
                        break
                    work.state = State.CLAIMED
                    works.append(work)
                    room -= work.size
                self._waiting.popleft()
        return works

    # ---- transactions ---------------------------------------------------------------------------

    def _commit(self, works: Sequence[AnyWork]) -> Changes:
        """Do the work in one transaction; whatever fails is told to those it concerns."""
        marks = self._marks.pending()
        refusals = self._refusals.pending()
        if not works and not marks and not refusals:
            return Changes()
        try:
            return self._transact(works, marks, refusals)
        except StoreError as error:
            self._fail(works, error)
        except apsw.Error as error:
            self._fail(works, trouble(error, self._path))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                return self._commit_one_by_one(works)
            self._fail(works, error)
        return Changes()

    def _commit_one_by_one(self, works: Sequence[AnyWork]) -> Changes:
        done = [self._commit([work]) for work in works]
        return Changes(
            max(one.rev for one in done),
            tuple(room_id for one in done for room_id in one.room_ids),
            any(one.directory for one in done),
        )

    @staticmethod
    def _fail(works: Sequence[AnyWork], error: Exception) -> None:
        for work in works:
            work.failure = error

    def _transact(
        self,
        works: Sequence[AnyWork],
        marks: Mapping[MarkKey, Reading],
        refusals: Sequence[Entry],
    ) -> Changes:
        with self._tuned_for(works):
            self._db.run("BEGIN IMMEDIATE")
            try:
                batch = Batch(self._db, self._cache, self._memories, self._clock())
                self._perform(batch, works)
                changes = batch.write()
                marking.write(self._db, marks)
                if refusals:
                    auditing.append(self._db, refusals)
            except BaseException:
                self._roll_back()
                raise
            self._end_transaction()
        batch.remember()
        self._marks.written(marks)
        self._refusals.written(refusals)
        if changes.rev:
            # It is committed: a full disk here must not look like a failure. Others poll too.
            with suppress(OSError):
                self._notify.touch()
        return changes

    @contextmanager
    def _tuned(self, name: str, value: str, *, usual: str) -> Generator[None]:
        """A setting of SQLite for one transaction."""
        self._db.pragma(name, value)
        try:
            yield
        finally:
            self._db.pragma(name, usual)

    def _tuned_for(self, works: Sequence[AnyWork]) -> AbstractContextManager[None]:
        if not any(work.lasts for work in works):
            # Marks, refusals and counts are not worth waiting for the disk; the next commit syncs
            # them too.
            return self._tuned("synchronous", "NORMAL", usual="FULL")
        if works[0].scrubs:
            # Overwrite removed text also in pages that become free.
            return self._tuned("secure_delete", "ON", usual="FAST")
        return nullcontext()

    @staticmethod
    def _perform(batch: Batch, works: Sequence[AnyWork]) -> None:
        acting = [work for work in works if isinstance(work, Acting)]
        if acting:
            batch.load(work.room_id for work in acting)
            batch.load_keys(
                (work.room_id, act.key)
                for work in acting
                for act in work.acts
                if act.key is not None
            )
        for work in works:
            try:
                work.attempt(batch)
            except apsw.Error:
                raise
            except Exception as error:
                # A refusal, or a mistake in somebody's `decide`: his alone.
                work.failure = error

    def _end_transaction(self) -> None:
        try:
            self._db.run("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            if isinstance(error, _NOT_COMMITTED):
                raise
            raise OutcomeUnknown(
                f"The disk with {self._path} failed while committing: {error}.",
                advice="Check the disk; then retry with the same idempotency key.",
            ) from error

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.run("ROLLBACK")

    def _merge_words(self) -> None:
        """Merge a little of the full-text index, until no removed text has left a word in it."""
        before = self._db.changed_rows()
        try:
            with self._tuned("secure_delete", "ON", usual="FAST"):
                self._db.run("INSERT INTO words (words, rank) VALUES ('merge', ?)", (MERGED_PAGES,))
        except apsw.Error:
            self._is_merging = False  # the next removal tries again
            return
        if self._db.changed_rows() - before < 2:  # SQLite's sign that nothing is left to do
            self._is_merging = False
            self._checkpoint(emptying=True)

    # ---- the WAL --------------------------------------------------------------------------------

    def _count_pages(self, pages: int) -> None:
        """Called after each commit with the length of the WAL."""
        if pages < self._wal_pages:
            self._checkpointed_pages = 0  # it was begun anew
        self._wal_pages = pages

    def _checkpoint(self, *, emptying: bool) -> None:
        """Copy the WAL into the database; the file lock is held."""
        self._checkpointed_pages = self._wal_pages
        self._db.wait_for_locks(EMPTYING_MS)
        try:
            self._db.checkpoint(emptying=emptying)
        except apsw.Error:
            # Readers are in the way, or the disk is full. All is safe in the WAL, and the next
            # checkpoint tries again; a disk that fails shows at the next commit.
            return
        finally:
            self._db.wait_for_locks(BUSY_MS)

    def _close(self) -> None:
        if self._lock.try_acquire():
            self._refusals.settle()
            self._commit(())
            end = time.monotonic() + CLOSE_MERGING_S
            while self._is_merging and time.monotonic() < end:
                self._merge_words()
            self._checkpoint(emptying=True)
            self._lock.release()
        self._db.close()
        self._lock.close()
        self._notify.close()
