"""The writers of a node: one for nearly all, and one for rooms that others hold for long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..work import State
from .course import Acting
from .rest import Rest
from .writer import Writer

HELD_UP_MS = 500  # far beyond what another node's transaction takes


class Lanes:
    """Two writers. Where a room is held for longer than a moment, as while a long one is deleted,
    its acts wait in the second, and those of other rooms go on.

    Args:
        writer: Makes one.
        rest: What goes along with the acts of the first.
    """

    def __init__(self, writer: Callable[..., Writer], rest: Rest) -> None:
        lane = partial(writer, lock_wait_ms=HELD_UP_MS, held_up=self._wait_apart)
        self._first, self._second = lane(rest=rest), lane(rest=Rest())

    def start(self) -> None:
        self._first.start()
        self._second.start()

    async def aclose(self, wait_s: float) -> None:
        """Finish what was begun, for at most so long; the rest is refused."""
        await self._first.aclose(wait_s)
        await self._second.aclose(wait_s)  # which takes works of the first until then

    def submit(self, works: Sequence[Acting]) -> None:
        held = self._second.room_ids()
        if not held:
            self._first.submit(works)
            return
        self._first.submit([one for one in works if one.room_id not in held])
        self._second.submit([one for one in works if one.room_id in held])

    def abandon(self, acting: Acting) -> bool:
        """Take work back. False: it is begun, and will be finished."""
        if acting.state is not State.PENDING:
            return False
        acting.state = State.ABANDONED
        return True

    def _wait_apart(self, works: Sequence[Acting]) -> None:
        """Works of a room that somebody holds, and all that has come for it since, go to the end
        of the second lane: behind it may be some of a room that is free by now."""
        room_ids = {one.room_id for one in works}
        followers = [*self._second.withdrawn(room_ids), *self._first.withdrawn(room_ids)]
        self._second.submit([*works, *followers])
