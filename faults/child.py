"""A process that posts into, or follows, the rooms of a store, to be killed at any moment.

    python -m faults.child write PATH NAME SEED < ORDERS
    python -m faults.child read PATH NAME SEED < ORDERS

Each line of its input is an order, in JSON; the first names its rooms. Its output is the lines of a
`Recording`, each written before the call goes out, or after the answer came.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from typing import Any

from room_mcp.store.interface import Store, StoreBusy
from room_mcp.store.opening import open_store

from .ground import WAIT_S
from .history import ROOM_CLOSED
from .recording import GIVE_UP_S, Call, Recording, Refused, StoreDoor, post, read_to_the_end

CALLERS = 4
READERS = 2  # in each room
OPENING = b'["opening"]\n'


def write_out(line: str | bytes) -> None:
    """To the pipe, and with that out of this process, in one piece or in order."""
    left = line.encode() if isinstance(line, str) else line
    while left:
        left = left[os.write(1, left) :]


async def opened(path: str) -> Store:
    """The store, as soon as those who hold it let it be opened."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        store = open_store(path)
        try:
            await store.open()
        except StoreBusy:
            if time.monotonic() > deadline:
                raise
            continue
        return store


async def orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


class DyingDoor(StoreDoor):
    """Kills its process after so many answers, before anybody is told of the last one.

    A kill from outside hardly ever hits that moment, in which a message is kept and nobody knows.
    """

    def __init__(self, store: Store, dies_after: int) -> None:
        super().__init__(store)
        self._left = dies_after

    async def post(self, call: Call) -> int:
        seq = await super().post(call)
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return seq


class Writer:
    """Some callers who post until all rooms have ended, and one more who ends rooms on order.

    `pause_s` is between two posts of a caller.
    """

    def __init__(self, store: Store, name: str, chance: random.Random, first: Any) -> None:
        self._door = DyingDoor(store, int(first.get("dies_after", 0)))
        self._recording = Recording(write_out)
        self._name = name
        self._chance = chance
        self._life = int(first["life"])
        self._open = list[str](first["rooms"])
        self._unknown = [Call(*call) for call in first["again"]]
        self._pause_s = float(first["pause_s"])
        self._posted = 0

    async def run(self, reader: asyncio.StreamReader) -> None:
        listening = asyncio.create_task(self._end_rooms(reader))
        async with asyncio.TaskGroup() as tasks:
            for call in self._unknown:
                tasks.create_task(self._post(call))
            for caller in range(CALLERS):
                tasks.create_task(self._call(f"{self._name}.{caller}"))
        listening.cancel()

    async def _call(self, author: str) -> None:
        while self._open:
            await self._post(self._next(self._chance.choice(self._open), author))
            await asyncio.sleep(self._pause_s)

    async def _end_rooms(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            room = json.loads(line)["end"]
            await self._post(self._next(room, f"{self._name}.owner", ends=True))

    def _next(self, room: str, author: str, *, ends: bool = False) -> Call:
        self._posted += 1
        key = f"{self._life}-{self._posted}"
        return Call(room, author, key, f"{author} {key}", ends)

    async def _post(self, call: Call) -> None:
        told = await post(self._door, self._recording, call)
        if told.refused and told.refused != ROOM_CLOSED:
            raise Refused(told.refused)
        if told.refused == ROOM_CLOSED and call.room in self._open:
            self._open.remove(call.room)


async def follow(store: Store, name: str, rooms: list[str]) -> None:
    """Readers who follow each room until it has ended."""
    recording = Recording(write_out)
    async with asyncio.TaskGroup() as tasks:
        for room in rooms:
            for number in range(READERS):
                follower = read_to_the_end(
                    StoreDoor(store), recording, room, f"{name}.{number}", wait_s=WAIT_S
                )
                tasks.create_task(follower)


async def main(kind: str, path: str, name: str, seed: str) -> None:
    reader = await orders()
    first = json.loads(await reader.readline())
    write_out(OPENING)
    store = await opened(path)
    if kind == "write":
        await Writer(store, name, random.Random(seed), first).run(reader)
    else:
        await follow(store, name, first["rooms"])
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
