"""A set that forgets what it has not met for long."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import filterfalse

ENTRY_BYTES = 90  # of one number in CPython 3.11: 62, and 86 when the table has just grown


class Recall:
    """At most `limit` numbers; among them the last `limit` / 2 that it met, repeats counted.

    Two generations: what is met enters the younger, and when that is full, the elder is dropped
    and the younger becomes it. So nothing is ordered, and a whole message is met at once.
    """

    __slots__ = ("_elder", "_half", "_younger")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._younger: dict[int, None] = {}
        self._elder: dict[int, None] = {}

    def __len__(self) -> int:
        """How many it holds; what is in both generations counts twice."""
        return len(self._younger) + len(self._elder)

    def __contains__(self, number: int) -> bool:
        return number in self._younger or number in self._elder

    def new_in(self, numbers: Sequence[int]) -> int:
        """How many of them, all different, it does not hold."""
        if not numbers:
            return 0
        unmet = list(filterfalse(self._younger.__contains__, numbers))
        if self._elder:
            return len(unmet) - sum(map(self._elder.__contains__, unmet))
        return len(unmet)

    def meet(self, numbers: Sequence[int]) -> None:
        """Remember numbers that are all different; of too many the last."""
        if len(numbers) > self._half:
            numbers = numbers[-self._half :]
        if len(self._younger) + len(numbers) > self._half:
            self._elder, self._younger = self._younger, {}
        younger = self._younger
        for number in numbers:  # twice as fast as to update it with a dict of them
            younger[number] = None

    def generations(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What it holds, the younger first."""
        return tuple(self._younger), tuple(self._elder)

    def restore(self, younger: Sequence[int], elder: Sequence[int]) -> None:
        self._younger = dict.fromkeys(younger)
        self._elder = dict.fromkeys(elder)
