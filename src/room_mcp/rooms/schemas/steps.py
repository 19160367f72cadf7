"""What checking one body may cost: steps and levels, counted, never timed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

MAX_STEPS = 20_000  # a step is one keyword looking at one value: 5 to 10 µs
MAX_LEVELS = 100  # of keywords inside keywords, each some five frames of Python's stack


class TooMuch(Exception):
    """More steps or levels than one piece of work may take."""


class _Budget:
    """What is left to one piece of work."""

    __slots__ = ("levels", "steps")

    def __init__(self, steps: int) -> None:
        self.steps: float = steps
        self.levels = MAX_LEVELS


_budget: ContextVar[_Budget] = ContextVar("budget")
_shared: ContextVar[_Budget | None] = ContextVar("shared", default=None)


def together(steps: int = MAX_STEPS) -> AbstractContextManager[None]:
    """Everything that is looked at inside has only so many steps between it.

    What comes when they are spent is too complicated; a `together` inside another shares with it.
    """
    return _allotted(_shared, steps)


def bounded(steps: int = MAX_STEPS) -> AbstractContextManager[None]:
    """Work that `TooMuch` ends after so many steps."""
    return _allotted(_budget, steps)


@contextmanager
def _allotted(to: ContextVar[Any], steps: int) -> Generator[None]:
    """A budget of so many steps, or of what is left of the shared one, which pays for it."""
    shared = _shared.get()
    budget = _Budget(steps if shared is None else min(steps, max(0, int(shared.steps))))
    had = budget.steps
    token = to.set(budget)
    try:
        yield
    finally:
        to.reset(token)
        if shared is not None:
            shared.steps -= had - budget.steps


def spend(steps: float) -> None:
    budget = _budget.get()
    budget.steps -= steps
    if budget.steps < 0:
        raise TooMuch


def one_level(errors: Iterable[Any]) -> Iterator[Any]:
    """The errors, looked for one level deeper."""
    budget = _budget.get()
    if not budget.levels:
        raise TooMuch
    budget.levels -= 1
    try:
        yield from errors
    finally:
        budget.levels += 1
