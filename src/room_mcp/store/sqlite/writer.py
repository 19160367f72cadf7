"""The one thread of this process that writes: it commits for all who wait, together."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from ..auditing import Refusals
from ..interface import StoreError, StoreUnavailable
from ..marks import Marks
from ..measuring import StoreMeasures
from ..work import State, fail
from .batch import Changes
from .files import Files, Place, deleted, vanished
from .moving import OPENING_S, Leaving, Moving
from .schema import Opened, lock_beside, open_locked, prepare_folder
from .signals import NotifyFile
from .strays import set_strays_aside
from .transactions import Transactions
from .work import AnyWork

logger = logging.getLogger(__name__)

MAX_BATCH_MESSAGES = 256  # in one transaction, so that other processes get their turn soon
SAVING_PAUSE_S = 0.05  # between two looks whether other processes have saved their files

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
        measures: StoreMeasures,
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
        self._measures = measures
        self._opened = opened
        self._moving = Moving(path, leaving)
        self._finished = finished
        self._closed = closed
        self._place = Place(path)
        self._files: Files | None = None  # those that are open
        self._left: Files | None = None  # those that were open before; nothing is only in them
        self._is_current = False  # they were the ones at the path, when it was last looked at
        self._closing = False
        self._inbox: queue.SimpleQueue[Sequence[AnyWork]] = queue.SimpleQueue()
        self._waiting: deque[AnyWork] = deque()
        self._claims = threading.Lock()

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
            self._opened(None, self._told(error))
            self._closed()
            return
        self._opened(opened, None)
        try:
            while not self._closing:
                self._turn()
            self._close()
        except Exception:
            logger.exception("The store could not be closed in order")
        finally:
            self._closed()

    def _open(self) -> Opened:
        prepare_folder(self._path)
        self._lock = lock_beside(self._path)
        try:
            self._notify = NotifyFile(self._path)
            try:
                return self._open_first()
            except BaseException:
                self._notify.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    def _open_first(self) -> Opened:
        self._take_lock_to_open()
        try:
            opened = self._opened_like(self._place.files(), making=True)
            self._adopt(opened)
        finally:
            self._lock.release()
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
        self._transactions = Transactions(
            self._path,
            opened,
            clock=self._clock,
            marks=self._marks,
            refusals=self._refusals,
            measures=self._measures,
            notify=self._notify,
        )
        self._files = opened.files
        self._note(opened.files)
        self._is_current = True

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
        works: Sequence[AnyWork] = ()
        changes = Changes()
        is_stored = False
        try:
            if not self._take_lock():
                return
            try:
                works = self._claim()
                changes = self._store(works)
                is_stored = True
                works = self._keep_up(works, changes)
            finally:
                # Before telling: the woken event loop would keep this thread from letting go.
                self._lock.release()
        except Exception as error:
            told = self._told(error)
            self._transactions.is_merging = False
            if not is_stored:  # it did not fail after COMMIT: `Transactions` tells of that itself
                works = works or self._claim()
                fail(works, told)
        if works:
            self._finished(works, changes)

    def _keep_up(self, works: Sequence[AnyWork], changes: Changes) -> Sequence[AnyWork]:
        """What the files need after this work; the part of it that was not told yet."""
        transactions = self._transactions
        if not self._is_current:
            transactions.is_merging = False
        elif any(work.scrubs for work in works):
            transactions.is_merging = True
            transactions.checkpoint(emptying=True)
        elif transactions.is_merging and not works:
            transactions.merge_words()
        elif transactions.is_checkpoint_due:
            # First the good news: a checkpoint takes longer than a commit.
            self._finished(works, changes)
            transactions.checkpoint()
            return ()
        return works

    def _told(self, error: Exception) -> StoreError:
        """What those who wait are told of an error; one that nobody foresaw is logged."""
        if isinstance(error, StoreError):
            return error
        logger.error("The store %s failed", self._path, exc_info=error)
        return StoreUnavailable(
            f"{self._path} failed ({type(error).__name__}: {error}); nothing was stored.",
            advice="Try again; if it lasts, check the disk, and the store with `room-mcp check`.",
        )

    def _collect(self) -> None:
        """Wait until there is something to do."""
        if not self._waiting and not self._transactions.is_merging:
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
        except Exception as error:
            self._is_current = False
            fail(works, self._told(error))
            return Changes()
        return self._transactions.commit(works)

    def _reopen(self) -> None:
        """Others lie at the path, or lack: leave those that are open for them."""
        found = self._place.files()
        if found.database is None:
            raise deleted(self._path)
        if found == self._files:
            self._is_current = True  # they came back
            return
        if self._files is None:
            self._moving.must_not_wait(found, self._lock.noted(), self._left)
        else:
            self._leave(self._files, found)
            self._left = self._files
            self._moving.let_go()
            self._transactions.close()
            self._files = None
        opened = self._opened_like(found, making=False)
        self._marks.written(self._marks.pending())  # they count messages of the other file
        is_merging = self._transactions.is_merging
        self._adopt(opened)
        self._transactions.is_merging = is_merging  # the words may be in this file as well
        self._opened(opened, None)

    def _opened_like(self, found: Files, *, making: bool) -> Opened:
        """The store, in the files that others have; unless those vanished just now."""
        set_strays_aside(self._path, self._lock)
        opened = open_locked(self._path, making=making)
        if opened.files != found and Files.from_note(self._lock.noted()) == found:
            opened.db.close()
            raise vanished(self._path)
        return opened

    def _note(self, files: Files) -> None:
        with suppress(OSError):  # a full disk; it is needed only when files vanish
            self._lock.note(files.noted())

    def _leave(self, ours: Files, found: Files) -> None:
        save = partial(self._transactions.checkpoint, emptying=True)
        self._moving.leave(ours, found, self._lock.noted(), save)

    # ---- the end --------------------------------------------------------------------------------

    def _close(self) -> None:
        with suppress(StoreError):  # the folder is gone, and with it what could be finished
            if self._lock.try_acquire():
                self._finish()
                self._lock.release()
        self._transactions.close()
        self._lock.close()
        self._notify.close()

    def _finish(self) -> None:
        """Leave the file as whole as can be; the file lock is held."""
        found = self._place.files()
        if not self._is_current or self._files is None or found != self._files:
            if self._files is not None and found.database is not None:
                self._leave(self._files, found)
            return
        self._transactions.finish()
