"""Callers who write into a room at a moderate pace, and readers who follow it, until it has ended;
and a process that does so in the rooms of a store it has open itself.

    python -m faults.visiting PATH NAME < ORDERS

Each line of its input is, in JSON, the id of a room to visit and the `life` for `visit`. Its output
is the lines of a `Recording`, and `["left", room]` once it is done with a room. It ends when its
input has ended and all rooms have, or at once when asked by SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from itertools import count

from .child import opened, orders, write_out
from .history import ROOM_CLOSED
from .recording import Call, Door, Recording, Refused, StoreDoor, post, read_to_the_end

CALLERS = 2  # of each visitor, in each room
PAUSE_S = 0.2  # between two posts of a caller: it is to go on for long, not to go fast
WAIT_S = 20.0
WORDS = ("storage", "token", "retry", "expiry", "lock", "review", "commit", "page", "cursor")
TEXT_WORDS = 30  # beside what makes a text unique; a few hundred bytes, as agents write


async def visit(door: Door, recording: Recording, room: str, name: str, *, life: int = 0) -> None:
    """Post and read in a room until somebody has ended it.

    Args:
        life: Keeps the keys of a visitor apart who was killed and comes again.
    """
    async with asyncio.TaskGroup() as tasks:
        for number in range(CALLERS):
            tasks.create_task(_call(door, recording, room, f"{name}.{number}", life))
        reader = f"{name}.{life}"
        tasks.create_task(read_to_the_end(door, recording, room, reader, wait_s=WAIT_S))


async def _call(door: Door, recording: Recording, room: str, author: str, life: int) -> None:
    chance = random.Random(f"{room} {author} {life}")
    for number in count():
        key = f"{life}-{number}"
        text = f"{author} {key}: {' '.join(chance.choices(WORDS, k=TEXT_WORDS))}"
        told = await post(door, recording, Call(room, author, key, text))
        if told.refused == ROOM_CLOSED:
            return
        if told.refused:
            raise Refused(told.refused)
        await asyncio.sleep(PAUSE_S * chance.uniform(0.5, 1.5))


async def main(path: str, name: str) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    reader = await orders()
    store = await opened(path)
    work = asyncio.create_task(_visit_all(StoreDoor(store), reader, name))
    leaving = asyncio.create_task(asked.wait())
    await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if asked.is_set():
        work.cancel()
    await asyncio.gather(work, return_exceptions=asked.is_set())
    await store.aclose()


async def _visit_all(door: Door, reader: asyncio.StreamReader, name: str) -> None:
    async def one(room: str, life: int) -> None:
        recording = Recording(write_out)  # goes with the room, so that this process does not grow
        await visit(door, recording, room, name, life=life)
        write_out(json.dumps(["left", room]) + "\n")

    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            tasks.create_task(one(*json.loads(line)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
