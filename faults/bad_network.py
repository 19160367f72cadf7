"""A proxy for HTTP that does to requests and answers what bad networks do."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from urllib.parse import urlsplit

FAULTY = 0.25  # of the requests
MAX_DELAY_S = 0.05
MAX_LATE_S = 0.2  # after which the second copy of a request may come
AWAY_S = 0.1  # how long a client waits to hear that there is no server
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

_BROKEN = (OSError, asyncio.IncompleteReadError)


class _Link:
    """A connection to the server, made with the first request."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, *, half_close: bool = False) -> bytes:
        """The whole answer. Raises what `_BROKEN` says."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        if half_close:
            writer.write_eof()
        await writer.drain()
        return await _message(reader)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class BadNetwork:
    """Takes requests at `url` and passes them on to the server behind; a context.

    Args:
        faults: Names of `FAULTS`; chance picks one of them for each faulty request.
        faulty: The part of the requests that are.
    """

    def __init__(
        self,
        behind: str,
        chance: random.Random,
        *,
        faults: Sequence[str] = (),
        faulty: float = FAULTY,
    ) -> None:
        to = urlsplit(behind)
        self._host, self._port = str(to.hostname), int(to.port or 80)
        self._chance = chance
        self._chosen = faults or tuple(FAULTS)
        self._faulty = faulty
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = 0
        self._is_reached = asyncio.Event()
        self.requests = 0
        self.unanswered = 0  # of these, because the server closed the connection or was killed
        self.faults: Counter[str] = Counter()
        self.port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        host, self.port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def reach(self, requests: int) -> None:
        """Wait until so many have come."""
        self._wanted = requests
        self._is_reached.clear()
        if self.requests < requests:
            await self._is_reached.wait()

    def told(self) -> str:
        """What it did, in a line."""
        faults = ", ".join(f"{name} {count:,}" for name, count in sorted(self.faults.items()))
        return (
            f"requests {self.requests:,}, not answered by the server {self.unanswered:,}; "
            f"faults {self.faults.total():,}: {faults}"
        )

    # ---- connections ----------------------------------------------------------------------------

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._serve(reader, writer))

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self._host, self._port)
        try:
            while True:
                answer = await self._answer(link, await _message(reader))
                writer.write(answer)
                await writer.drain()
                if not _is_whole(answer):
                    return
        except _BROKEN:
            return  # and so is the client's connection
        finally:
            link.close()
            writer.close()

    async def _answer(self, link: _Link, request: bytes) -> bytes:
        """What comes of a request; nothing when the connection is to break."""
        fault = self._chance.choice(self._chosen) if self._chance.random() < self._faulty else ""
        try:
            answer = await (FAULTS[fault](self, link, request) if fault else link.ask(request))
        except ConnectionRefusedError:
            # The server is being begun again: no fault of this network, and no request either.
            await asyncio.sleep(AWAY_S)
            raise
        except _BROKEN:
            answer = b""
            self.unanswered += 1
        if fault:
            self.faults[fault] += 1
        self._count()
        return answer

    def _count(self) -> None:
        self.requests += 1
        if self.requests >= self._wanted:
            self._is_reached.set()

    # ---- faults ---------------------------------------------------------------------------------

    async def lose_request(self, link: _Link, request: bytes) -> bytes:
        return b""

    async def lose_answer(self, link: _Link, request: bytes) -> bytes:
        await link.ask(request)
        return b""

    async def cut_answer(self, link: _Link, request: bytes) -> bytes:
        answer = await link.ask(request)
        return answer[: self._chance.randrange(len(answer))]

    async def delay(self, link: _Link, request: bytes) -> bytes:
        await asyncio.sleep(self._chance.random() * MAX_DELAY_S)
        answer = await link.ask(request)
        await asyncio.sleep(self._chance.random() * MAX_DELAY_S)
        return answer

    async def double(self, link: _Link, request: bytes) -> bytes:
        """Both at once; the client gets one of the answers."""
        answers = await asyncio.gather(link.ask(request), self._ask_apart(request))
        return self._chance.choice(answers)

    async def double_later(self, link: _Link, request: bytes) -> bytes:
        answer = await link.ask(request)
        self._begin(self._ask_late(request))
        return answer

    async def half_close(self, link: _Link, request: bytes) -> bytes:
        """The server reads the end of the stream with the request."""
        return await self._ask_apart(request, half_close=True)

    async def _ask_late(self, request: bytes) -> None:
        await asyncio.sleep(self._chance.random() * MAX_LATE_S)
        try:
            await self._ask_apart(request)
        except _BROKEN:
            return

    async def _ask_apart(self, request: bytes, *, half_close: bool = False) -> bytes:
        link = _Link(self._host, self._port)
        try:
            return await link.ask(request, half_close=half_close)
        finally:
            link.close()


FAULTS: dict[str, Callable[[BadNetwork, _Link, bytes], Awaitable[bytes]]] = {
    "request lost": BadNetwork.lose_request,
    "answer lost": BadNetwork.lose_answer,
    "answer cut": BadNetwork.cut_answer,
    "delayed": BadNetwork.delay,
    "doubled": BadNetwork.double,
    "doubled later": BadNetwork.double_later,
    "half closed": BadNetwork.half_close,
}


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or answer; all of them tell their length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1])) if length else head


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and (length is None or len(body) == int(length[1]))
