"""`room-mcp serve`, killed in mid-work and begun again on its port and file, while clients go on.

Two servers share one file. Their posters try again under the same key, their readers wait for
what is new, and neither knows more of a kill than that no answer comes. Most kills come from
inside, around a COMMIT: what was kept and not told, or told and not kept, shows there alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from room_mcp.client import RoomsClient
from room_mcp.store.opening import open_store

from .dying import COMMITTED, UNCOMMITTED
from .ground import WAIT_S, Place, Seen, a_room, check, not_woken
from .history import ROOM_CLOSED
from .recording import Call, ClientDoor, Told, post, read_to_the_end

SERVERS = 2
POSTERS = 4  # of each server
READERS = 2  # of each server, in each room
TRY_FOR_S = 1.0  # in which a client tries again by itself, before the poster does
ANSWER_S = 10.0
ANSWERED = "answered"  # at any moment, from outside
MAX_AFTER = {COMMITTED: 20, UNCOMMITTED: 20, ANSWERED: 60}  # that it lives: commits, or answers
MOMENTS = (COMMITTED, UNCOMMITTED, ANSWERED)  # in turn
PORTS = range(20_000, 30_000)  # below those that a machine gives to callers, who might take it


class Doom(NamedTuple):
    """When a server dies: at a moment, `after` so many commits by itself, or so many answers."""

    moment: str
    after: int


class Server:
    """A `room-mcp serve` that can be killed and begun again; `url` stays the same.

    Args:
        home: The folder of what it keeps beside its store; that of the file, where it is none.
        log: The descriptor of a file that takes what it logs.
    """

    def __init__(
        self,
        store: Place,
        port: int,
        *,
        home: Path | None = None,
        log: int = asyncio.subprocess.DEVNULL,
    ) -> None:
        self._store = store
        self._home = home or Path(store).parent
        self._port = port
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._answers_left = 0
        self._is_due = asyncio.Event()
        self.doom: Doom | None = None
        self.url = f"http://127.0.0.1:{port}"
        self.client = RoomsClient(self.url, retry_for_s=TRY_FOR_S, answer_s=ANSWER_S)
        self.door = ClientDoor(self.client)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, doom: Doom | None = None) -> None:
        """Begin it, and wait until it listens."""
        self.doom = doom
        self._answers_left = 0 if doom is None else doom.after
        self._is_due.clear()
        command = ("room_mcp",)
        if doom is not None and doom.moment != ANSWERED:
            command = ("faults.dying", doom.moment, str(doom.after))
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ROOM_MCP_")}
        env = {**kept, "ROOM_MCP_HOME": str(self._home)}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command),
            *("serve", "--port", str(self._port), "--store", str(self._store)),
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            env={**env, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._process.stdout is not None
        if not (await self._process.stdout.readline()).startswith(b"http"):
            raise RuntimeError(f"serve ended with {await self._process.wait()}")

    def answered(self) -> None:
        """A post through it was answered."""
        self._answers_left -= 1
        if self._answers_left <= 0:
            self._is_due.set()

    async def die(self) -> int:
        """Wait for its doom; its exit code."""
        assert self.doom is not None
        assert self._process is not None
        if self.doom.moment == ANSWERED:
            await self._is_due.wait()
            await self.kill()
        return await self._process.wait()

    def put_down(self) -> None:
        """SIGKILL, if it has not ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def kill(self) -> None:
        assert self._process is not None
        self.put_down()
        await self._process.wait()

    async def stop(self) -> int:
        """Ask it to end, when its clients have gone; its exit code."""
        await self.client.aclose()
        return await self.terminate()

    async def terminate(self) -> int:
        """Ask it to end in mid-work; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()


class Servers:
    """One run.

    Args:
        store: The address of an empty store; else it is a file in the folder.
    """

    def __init__(
        self, folder: Path, *, seed: int, kills: int, rooms: int, store: str | None = None
    ) -> None:
        self._folder = folder
        self._store: Place = store or folder / "rooms.db"
        self._kills = kills
        self._chance = random.Random(seed)
        self._begun = 0  # kills that somebody has taken on
        self._room_count = rooms
        self._rooms: list[str] = []
        self._open: list[str] = []
        self._ended = 0  # rooms whose end was ordered
        self.seen = Seen()

    async def run(self) -> Seen:
        store = open_store(self._store)
        await store.open()
        self._rooms = [await a_room(store, f"room {n}") for n in range(self._room_count)]
        self._open = list(self._rooms)
        await store.aclose()
        servers = [Server(self._store, free_port(), home=self._folder) for _ in range(SERVERS)]
        try:
            await self._run(servers)
        finally:
            for server in servers:
                server.put_down()
        self.seen.findings += await check(self.seen.recording, self._store, self._rooms)
        self.seen.findings += not_woken(self.seen.recording.history())
        return self.seen

    async def _run(self, servers: Sequence[Server]) -> None:
        await asyncio.gather(*(server.start(self._next_doom()) for server in servers))
        async with asyncio.TaskGroup() as tasks:
            for number, server in enumerate(servers):
                for poster in range(POSTERS):
                    tasks.create_task(self._post_on(server, f"poster{number}.{poster}"))
                for reader in range(READERS):
                    for room in self._rooms:
                        tasks.create_task(self._read(server, room, f"reader{number}.{reader}"))
            async with asyncio.TaskGroup() as lives:
                for number, server in enumerate(servers):
                    lives.create_task(self._lives(server, f"owner{number}", lives))
            for room in list(self._open):
                await self._end(servers[-1], room, "owner")
        for server in servers:
            if code := await server.stop():
                self.seen.findings.append(f"{server.url} ended with {code} when it was asked to")

    def _next_doom(self) -> Doom | None:
        """None: there are enough kills."""
        if self._begun == self._kills:
            return None
        moment = MOMENTS[self._begun % len(MOMENTS)]
        self._begun += 1
        return Doom(moment, self._chance.randint(1, MAX_AFTER[moment]))

    async def _lives(self, server: Server, owner: str, tasks: asyncio.TaskGroup) -> None:
        """Begin it again whenever it was killed; meanwhile the rooms end one by one."""
        while server.doom is not None:
            if (code := await server.die()) != -signal.SIGKILL:
                self.seen.findings.append(f"{server.url} ended with {code} before {server.doom}")
            self.seen.kills += 1
            await server.start(self._next_doom())
            is_due = self.seen.kills * len(self._rooms) > self._kills * (self._ended + 1)
            if is_due and self._ended + 1 < len(self._rooms):
                # Beside this: the server may be killed before it answers.
                tasks.create_task(self._end(server, self._rooms[self._ended], owner))
                self._ended += 1

    async def _end(self, server: Server, room: str, author: str) -> None:
        call = Call(room, author, "end", f"{author} ends {room}", ends=True)
        self._learn(room, await post(server.door, self.seen.recording, call))
        self._forget(room)

    async def _post_on(self, server: Server, author: str) -> None:
        number = 0
        while self._open:
            number += 1
            room = self._chance.choice(self._open)
            call = Call(room, author, str(number), f"{author} {number}")
            self._learn(room, await post(server.door, self.seen.recording, call))
            server.answered()

    def _learn(self, room: str, told: Told) -> None:
        if told.refused == ROOM_CLOSED:
            self._forget(room)
        elif told.refused:
            self.seen.findings.append(f"room {room}: a post was refused with {told.refused}")
        elif told.seq is None:
            self.seen.findings.append(f"room {room}: a post was never answered")

    def _forget(self, room: str) -> None:
        if room in self._open:
            self._open.remove(room)

    async def _read(self, server: Server, room: str, reader: str) -> None:
        await read_to_the_end(server.door, self.seen.recording, room, reader, wait_s=WAIT_S)


def free_port() -> int:
    """One that nobody uses, and that no seed decides: two runs must not choose the same."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
