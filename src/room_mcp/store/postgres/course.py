"""The works of one transaction, decided in order while the server does what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from room_mcp.rooms import Refusal

from ..interface import Act, Done
from ..work import Work
from .batch import Batch
from .source import Wanted

DECIDED_AT_ONCE = 4  # then the event loop looks whether the server has answered


class Acting(Work[Batch, list[Done | Refusal]]):
    """Acts in one room, in order."""

    def __init__(self, room_id: str, acts: Sequence[Act]) -> None:
        self.room_id = room_id
        self.acts = acts
        self.size = len(acts)

    def perform(self, batch: Batch) -> list[Done | Refusal]:
        return batch.act(self.room_id, self.acts)


class Course:
    """How far a batch has come with its works."""

    def __init__(self, batch: Batch, works: Sequence[Acting]) -> None:
        self._batch = batch
        self._works = works
        self._decided = 0

    def begin_anew(self) -> None:
        """The batch has forgotten what was decided."""
        self._decided = 0

    async def while_busy(self) -> None:
        """Decide on until the server has answered, as far as that takes no question to it."""
        while self._batch.is_busy and self._decided < len(self._works):
            one = self._works[self._decided]
            try:
                if one.room_id not in self._batch.loaded:
                    return  # nobody knows yet whether it is there
                _attempt(one, self._batch)
            except Wanted:
                return
            self._decided += 1
            if self._is_to_look():
                await asyncio.sleep(0)

    async def to_the_end(self) -> None:
        """Decide the rest, and let the server write what was said so far meanwhile."""
        while self._decided < len(self._works):
            if self._batch.is_ahead(len(self._works) - self._decided):
                await self._batch.write_ahead()
            one = self._works[self._decided]
            try:
                _attempt(one, self._batch)
            except Wanted as wanted:
                await self._batch.settled()
                await wanted.fetch()
                continue
            self._decided += 1
            if self._is_to_look():
                await asyncio.sleep(0)

    def _is_to_look(self) -> bool:
        """Whether it is time for the event loop to look if the server has answered."""
        return self._decided % DECIDED_AT_ONCE == 0 and self._batch.is_busy


def _attempt(one: Acting, batch: Batch) -> None:
    try:
        one.attempt(batch)
    except Exception as error:
        # A refusal, or a mistake in somebody's `decide`: his alone.
        one.failure = error
