"""Writes to the files of a store that are open: transactions, and the upkeep between them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path

import apsw

from ..auditing import Entry, Refusals
from ..interface import OutcomeUnknown, Reading, StoreError
from ..marks import MarkKey, Marks
from ..measuring import StoreMeasures
from ..memories import Memories
from ..work import fail
from . import auditing, scrubbing
from . import marks as marking
from .batch import Batch, Changes
from .connection import BUSY_MS, UNREADABLE, trouble
from .files import Place
from .schema import Opened
from .signals import NotifyFile
from .work import Acting, AnyWork, Scrubbing

logger = logging.getLogger(__name__)

CHECKPOINT_PAGES = 1_000  # of the WAL, about 4 MB
MAX_WAL_PAGES = 16_384  # 64 MiB: beyond it the WAL is emptied, waiting for readers if need be
MERGED_PAGES = 64  # of the full-text index at a time, a few milliseconds
CLOSE_MERGING_S = 1  # then the rest of the merging is left to the next removal
EMPTYING_MS = 100  # how long a checkpoint that empties the WAL waits for readers

# COMMIT with these has certainly not happened; what else it raises leaves that open.
_NOT_COMMITTED = (
    *(apsw.FullError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError),
    apsw.CorruptError,  # of the full-text index, which writes before anything is committed
)


class Transactions:
    """For the writer's thread, while it holds the file lock; made anew when it opens other files.

    `is_merging`: removed texts have left words in the full-text index, for `merge_words`.
    """

    def __init__(
        self,
        path: Path,
        opened: Opened,
        *,
        clock: Callable[[], datetime],
        marks: Marks,
        refusals: Refusals,
        measures: StoreMeasures,
        notify: NotifyFile,
    ) -> None:
        self.is_merging = False
        self._path = path
        self._place = Place(path)
        self._db = opened.db
        self._files = opened.files
        self._clock = clock
        self._marks = marks
        self._refusals = refusals
        self._measures = measures
        self._notify = notify
        self._memories = Memories()
        self._usual: dict[str, str] = {}  # of settings that are different now
        self._wal_pages = 0
        self._checkpointed_pages = 0
        self._db.on_commit(self._count_pages)

    def close(self) -> None:
        self._db.close()

    def finish(self) -> None:
        """Write what waits for a commit, then leave nothing in the WAL."""
        self._refusals.settle()
        self.commit(())
        end = time.monotonic() + CLOSE_MERGING_S
        while self.is_merging and time.monotonic() < end:
            self.merge_words()
        self.checkpoint(emptying=True)

    # ---- committing -----------------------------------------------------------------------------

    def commit(self, works: Sequence[AnyWork]) -> Changes:
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
            fail(works, error)
        except (apsw.Error, *UNREADABLE) as error:
            fail(works, trouble(error, self._path))
        except Exception as error:
            # Something that cannot be written, in one of many: each tries again by itself.
            if len(works) > 1:
                return self._commit_one_by_one(works)
            fail(works, error)
        return Changes()

    def _scrub(self, works: Sequence[AnyWork]) -> Changes:
        try:
            scrubbing.scrub(self._db)
            self.is_merging = False
        except StoreError as error:
            fail(works, error)
        except (apsw.Error, *UNREADABLE) as error:
            fail(works, trouble(error, self._path))
        return Changes()

    def _commit_one_by_one(self, works: Sequence[AnyWork]) -> Changes:
        done = [self.commit([work]) for work in works]
        return Changes(
            max(one.rev for one in done),
            tuple(room_id for one in done for room_id in one.room_ids),
            any(one.directory for one in done),
        )

    def _transact(
        self,
        works: Sequence[AnyWork],
        marks: Mapping[MarkKey, Reading],
        refusals: Sequence[Entry],
    ) -> Changes:
        self._roll_back()  # what an earlier one could not undo, for the disk failed
        self._tune_back()
        began = time.perf_counter()
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
        # It is committed: from here on nothing may look like a failure, nor be done again.
        try:
            self._refusals.written(refusals)
            self._marks.written(marks)
            batch.remember()
        except Exception:
            logger.exception("What was committed is read anew: it could not be remembered")
            self._db.cache.forget()
            self._memories.forget()
        if changes.rev:
            acts = sum(work.size for work in works if isinstance(work, Acting))
            self._measures.committed(acts, changes.room_ids, time.perf_counter() - began)
            # A full disk does no harm here: others poll too.
            with suppress(OSError):
                self._notify.touch()
        return changes

    @contextmanager
    def _tuned(self, name: str, value: str, *, usual: str) -> Generator[None]:
        """A setting of SQLite for one transaction."""
        self._usual[name] = usual
        self._db.pragma(name, value)
        try:
            yield
        finally:
            # It may be committed. The next transaction does not begin before this is done.
            with suppress(apsw.Error, MemoryError):
                self._tune_back()

    def _tune_back(self) -> None:
        for name, usual in tuple(self._usual.items()):
            self._db.pragma(name, usual)
            del self._usual[name]

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
        except Exception as error:
            with suppress(apsw.Error):  # the next transaction tries again
                self._roll_back()
            if isinstance(error, apsw.Error) and _is_unwritten(error):
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

    # ---- the full-text index --------------------------------------------------------------------

    def merge_words(self) -> None:
        """Merge a little of the full-text index, until no removed text has left a word in it."""
        before = self._db.changed_rows()
        try:
            with self._tuned("secure_delete", "ON", usual="FAST"):
                self._db.run("INSERT INTO words (words, rank) VALUES ('merge', ?)", (MERGED_PAGES,))
        except apsw.Error:
            self.is_merging = False  # the next removal tries again
            return
        if self._db.changed_rows() - before < 2:  # SQLite's sign that nothing is left to do
            self.is_merging = False
            self.checkpoint(emptying=True)

    # ---- the WAL --------------------------------------------------------------------------------

    @property
    def is_checkpoint_due(self) -> bool:
        return self._wal_pages - self._checkpointed_pages >= CHECKPOINT_PAGES

    def checkpoint(self, *, emptying: bool = False) -> bool:
        """Copy the WAL into the database; `emptying` waits for readers to let go of it.

        It is emptied in any case when it has grown to MAX_WAL_PAGES.

        Returns:
            False: Not all was copied, or nothing.
        """
        emptying = emptying or self._wal_pages >= MAX_WAL_PAGES
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

    def _count_pages(self, pages: int) -> None:
        """Called after each commit with the length of the WAL."""
        if pages < self._wal_pages:
            self._checkpointed_pages = 0  # it was begun anew
        self._wal_pages = pages


def _is_unwritten(error: apsw.Error) -> bool:
    """Whether a commit certainly did not happen, because a write failed.

    The page that marks it in the WAL is written last.
    """
    code = getattr(error, "extendedresult", 0)
    return isinstance(error, _NOT_COMMITTED) or code == apsw.SQLITE_IOERR_WRITE
