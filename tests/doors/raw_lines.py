"""Lines to a server by hand: what is sent, and when, is up to the test."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import uvicorn
from doorway import Server
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from room_mcp.backend.listening import BoundedProtocol, ConnectionLimits

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMALL_WINDOW = 4096  # bytes that the system keeps for a client that does not read


def peak_bytes(server: Server) -> int:
    """The most memory that a server ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


class Said(NamedTuple):
    """All that a server said until it closed the line."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return json.loads(self.body)["code"]


@dataclass
class Line:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """What comes until the server closes, or cuts the line off."""
        told = b""
        try:
            while data := await self.reader.read(65536):
                told += data
        except ConnectionError:
            pass
        return told

    async def said(self) -> Said:
        """The one answer that comes before the server closes."""
        head, _, body = (await self.rest()).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Said(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)

    async def answer(self) -> bytes:
        """The next answer's body, on a line that stays open."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        (length,) = (
            line.split(b": ")[1] for line in head.split(b"\r\n") if b"content-length" in line
        )
        return await self.reader.readexactly(int(length))


@dataclass
class Post:
    """A listening server, and what its app has met."""

    port: int
    state: ServerState
    asked: list[Scope] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[Line] = field(default_factory=list)

    async def line(self, *, window: int = 0) -> Line:
        """A new connection; with a small window, of a client that has no room to read into."""
        sock = socket.socket()
        sock.setblocking(False)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        limit = window or 65536
        line = Line(*await asyncio.open_connection(sock=sock, limit=limit))
        self.lines.append(line)
        return line

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await anyio.lowlevel.checkpoint()


def app_of(post: Callable[[], Post]) -> ASGIApp:
    """`/` takes the body and says how many bytes, `/wait` waits first, the others pour."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        here = post()
        here.asked.append(scope)
        path: str = scope["path"]
        length = int(path[1:]) if path[1:].isdigit() else 0
        try:
            if path == "/":
                received, more = 0, True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        here.ended.append("gone")
                        return
                    received += len(message["body"])
                    more = message["more_body"]
                await _answer(send, str(received).encode())
            elif path == "/wait":
                await here.may_answer.wait()
                await _answer(send, b"waited")
            elif length:
                await _answer(send, bytes(length))
            else:
                await _pour(receive, send)
        finally:
            here.ended.append(path)

    return app


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _pour(receive: Receive, send: Send) -> None:
    """An answer without an end, until the client is gone."""
    await receive()
    gone = asyncio.ensure_future(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while not gone.done():
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def post(*, proxies: Sequence[str] = (), **limits: Any) -> AsyncGenerator[Post]:
    """A server in this loop whose protocol has these limits, and behind these proxies."""

    class Bounded(BoundedProtocol):
        pass

    Bounded.limits = replace(ConnectionLimits(), **limits)
    config = uvicorn.Config(
        app_of(lambda: it),
        http=Bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        forwarded_allow_ips=list(proxies),
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bounded(config, state, {}), "127.0.0.1", 0)
    it = Post(server.sockets[0].getsockname()[1], state)
    try:
        yield it
    finally:
        server.close()
        it.may_answer.set()
        for line in it.lines:
            line.writer.transport.abort()
        await it.until(lambda: not state.connections and not state.tasks)
