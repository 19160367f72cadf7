"""A bad network between clients and `room-mcp serve`, which is killed now and then as well.

    python -m faults.proxy [--requests 20000] [--kills 6] [--seed N]

Every request goes through a proxy that loses some before they arrive, loses some answers, cuts
others, delays, sends requests twice and closes its half of a connection. Posters try again under
the same key, readers go on from their cursors; what all of them saw has to fit together.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from room_mcp.client import RoomsClient
from room_mcp.store.opening import open_store

from .bad_network import BadNetwork
from .ground import Seen, a_room, check
from .history import ROOM_CLOSED
from .recording import (
    BUSY,
    ENDING_TYPE,
    PAGE_MESSAGES,
    Call,
    ClientDoor,
    Door,
    Messages,
    NotKnown,
    Refused,
    post,
    read_to_the_end,
    text_of,
)
from .servers import Server, free_port

REQUESTS = 20_000
KILLS = 6
ROOMS = 4
POSTERS = 12
READERS = 6  # of each room
WAIT_S = 5.0  # for one message
ANSWER_S = 10.0
TRY_FOR_S = 1.0  # in which RoomsClient tries again by itself
UNKNOWN_OUTCOME = 504  # HTTP: it may have been done
DEADLINE_S = 1_200  # something hangs; far beyond what a run takes


class BareDoor:
    """Rooms of a server, with nothing between that tries again."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def post(self, call: Call) -> int:
        body = {"sender": call.author, "content": call.text}
        if call.ends:
            body["type"] = ENDING_TYPE
        answer = await self._ask(
            "POST", call.room, json=body, headers={"Idempotency-Key": call.key}
        )
        return answer["seq"]

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        wanted = {"after": after, "limit": PAGE_MESSAGES, "wait": wait_s}
        page = await self._ask("GET", room, params=wanted)
        return [
            (one["seq"], text_of(one["senderType"], one["content"])) for one in page["messages"]
        ]

    async def _ask(self, method: str, room: str, **wanted: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(
                method, f"/agent/rooms/{room}/messages", **wanted, timeout=WAIT_S + ANSWER_S
            )
        except httpx2.TransportError as error:
            raise NotKnown(repr(error)) from None
        if answer.status_code in (*BUSY, UNKNOWN_OUTCOME):
            raise NotKnown(answer.text)
        if answer.status_code >= 300:
            raise Refused(answer.json().get("code", str(answer.status_code)))
        return answer.json()


@contextlib.asynccontextmanager
async def two_doors(url: str) -> AsyncGenerator[Sequence[Door]]:
    """One that leaves trying again to whoever uses it, and one that does it itself."""
    limits = httpx2.Limits(max_connections=None)
    # Without TLS; to make ready for it would take longer than many requests.
    bare = httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, limits=limits)
    client = RoomsClient(url, retry_for_s=TRY_FOR_S, answer_s=ANSWER_S)
    async with bare, client:
        yield BareDoor(bare), ClientDoor(client)


class Proxied:
    """One run."""

    def __init__(self, folder: Path, *, seed: int, requests: int, kills: int) -> None:
        self._path = folder / "rooms.db"
        self._chance = random.Random(seed)
        self._requests = requests
        self._kills = kills
        self._is_over = False
        self._rooms: list[str] = []
        self.seen = Seen()
        self._figures = ""

    async def run(self) -> Seen:
        store = open_store(self._path)
        await store.open()
        self._rooms = [await a_room(store, f"room {n}") for n in range(ROOMS)]
        await store.aclose()
        server = Server(self._path, free_port())
        try:
            await server.start()
            async with BadNetwork(server.url, self._chance) as network:
                await self._go_on(network, server)
            self._figures = network.told()
            if code := await server.stop():
                self.seen.findings.append(f"serve ended with {code} when it was asked to")
        finally:
            with contextlib.suppress(ProcessLookupError):  # as it should be
                await server.kill()
        self.seen.findings += await check(self.seen.recording, self._path, self._rooms)
        return self.seen

    async def _go_on(self, network: BadNetwork, server: Server) -> None:
        async with two_doors(network.url) as doors, asyncio.TaskGroup() as tasks:
            for reader, room in enumerate(self._rooms * READERS):
                door = doors[reader // ROOMS % len(doors)]
                tasks.create_task(self._read(door, room, f"reader{reader}"))
            async with asyncio.TaskGroup() as posters:
                for poster in range(POSTERS):
                    door = doors[poster % len(doors)]
                    posters.create_task(self._post(door, f"poster{poster}"))
                posters.create_task(self._spoil(network, server))
            await self._end_rooms(doors)

    async def _spoil(self, network: BadNetwork, server: Server) -> None:
        """Kill the server now and then, until there were enough requests."""
        for kill in range(self._kills):
            await network.reach(self._requests * (kill + 1) // (self._kills + 1))
            await server.kill()
            self.seen.kills += 1
            await server.start()
        await network.reach(self._requests)
        self._is_over = True

    async def _post(self, door: Door, author: str) -> None:
        for count in itertools.count(1):
            if self._is_over:
                return
            room = self._chance.choice(self._rooms)
            call = Call(room, author, str(count), f"{author} {count}")
            told = await post(door, self.seen.recording, call)
            if told.seq is None:
                why = told.refused or "no answer, however often it was tried"
                self.seen.findings.append(f"{call}: {why}")

    async def _end_rooms(self, doors: Sequence[Door]) -> None:
        """Two ask for the end of each, of whom one comes too late."""
        recording = self.seen.recording
        for room in self._rooms:
            calls = [Call(room, f"owner{n}", "end", f"owner{n} ends", True) for n in (0, 1)]
            told = await asyncio.gather(
                *(post(door, recording, call) for door, call in zip(doors, calls, strict=True))
            )
            if sorted(one.refused for one in told) != ["", ROOM_CLOSED]:
                self.seen.findings.append(f"two ends of room {room}: {told}")

    async def _read(self, door: Door, room: str, reader: str) -> None:
        await read_to_the_end(door, self.seen.recording, room, reader, wait_s=WAIT_S)

    def told(self) -> int:
        """Print what there was; the exit code."""
        print(f"{'':<8} {self._figures}", flush=True)
        return self.seen.told("proxy")


async def spoil(requests: int, kills: int, seed: int) -> int:
    """One run on a new file; the exit code."""
    with tempfile.TemporaryDirectory(prefix="room-mcp-proxy-") as folder:
        run = Proxied(Path(folder), seed=seed, requests=requests, kills=kills)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await run.run()
        except TimeoutError:
            run.seen.findings.append(f"it did not end within {DEADLINE_S} s")
        return run.told()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.proxy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    print(f"== proxy: {args.requests:,} requests; --seed {args.seed}", flush=True)
    return asyncio.run(spoil(args.requests, args.kills, args.seed))


if __name__ == "__main__":
    sys.exit(main())
