"""Two nodes on one database with nothing before them, killed in turn, under many agents.

    python -m faults.postgres_nodes [--agents 200] [--kills 30] [--every-s 10] [--seed N]

Every agent knows both nodes and asks now this one, now that: for what is new after his cursor, and
to post. Each of them gets every message of his room once and in order, whoever dies meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from room_mcp.store.opening import open_store

from .clusters import Cluster, skipped
from .ground import Seen, a_room, check, not_woken
from .postgres_load import longest_silence
from .recording import Call, Door, Messages, post, read_to_the_end
from .servers import Server, free_port

AGENTS = 200
ROOM_AGENTS = 20  # of each room
KILLS = 30
EVERY_S = 10.0  # a kill
PAUSE_S = 8.0  # between two posts of an agent; each is told to all others of his room
WAIT_S = 20.0  # for one message
DEADLINE_S = 1_200  # something hangs; far beyond what a run takes


class Either:
    """Two doors to the same rooms; chance picks one for each try."""

    def __init__(self, doors: Sequence[Door], chance: random.Random) -> None:
        self._doors = doors
        self._chance = chance

    async def post(self, call: Call) -> int:
        return await self._chance.choice(self._doors).post(call)

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        return await self._chance.choice(self._doors).read(room, after, wait_s=wait_s)


class Nodes:
    """One run on the database at `url`.

    Args:
        every_s: Seconds between two kills.
        pause_s: Seconds between two posts of an agent.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        agents: int,
        kills: int,
        seed: int,
        every_s: float = EVERY_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._url = url
        self._agents = agents
        self._kills = kills
        self._every_s = every_s
        self._pause_s = pause_s
        self._chance = random.Random(seed)
        homes = (folder / "one", folder / "two")
        self._nodes = [Server(url, free_port(), home=home) for home in homes]
        self._door = Either([node.door for node in self._nodes], self._chance)
        self._is_over = asyncio.Event()
        self.seen = Seen()

    async def run(self) -> Seen:
        store = open_store(self._url)
        await store.open()
        number = -(-self._agents // ROOM_AGENTS)
        rooms = [await a_room(store, f"room {n}") for n in range(number)]
        await store.aclose()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(*(node.start() for node in self._nodes))
                await self._run(rooms)
        finally:
            for node in self._nodes:
                node.put_down()
        self.seen.findings += await check(self.seen.recording, self._url, rooms)
        self.seen.findings += not_woken(self.seen.recording.history())
        return self.seen

    async def _run(self, rooms: Sequence[str]) -> None:
        async with asyncio.TaskGroup() as tasks:
            async with asyncio.TaskGroup() as posters:
                for number in range(self._agents):
                    room = rooms[number % len(rooms)]
                    tasks.create_task(self._read(room, f"agent {number}"))
                    posters.create_task(self._post(room, f"agent {number}"))
                posters.create_task(self._kill())
            for room in rooms:
                call = Call(room, "owner", "end", f"owner ends {room}", ends=True)
                await post(self._door, self.seen.recording, call)
        for node in self._nodes:
            if code := await node.stop():
                self.seen.findings.append(f"{node.url} ended with {code} when it was asked to")

    async def _kill(self) -> None:
        due = time.monotonic()
        for number in range(self._kills):
            due += self._every_s
            await asyncio.sleep(due - time.monotonic())
            node = self._nodes[number % len(self._nodes)]
            await node.kill()
            self.seen.kills += 1
            await node.start()
        await asyncio.sleep(self._every_s)
        self._is_over.set()

    async def _post(self, room: str, author: str) -> None:
        for number in count():
            pause_s = self._pause_s * self._chance.uniform(0, 2)
            try:
                await asyncio.wait_for(self._is_over.wait(), pause_s)
            except TimeoutError:
                pass
            else:
                return
            call = Call(room, author, str(number), f"{author}: {number}")
            told = await post(self._door, self.seen.recording, call)
            if told.seq is None:
                why = told.refused or "no answer, however often it was tried"
                self.seen.findings.append(f"{call}: {why}")

    async def _read(self, room: str, reader: str) -> None:
        await read_to_the_end(self._door, self.seen.recording, room, reader, wait_s=WAIT_S)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_nodes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--every-s", type=float, default=EVERY_S)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    if skipped("nodes killed"):
        return 0
    print(
        f"== nodes killed: {args.agents} agents, {args.kills} kills, one every {args.every_s:g} s;"
        f" --seed {args.seed}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="room-mcp-nodes-") as folder, Cluster() as cluster:
        run = Nodes(
            cluster.database(),
            Path(folder),
            agents=args.agents,
            kills=args.kills,
            every_s=args.every_s,
            seed=args.seed,
        )
        seen = asyncio.run(run.run())
    silence_s = longest_silence(seen.recording.history())
    print(f"{'':<8} longest time without an acknowledged post {silence_s:.1f} s")
    return seen.told("nodes killed")


if __name__ == "__main__":
    sys.exit(main())
