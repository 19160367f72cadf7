"""Who writes into one database and reads from it while the database, or the way to it, fails.

Some processes with the store open, a `room-mcp serve` whose callers use its REST, and callers in
this process who have no idempotency keys: they try again what they were told is not stored, and
never what may be.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from room_mcp.rooms import Refusal
from room_mcp.store.interface import OutcomeUnknown, Store, StoreError
from room_mcp.store.opening import open_store

from .ground import WAIT_S, Seen, a_room, check, not_woken
from .history import KEYLESS, ROOM_CLOSED, History
from .recording import RETRY_S, Call, Recording, StoreDoor, deciding, post, read_to_the_end
from .servers import Server, free_port
from .writers import Child

ROOMS = 6
WRITERS = 3  # processes with four callers each
POSTERS = 4  # of `serve`, and as many without keys
READERS = 2  # of `serve`, in each room
PAUSE_S = 0.02  # between two posts of a caller: the machine is to have time for faults as well
NOTICED_S = 120.0  # in which what a run waits for must happen


class Counted(Recording):
    """One that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.posts = 0  # that were acknowledged
        self._more = asyncio.Event()

    def _add(self, event: list[Any]) -> None:
        super()._add(event)
        if event[0] == "ack":
            self.posts += 1
            self._more.set()

    async def more(self, posts: int) -> None:
        """Wait until so many more were acknowledged."""
        end = self.posts + posts
        async with asyncio.timeout(NOTICED_S):
            while self.posts < end:
                self._more.clear()
                await self._more.wait()


class Load:
    """One run. `seen` holds what they saw, and `left_unknown` counts the posts without keys of
    which the store could not say what has become of them.

    Args:
        url: The database, as everybody here reaches it.
        folder: Where `serve` keeps what is its own; None: there is none.
    """

    def __init__(
        self,
        url: str,
        folder: Path | None,
        *,
        seed: int,
        rooms: int = ROOMS,
        writers: int = WRITERS,
    ) -> None:
        self._url = url
        self._seed = seed
        self._room_count = rooms
        self._server = Server(url, free_port(), home=folder) if folder else None
        self._writers = writers
        self._children: list[Child] = []
        self._rooms: list[str] = []
        self._is_over = False
        self.recording = Counted()
        self.seen = Seen(self.recording)
        self.left_unknown = 0

    async def run(self, fault: Callable[[Load], Awaitable[None]], direct: str = "") -> Seen:
        """Everybody is at work until the fault returns; then the rooms end, and all is checked.

        Args:
            direct: Where the database is for whoever checks it; as for all others.
        """
        store = open_store(self._url)
        await store.open()
        self._rooms = [await a_room(store, f"room {n}") for n in range(self._room_count)]
        try:
            await self._run(store, fault)
        finally:
            if self._server is not None:
                self._server.put_down()
            for child in self._children:
                child.put_down()
        await store.aclose()
        self.seen.findings += await check(self.recording, direct or self._url, self._rooms)
        self.seen.findings += not_woken(self.recording.history())
        return self.seen

    async def _run(self, store: Store, fault: Callable[[Load], Awaitable[None]]) -> None:
        if self._server is not None:
            await self._server.start()
        kinds = [("write", f"writer{n}") for n in range(self._writers)] + [("read", "reader")]
        order = {"life": 0, "rooms": self._rooms, "again": [], "pause_s": PAUSE_S}
        for kind, name in kinds:
            seed = f"{self._seed}-{name}"
            child = await Child.start(kind, self._url, name, seed, order, self.recording)
            self._children.append(child)
        async with asyncio.TaskGroup() as tasks:
            for child, (_, name) in zip(self._children, kinds, strict=True):
                tasks.create_task(self._until_end(child, name))
            if self._server is not None:
                for number in range(READERS):
                    for room in self._rooms:
                        tasks.create_task(self._read(self._server, room, f"rest reader {number}"))
            async with asyncio.TaskGroup() as posters:
                for number in range(POSTERS):
                    if self._server is not None:
                        posters.create_task(self._post(self._server, f"rest {number}"))
                    posters.create_task(self._post_keyless(store, f"keyless {number}"))
                await self.recording.more(1)
                await fault(self)
                self._is_over = True
            for room in self._rooms:
                call = Call(room, "owner", "end", f"owner ends {room}", ends=True)
                await post(StoreDoor(store), self.recording, call)
        if self._server is not None and (code := await self._server.stop()):
            self.seen.findings.append(f"serve ended with {code} when it was asked to")

    async def _until_end(self, child: Child, name: str) -> None:
        if code := await child.end():
            self.seen.findings.append(f"{name} ended with {code}, but nobody killed it")

    async def _read(self, server: Server, room: str, reader: str) -> None:
        await read_to_the_end(server.door, self.recording, room, reader, wait_s=WAIT_S)

    async def _post(self, server: Server, author: str) -> None:
        chance = random.Random(f"{self._seed} {author}")
        for number in count():
            if self._is_over:
                return
            call = Call(chance.choice(self._rooms), author, str(number), f"{author} {number}")
            told = await post(server.door, self.recording, call)
            if told.seq is None:
                why = told.refused or "no answer, however often it was tried"
                self.seen.findings.append(f"{call}: {why}")
            await asyncio.sleep(PAUSE_S)

    async def _post_keyless(self, store: Store, author: str) -> None:
        chance = random.Random(f"{self._seed} {author}")
        for number in count():
            if self._is_over:
                return
            name = f"{KEYLESS}{number}"
            call = Call(chance.choice(self._rooms), author, name, f"{author} {number}")
            self.left_unknown += not await post_keyless(store, self.recording, call)
            await asyncio.sleep(PAUSE_S)


async def post_keyless(store: Store, recording: Recording, call: Call) -> bool:
    """Post without a key until it is stored, or may be; whether that is known."""
    recording.tried(call)
    while True:
        try:
            done = await store.act(call.room, deciding(call))
        except Refusal as refusal:
            recording.refused(call, refusal.code)
            return refusal.code == ROOM_CLOSED
        except OutcomeUnknown:
            return False
        except StoreError:  # it says that nothing was stored
            await asyncio.sleep(RETRY_S)
        else:
            recording.acknowledged(call, done.messages[0].seq)
            return True


def longest_silence(history: History) -> float:
    """Seconds in which nobody's post was acknowledged."""
    times = sorted(one.answered for one in history.postings if one.seq is not None and one.answered)
    return max((after - before for before, after in pairwise(times)), default=0.0)
