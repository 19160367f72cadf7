"""The one thread of this process that writes: it commits for all who wait, together."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import apsw

from ..auditing import Entry, Refusals
from ..interface import OutcomeUnknown, Reading, StoreBusy, StoreError
from ..memories import Memories
from . import auditing, scrubbing
from . import marks as marking
from .batch import Batch, Changes
from .connection import BUSY_MS, UNREADABLE, trouble
from .files import Files, Place, deleted
from .marks import MarkKey, Marks
from .moving import OPENING_S, SAVING_S, Leaving, Moving
from .schema import Opened, lock_beside, open_locked, prepare_folder
from .signals import NotifyFile
from .work import Acting, AnyWork, Scrubbing, State

MAX_BATCH_MESSAGES = 256  # in one transaction, so that other processes get their turn soon
CHECKPOINT_PAGES = 1_000  # of the WAL, about 4 MB
MAX_WAL_PAGES = 16_384  # 64 MiB: beyond it the WAL is emptied, waiting for readers if need be
MERGED_PAGES = 64  # of the full-text index at a time, a few milliseconds
CLOSE_MERGING_S = 1  # then the rest of the merging is left to the next removal
SAVING_PAUSE_S = 0.05  # between two looks whether other processes have saved their files
EMPTYING_MS = 100  # how long a checkpoint that empties the WAL waits for readers

# COMMIT with these has certainly not happened; what else it raises leaves that open.
_NOT_COMMITTED = (
    *(apsw.FullError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError),
    apsw.CorruptError,  # of the full-text index, which writes before anything is committed
)

Told = Callable[[Opened | None, Exception | None], None]
Finished = Callable[[Sequence[AnyWork], Changes], None]


class Writer(threading.Thread):
    """Opens the store, then takes work until it is closed; a daemon, so exit never waits.

    When other files lie at the path it opens those, and says so again.

    `opened`, `leaving`, `finished` and `closed` are called in this thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime],
        marks: Marks,
        refusals: Refusals,
        opened: Told,
        leaving: Leaving,
        finished: Finished,
        closed: Callable[[], None],
    ) -> None:
        super().__init__(name="room-mcp writer", daemon=True)
        self.is_blocked = False  # waiting for the file lock, perhaps for ever
        self._path = path
        self._clock = clock
        self._marks = marks
        self._refusals = refusals
        self._opened = opened
        self._moving = Moving(path, leaving, partial(self._checkpoint, emptying=True))
        self._finished = finished
        self._closed = closed
        self._memories = Memories()
        self._place = Place(path)
        self._files: Files | None = None  # those that are open
        self._left: Files | None = None  # those that were open before; nothing is only in them
        self._is_current = False  # they were the ones at the path, when it was last looked at
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
            self._take_lock_to_open()
            try:
                opened = self._opened_like(self._place.files(), making=True)
                self._adopt(opened)
            finally:
                self._lock.release()
        except BaseException:
            self._lock.close()
            raise
        return opened

    def _take_lock_to_open(self) -> None:
        while self._take_lock():
            found, noted = self._place.files(), self._lock.noted()
            if not self._moving.must_wait(found, noted, None, wait_s=OPENING_S):
                return
            self._lock.release()
            time.sleep(SAVING_PAUSE_S)
        raise StoreError("The store was closed while it opened.")

    def _adopt(self, opened: Opened) -> None:
        self._db = opened.db
        self._files = opened.files
        self._note(opened.files)
        self._is_current = True
        self._wal_pages = self._checkpointed_pages = 0
        self._db.on_commit(self._count_pages)

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
        if self._closing and not self._waiting:
            return
        try:
            if not self._take_lock():
                return
        except StoreError as error:
            self._refuse(error)
            return
        works: Sequence[AnyWork] = ()
        try:
            works = self._claim()
            changes = self._store(works)
            if not self._is_current:
                self._is_merging = False
            elif any(work.scrubs for work in works):
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

    def _refuse(self, error: StoreError) -> None:
        """The lock cannot be had: tell those who wait."""
        self._is_merging = False
        works = self._claim()
        self._fail(works, error)
        self._finished(works, Changes())

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

    # ---- the files ------------------------------------------------------------------------------

    def _store(self, works: Sequence[AnyWork]) -> Changes:
        """Commit to the files that are there now."""
        try:
            ours = self._files
            if ours is None or not self._is_current or self._place.files() != ours:
                self._reopen()
            elif self._lock.is_new:
                self._note(ours)
        except StoreError as error:
            self._is_current = False
            self._fail(works, error)
            return Changes()
        return self._commit(works)

    def _reopen(self) -> None:
        """Others lie at the path, or lack: leave those that are open for them."""
        found = self._place.files()
        if found.database is None:
            raise deleted(self._path)
        if found == self._files:
            self._is_current = True  # they came back
            return
        if self._files is None:
            self._must_not_wait(found, self._left)
        else:
            self._leave(self._files, found)
            self._left = self._files
            self._moving.let_go()
            self._db.close()
            self._files = None
        opened = self._opened_like(found, making=False)
        self._memories = Memories()
        self._marks.written(self._marks.pending())  # they count messages of the other file
        self._adopt(opened)
        self._opened(opened, None)

    def _opened_like(self, found: Files, *, making: bool) -> Opened:
        """The store, in the files that others have; unless those vanished just now."""
        opened = open_locked(self._path, making=making)
        if opened.files != found and Files.from_note(self._lock.noted()) == found:
            opened.db.close()
            raise self._vanished()
        return opened

    def _must_not_wait(self, found: Files, ours: Files | None) -> None:
        if self._moving.must_wait(found, self._lock.noted(), ours, wait_s=SAVING_S):
            raise self._vanished()

    def _vanished(self) -> StoreBusy:
        return StoreBusy(
            f"Files of {self._path} vanished, and another process has to save what it has open; "
            "nothing was stored.",
            advice="Try again.",
        )

    def _note(self, files: Files) -> None:
        with suppress(OSError):  # a full disk; it is needed only when files vanish
            self._lock.note(files.noted())

    def _leave(self, ours: Files, found: Files) -> None:
        noted = self._lock.noted()  # empty when the lock was deleted as well
        self._must_not_wait(found, ours)
        is_first = noted == ours.noted() or (not noted and found.wal in (ours.wal, None))
        self._moving.leave(ours, found, is_first=is_first)

    # ---- transactions ---------------------------------------------------------------------------

    def _commit(self, works: Sequence[AnyWork]) -> Changes:
        """Do the work in one transaction; whatever fails is told to those it concerns."""
        if works and isinstance(works[0], Scrubbing):
            return self._scrub(works)
        marks = self._marks.pending()
        refusals = self._refusals.pending()
        if not works and not marks and not refusals:
            return Changes()
        try:
            return self._transact(works, marks, refusals)
        except StoreError as error:
            self._fail(works, error)
        except (apsw.Error, *UNREADABLE) as error:
            self._fail(works, trouble(error, self._path))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                return self._commit_one_by_one(works)
            self._fail(works, error)
        return Changes()

    def _scrub(self, works: Sequence[AnyWork]) -> Changes:
        try:
            scrubbing.scrub(self._db)
            self._is_merging = False
        except StoreError as error:
            self._fail(works, error)
        except (apsw.Error, *UNREADABLE) as error:
            self._fail(works, trouble(error, self._path))
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
                batch = Batch(self._db, self._db.cache, self._memories, self._clock())
                if batch.is_restored:
                    self._marks.written(marks)  # they count messages that may be gone
                    marks = {}
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
            except (apsw.Error, *UNREADABLE):
                raise
            except Exception as error:
                # A refusal, or a mistake in somebody's `decide`: his alone.
                work.failure = error

    def _end_transaction(self) -> None:
        try:
            self._db.run("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            if _is_unwritten(error):
                raise
            raise OutcomeUnknown(
                f"The disk with {self._path} failed while committing: {error}.",
                advice="Check the disk; then retry with the same idempotency key.",
            ) from error
        if self._place.files() != self._files:
            raise OutcomeUnknown(
                f"{self._path} was deleted or replaced in this moment.",
                advice="Retry with the same idempotency key.",
            )

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

    def _checkpoint(self, *, emptying: bool) -> bool:
        """Copy the WAL into the database; the file lock is held. False: not all, or not at all."""
        self._checkpointed_pages = self._wal_pages
        self._db.wait_for_locks(EMPTYING_MS)
        try:
            self._db.checkpoint(emptying=emptying)
        except apsw.Error:
            # Readers are in the way, or the disk is full. All is safe in the WAL, and the next
            # checkpoint tries again; a disk that fails shows at the next commit.
            return False
        finally:
            self._db.wait_for_locks(BUSY_MS)
        return True

    def _close(self) -> None:
        with suppress(StoreError):  # the folder is gone, and with it what could be finished
            if self._lock.try_acquire():
                self._finish()
                self._lock.release()
        self._db.close()
        self._lock.close()
        self._notify.close()

    def _finish(self) -> None:
        """Leave the file as whole as can be; the file lock is held."""
        found = self._place.files()
        if not self._is_current or self._files is None or found != self._files:
            if self._files is not None and found.database is not None:
                self._leave(self._files, found)
            return
        self._refusals.settle()
        self._commit(())
        end = time.monotonic() + CLOSE_MERGING_S
        while self._is_merging and time.monotonic() < end:
            self._merge_words()
        self._checkpoint(emptying=True)


def _is_unwritten(error: apsw.Error) -> bool:
    """Whether a commit certainly did not happen, because a write failed.

    The page that marks it in the WAL is written last.
    """
    code = getattr(error, "extendedresult", 0)
    return isinstance(error, _NOT_COMMITTED) or code == apsw.SQLITE_IOERR_WRITE
