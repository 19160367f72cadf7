"""Writers on one store file, killed in mid-work and begun again, while others go on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

from room_mcp.store.opening import open_store

from .ground import Place, Seen, a_room, check, not_woken
from .recording import Call, Recording, StoreDoor, post

KILLED = 4  # processes, each begun again after its kill
STEADY = 1  # processes that are never killed
FOLLOWERS = 2  # processes that read
STEADY_PAUSE_S = 0.02  # between two posts of a caller whom nobody kills, who leaves room for others
MAX_LINES = 300  # of its recording after which a writer is killed, at most
RETRY_ODDS = 0.8  # that a call of unknown outcome is tried again by the next life
MAX_LINE_BYTES = 2**24

MOMENTS = ("told", "ack", "try", "told", "opening")
"""When a writer is killed, in turn: when it was answered and has told nobody yet (by itself), when
it has just told of an answer, when it is just asking, and while it opens the store."""


class Child:
    """A process of `faults.child`; all it says goes into the recording."""

    def __init__(self, process: asyncio.subprocess.Process, recording: Recording) -> None:
        self._process = process
        self._recording = recording

    @classmethod
    async def start(
        cls, kind: str, place: Place, name: str, seed: str, order: object, recording: Recording
    ) -> Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.child", kind, str(place), name, seed),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        child = cls(process, recording)
        child.order(order)
        return child

    def order(self, order: object) -> None:
        if self._process.stdin is not None and self._process.returncode is None:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def say(self, kind: str, lines: int) -> bool:
        """Wait for so many lines of this kind; False when it ended before."""
        while lines > 0:
            said = await self._line()
            if said is None:
                return False
            lines -= said == kind
        return True

    async def _line(self) -> str | None:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):  # of a torn line nobody can have been told
            return None
        if line.startswith(b'["opening"'):
            return "opening"
        return self._recording.add_line(line)

    def put_down(self) -> None:
        """SIGKILL, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()

    async def kill(self) -> None:
        """SIGKILL, then take what it had said before."""
        self.put_down()
        await self.end()

    async def end(self) -> int:
        """Take what it says until it ends by itself; its exit code."""
        while await self._line() is not None:
            pass
        return await self._process.wait()


class Writers:
    """One run.

    Args:
        lines: After how many lines of its recording a writer is killed, at most.
        store: The address of an empty store; else it is a file in the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        kills: int,
        rooms: int,
        lines: int = MAX_LINES,
        store: str | None = None,
    ) -> None:
        self._store: Place = store or folder / "rooms.db"
        self._seed = seed
        self._kills = kills
        self._lines = lines
        self._chance = random.Random(seed)
        self._begun = 0  # kills that somebody has taken on
        self._room_count = rooms
        self._rooms: list[str] = []
        self._ended = 0  # rooms whose end was ordered
        self._alive: dict[str, Child] = {}  # by name, the latest life
        self._left: set[Call] = set()  # of unknown outcome, and never tried again
        self._all_killed = asyncio.Event()
        self.seen = Seen()

    async def run(self) -> Seen:
        try:
            return await self._run()
        finally:
            for child in self._alive.values():
                child.put_down()

    async def _run(self) -> Seen:
        store = open_store(self._store)
        await store.open()
        self._rooms = [await a_room(store, f"room {n}") for n in range(self._room_count)]
        async with asyncio.TaskGroup() as tasks:
            for number in range(FOLLOWERS):
                tasks.create_task(self._others("read", f"reader{number}"))
            for number in range(STEADY):
                tasks.create_task(self._others("write", f"steady{number}"))
            for number in range(min(KILLED, self._kills)):
                tasks.create_task(self._lives(f"writer{number}"))
            await self._all_killed.wait()
            for room in self._rooms:
                call = Call(room, "owner", "end", f"owner ends {room}", ends=True)
                await post(StoreDoor(store), self.seen.recording, call)
        await store.aclose()
        self.seen.findings += await check(self.seen.recording, self._store, self._rooms)
        self.seen.findings += not_woken(self.seen.recording.history())
        return self.seen

    async def _others(self, kind: str, name: str, life: int = 0) -> None:
        """A process that goes on until all rooms have ended."""
        child = await self._start(kind, name, life, pause_s=STEADY_PAUSE_S)
        if code := await child.end():
            self.seen.findings.append(f"{name} ended with {code}, but nobody killed it")

    async def _lives(self, name: str) -> None:
        """A writer that is killed and begun again, until there were enough kills."""
        life = 0
        while self._begun < self._kills:
            moment = MOMENTS[self._begun % len(MOMENTS)]
            self._begun += 1
            if not await self._short_life(name, life, moment):
                self._all_killed.set()
                return
            life += 1
            self._count_kill()
        await self._others("write", name, life)

    async def _short_life(self, name: str, life: int, moment: str) -> bool:
        """Begin a writer and kill it; False when it ended otherwise."""
        lines = 1 if moment == "opening" else self._chance.randint(1, self._lines)
        dies_after = lines if moment == "told" else 0
        child = await self._start("write", name, life, dies_after=dies_after)
        if not dies_after and await child.say(moment, lines):
            await child.kill()
            return True
        code = await child.end()
        if dies_after and code == -signal.SIGKILL:
            return True
        self.seen.findings.append(f"{name} ended with {code} before it was killed")
        return False

    def _count_kill(self) -> None:
        """The rooms end one by one between the kills; the last ones after all of them."""
        self.seen.kills += 1
        is_due = self.seen.kills * self._room_count > self._kills * (self._ended + 1)
        if is_due and self._ended + 1 < self._room_count:
            for name, child in self._alive.items():
                if not name.startswith("reader"):
                    child.order({"end": self._rooms[self._ended]})
            self._ended += 1
        if self.seen.kills >= self._kills:
            self._all_killed.set()

    async def _start(
        self, kind: str, name: str, life: int, *, pause_s: float = 0, dies_after: int = 0
    ) -> Child:
        again: list[Call] = []
        for call in self.seen.recording.unknown():
            if call.author.startswith(f"{name}.") and call not in self._left:
                (again.append if self._chance.random() < RETRY_ODDS else self._left.add)(call)
        order = {
            "life": life,
            "rooms": self._rooms,
            "again": again,
            "pause_s": pause_s,
            "dies_after": dies_after,
        }
        seed = f"{self._seed}-{name}-{life}"
        child = await Child.start(kind, self._store, name, seed, order, self.seen.recording)
        self._alive[name] = child
        return child
