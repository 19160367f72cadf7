"""Whoever uses a server otherwise than by posting and reading: searches, lists, joins, waits in
vain, follows streams and hangs up."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Awaitable, Callable

import httpx2

from room_mcp.failures import BackendError, BackendRefused

from .history import NOTICE
from .recording import BUSY, RETRY_S, Recording, text_of
from .servers import Server
from .visiting import WORDS

PAUSE_S = 0.3  # between two acts of a bystander
WAIT_S = 1.0  # in a room in which nobody speaks
SILENCE_S = 40.0  # of a stream, which gives a sign of life every 15 s
STREAMED_LINES = 100  # after which a follower hangs up and comes again, at most
NAMES = 8  # that bystanders join under; a room keeps all who ever did

PASSING = ("room_not_found", "room_closed", "not_a_member", "name_taken")
"""Refusals of rooms that end or go meanwhile, and of who comes twice or leaves before he came."""

Act = Callable[[str], Awaitable[object]]


class Bystander:
    """One who does everything in turn, on one server.

    Args:
        rooms: Those there are at the moment.
        quiet: A room in which nobody speaks.
    """

    def __init__(self, server: Server, rooms: Callable[[], list[str]], quiet: str) -> None:
        self._client = server.client
        self._rooms = rooms
        self._quiet = quiet
        self._chance = random.Random(server.url)
        self._acts: tuple[Act, ...] = (
            lambda room: self._client.search(self._word(), room_id=room),
            lambda _: self._client.search(f"{self._word()} {self._word()}"),
            lambda _: self._client.rooms(query="room"),
            lambda _: self._client.rooms(archived=True),
            lambda room: self._client.info(room),
            lambda room: self._client.messages(room, limit=100),
            lambda room: self._client.join(room, self._name()),
            lambda room: self._client.leave(room, self._name()),
            lambda _: self._client.messages(self._quiet, after=0, wait_s=WAIT_S),
            lambda _: self._client.updates({self._quiet: 0}, wait_s=WAIT_S),
            lambda _: self._client.messages(str(uuid.uuid4()), after=0, wait_s=WAIT_S),
        )
        self.done = 0
        self.refused: dict[str, int] = {}

    async def stand_by(self) -> None:
        """Until cancelled."""
        while True:
            for act in self._acts:
                if rooms := self._rooms():
                    await self._do(act, self._chance.choice(rooms))
                await asyncio.sleep(PAUSE_S)

    async def _do(self, act: Act, room: str) -> None:
        try:
            await act(room)
        except BackendRefused as refused:
            if refused.status not in BUSY:
                self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
        except BackendError:
            pass  # it is being begun again; who reads and posts tells whether it answers
        else:
            self.done += 1

    def _word(self) -> str:
        return self._chance.choice(WORDS)

    def _name(self) -> str:
        return f"bystander{self._chance.randrange(NAMES)}"


async def follow_stream(
    server: Server, recording: Recording, room: str, reader: str, chance: random.Random
) -> None:
    """Follow a room by its stream until it has ended, hanging up now and then."""
    after, last = 0, ""
    async with httpx2.AsyncClient(timeout=SILENCE_S) as http:
        while not last.startswith(NOTICE):
            invoked = time.monotonic()
            lines_left = chance.randint(1, STREAMED_LINES)
            try:
                async with http.stream(
                    "GET",
                    f"{server.url}/agent/rooms/{room}/stream",
                    params={"after": after},
                    headers={"accept": "application/x-ndjson"},
                ) as answer:
                    async for line in answer.aiter_lines():
                        if line:
                            said = json.loads(line)
                            last = text_of(said["senderType"], said["content"])
                            page = [(said["seq"], last)]
                            recording.read(room, reader, after, invoked, page)
                            after, invoked = said["seq"], time.monotonic()
                        lines_left -= 1
                        if lines_left <= 0:
                            break
            except httpx2.TransportError:
                await asyncio.sleep(RETRY_S)
