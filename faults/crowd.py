"""Callers who post and read all the time, while a fault comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count

from .recording import Call, Door, Messages, NotKnown, Recording, post, read_to_the_end

CALLERS = 4
READERS = 2  # in each room
PAUSE_S = 0.002  # between two posts of a caller
WAIT_S = 20.0  # for one message; a reader who is not woken shows as one who takes that long
NOTICED_S = 60.0  # in which what a run waits for must happen


class Watched:
    """A door that counts what comes of the posts through it; `said` is the last excuse."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._changed = asyncio.Condition()
        self.acknowledged = 0
        self.failed = 0
        self.said = ""

    async def post(self, call: Call) -> int:
        try:
            seq = await self._door.post(call)
        except NotKnown as error:
            self.said = str(error)
            self.failed += 1
            await self._tell()
            raise
        self.acknowledged += 1
        await self._tell()
        return seq

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        return await self._door.read(room, after, wait_s=wait_s)

    async def more_acknowledged(self, number: int) -> None:
        """Wait until so many more posts were acknowledged."""
        end = self.acknowledged + number
        await self._until(lambda: self.acknowledged >= end)

    async def more_failed(self, number: int) -> None:
        """Wait until so many more posts were not."""
        end = self.failed + number
        await self._until(lambda: self.failed >= end)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(NOTICED_S), self._changed:
            await self._changed.wait_for(is_so)


@asynccontextmanager
async def crowd(
    door: Door, recording: Recording, rooms: Sequence[str], name: str = "caller"
) -> AsyncGenerator[Watched]:
    """Callers at work. At the end they stop, the rooms are ended, and readers read up to that."""
    watched = Watched(door)
    stopping = asyncio.Event()

    async def call(author: str) -> None:
        for number in count():
            if stopping.is_set():
                return
            room = rooms[number % len(rooms)]
            await post(watched, recording, Call(room, author, str(number), f"{author} {number}"))
            await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as tasks:
        readers = [
            tasks.create_task(
                read_to_the_end(watched, recording, room, f"reader {number}", wait_s=WAIT_S)
            )
            for room in rooms
            for number in range(READERS)
        ]
        callers = [tasks.create_task(call(f"{name} {number}")) for number in range(CALLERS)]
        yield watched
        stopping.set()
        await asyncio.gather(*callers)
        for room in rooms:
            end = Call(room, f"{name} owner", "end", f"{name} ends {room}", ends=True)
            await post(watched, recording, end)
        await asyncio.gather(*readers)
