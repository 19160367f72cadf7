"""A proxy for TCP between the nodes and their database that does what bad networks do.

It knows nothing of the protocol but where a COMMIT is, which it spoils more often than anything
else: whether that has happened is what a node cannot know.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from urllib.parse import urlsplit

FAULTY = 0.003  # of what is sent
FAULTY_COMMITS = 0.06
MAX_DELAY_S = 0.3
FREEZE_S = (0.5, 7.0)  # from what nobody notices to what a server gives a transaction up for
CHUNK_BYTES = 2**16
COMMIT = b"COMMIT"


class _Cut(Exception):
    """This connection ends here."""


class BadLinks:
    """Listens at `url` and passes all on to the database behind; a context.

    Args:
        behind: The address of the database.
        faults: Names of `FAULTS`; chance picks one of them each time.
        often: How many times as often as usual; it may be changed.
    """

    def __init__(
        self, behind: str, chance: random.Random, *, faults: Sequence[str] = (), often: float = 1
    ) -> None:
        self._behind = urlsplit(behind)
        self._chance = chance
        self._chosen = faults or tuple(FAULTS)
        self.often = often
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut = 0  # connections
        self.faults: Counter[str] = Counter()
        self.is_faulty = asyncio.Event()  # there was a fault
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        user = self._behind.netloc.rpartition("@")[0]
        self.url = self._behind._replace(netloc=f"{user}@{host}:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def told(self) -> str:
        """What it did, in a line."""
        faults = ", ".join(f"{name} {count:,}" for name, count in sorted(self.faults.items()))
        return f"connections cut {self.cut:,}; faults {self.faults.total():,}: {faults}"

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(self._behind.hostname, self._behind.port)
            try:
                await self._pass(_Link((reader, writer), server))
            finally:
                server[1].transport.abort()
        except OSError:
            return  # the database is away
        finally:
            writer.transport.abort()

    async def _pass(self, link: _Link) -> None:
        """Both ways, until one of them ends."""
        there, back = passing = (
            asyncio.ensure_future(self._pass_on(link)),
            asyncio.ensure_future(link.pass_back()),
        )
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            if back.done() or there.exception() is None:
                await asyncio.wait(passing, timeout=MAX_DELAY_S)  # the rest of an answer
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass_on(self, link: _Link) -> None:
        """From the node to the database, badly."""
        while chunk := await link.sent():
            odds = FAULTY_COMMITS if COMMIT in chunk else FAULTY
            if self._chance.random() >= odds * self.often:
                link.forward(chunk)
                continue
            fault = self._chance.choice(self._chosen)
            self.faults[fault] += 1
            self.is_faulty.set()
            try:
                await FAULTS[fault](self, link, chunk)
            except _Cut:
                self.cut += 1
                raise
        link.end()

    # ---- faults ---------------------------------------------------------------------------------

    async def lose_request(self, link: _Link, chunk: bytes) -> None:
        raise _Cut

    async def cut_request(self, link: _Link, chunk: bytes) -> None:
        link.forward(chunk[: self._chance.randrange(len(chunk))])
        raise _Cut

    async def lose_answer(self, link: _Link, chunk: bytes) -> None:
        """The database does it, and the node does not learn of that."""
        link.is_mute = True
        link.forward(chunk)
        await asyncio.sleep(self._chance.random() * MAX_DELAY_S)
        raise _Cut

    async def delay(self, link: _Link, chunk: bytes) -> None:
        await asyncio.sleep(self._chance.random() * MAX_DELAY_S)
        link.forward(chunk)

    async def half_close(self, link: _Link, chunk: bytes) -> None:
        """The database reads the end of the stream with this."""
        link.forward(chunk)
        link.end()
        await asyncio.sleep(MAX_DELAY_S)
        raise _Cut

    async def freeze(self, link: _Link, chunk: bytes) -> None:
        """Nothing moves for a while, then all of it."""
        link.moves.clear()
        await asyncio.sleep(self._chance.uniform(*FREEZE_S))
        link.moves.set()
        link.forward(chunk)

    async def freeze_and_lose(self, link: _Link, chunk: bytes) -> None:
        link.moves.clear()
        await asyncio.sleep(self._chance.uniform(*FREEZE_S))
        raise _Cut

    async def arrive_late(self, link: _Link, chunk: bytes) -> None:
        """The node is told that the connection is gone; what it sent arrives after that."""
        link.hang_up()
        await asyncio.sleep(self._chance.random() * MAX_DELAY_S)
        link.forward(chunk)
        await asyncio.sleep(MAX_DELAY_S)
        raise _Cut


FAULTS: dict[str, Callable[[BadLinks, _Link, bytes], Awaitable[None]]] = {
    "lost": BadLinks.lose_request,
    "request cut": BadLinks.cut_request,
    "answer lost": BadLinks.lose_answer,
    "delayed": BadLinks.delay,
    "half closed": BadLinks.half_close,
    "frozen": BadLinks.freeze,
    "frozen and lost": BadLinks.freeze_and_lose,
    "late": BadLinks.arrive_late,
}

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """A connection of a node, and the one to the database that stands for it."""

    def __init__(self, node: _Streams, server: _Streams) -> None:
        self._from_node, self._to_node = node
        self._from_server, self._to_server = server
        self.is_mute = False
        self.moves = asyncio.Event()
        self.moves.set()

    async def sent(self) -> bytes:
        return await self._from_node.read(CHUNK_BYTES)

    def forward(self, chunk: bytes) -> None:
        self._to_server.write(chunk)

    def end(self) -> None:
        if self._to_server.can_write_eof():
            self._to_server.write_eof()

    def hang_up(self) -> None:
        self.is_mute = True
        self._to_node.transport.abort()

    async def pass_back(self) -> None:
        while chunk := await self._from_server.read(CHUNK_BYTES):
            await self.moves.wait()
            if not self.is_mute:
                self._to_node.write(chunk)
        if not self.is_mute and self._to_node.can_write_eof():
            self._to_node.write_eof()
