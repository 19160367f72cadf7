"""What callers hand to the one who writes, and whether it is still theirs to take back."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Generic, TypeVar

from anyio import CancelScope

from .deadlines import Deadlines
from .deciding import Decisions
from .interface import StoreBusy

T = TypeVar("T")
B = TypeVar("B", bound=Decisions)


class State(Enum):
    """Leaves PENDING once, unless the writer could not begin with it after all."""

    PENDING = "waiting for the writer"
    CLAIMED = "the writer has it: the caller must wait for the outcome"
    ABANDONED = "the caller took it back: it will not happen"


class Work(Generic[B, T]):
    """Something to do in a transaction. `size` counts the messages it may make."""

    size = 1
    state = State.PENDING
    future: asyncio.Future[None] | None = None
    finished = False
    is_late = False  # its deadline came while the writer had it
    failure: BaseException | None = None
    _outcome: T | None = None

    @abstractmethod
    def perform(self, batch: B) -> T:
        """Decide and stage; what it raises concerns this work alone."""

    def attempt(self, batch: B) -> None:
        """Perform, and keep what came of it."""
        self.failure = None
        self._outcome = self.perform(batch)

    def outcome(self) -> T:
        """What came of it, once it is finished."""
        if self.failure is not None:
            raise self.failure
        return self._outcome  # pyright: ignore[reportReturnType] -- T may be None itself

    def finish(self) -> None:
        """Tell the caller, unless he was cancelled; in his event loop."""
        self.finished = True
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


W = TypeVar("W", bound=Work[Any, Any])


class Outbox(Generic[W]):
    """What callers of one event loop have handed over and wait for.

    Args:
        submit: Takes what came together; called in a later round of the event loop.
        abandon: Takes work back; False when the writer has begun with it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        submit: Callable[[Sequence[W]], None],
        abandon: Callable[[W], bool],
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._abandon = abandon
        self._unfinished: Deadlines[W] = Deadlines(loop, self._give_up)
        self._leaving: list[W] = []  # in this round of the event loop

    async def perform(self, work: W, timeout_s: float) -> None:
        """Hand work over and wait until it is finished.

        A caller who is cancelled waits for what was begun: it may be done, and is then not told.
        """
        work.future = self._loop.create_future()
        self._unfinished.add(work, timeout_s)
        self._leaving.append(work)
        if len(self._leaving) == 1:
            # All work of this round goes over at once: it shares a transaction, and a writer in
            # another thread does not begin while the event loop keeps the interpreter busy.
            self._loop.call_soon(self._hand_over)
        try:
            await work.future
        except asyncio.CancelledError:
            await self._see_through(work)
            raise
        finally:
            self._unfinished.discard(work)

    def refuse(self, error: Exception) -> None:
        """Let all that was not begun end with this error."""
        for work in self._unfinished.waiting():
            if self._abandon(work):
                work.failure = error
                work.finish()

    def _hand_over(self) -> None:
        works, self._leaving = self._leaving, []
        self._submit(works)

    def _give_up(self, work: W) -> None:
        """The deadline has come: take the work back if that is still possible."""
        if self._abandon(work):
            give_up(work)
        else:
            work.is_late = True

    async def _see_through(self, work: W) -> None:
        """The caller was cancelled: take the work back, or else wait until it is done."""
        # It may have finished between the cancellation and now, with nobody there to be told.
        if work.finished or self._abandon(work):
            return
        work.future = self._loop.create_future()
        with CancelScope(shield=True):
            while not work.future.done():
                try:
                    await asyncio.wait([work.future])
                except asyncio.CancelledError:
                    continue  # told already; the first cancellation goes on from here


def give_up(work: Work[Any, Any]) -> None:
    """Tell the caller that it took too long."""
    work.failure = StoreBusy(
        "The store was busy for too long; nothing was committed.", advice="Try again."
    )
    work.finish()


def fail(works: Sequence[Work[Any, Any]], error: BaseException) -> None:
    """Let each end with this error."""
    for work in works:
        work.failure = error
