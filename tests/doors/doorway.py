"""Servers as processes of their own, and agents that come to them with the SDK's client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from room_mcp import wire
from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.settings import Settings

SOON_S = 20  # a hang guard, far above what a busy machine needs
HTTP, SSE = "streamable-http", "sse"
PATHS = {HTTP: "/mcp", SSE: "/sse"}
MODERN, LEGACY = "2026-07-28", "2025-11-25"
WAIT = "wait_for_messages"
STREAMS = {"Accept": "application/json, text/event-stream"}


class Server:
    """One `room-mcp` process that serves over HTTP."""

    def __init__(self, env: Mapping[str, str], folder: Path, *words: str) -> None:
        self.home = Path(env["ROOM_MCP_HOME"])
        self._stderr = folder / "stderr"
        self._told = 0
        with self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "room_mcp", *words],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()  # the first line
        assert self.url, self._stderr.read_text("utf-8")
        parts = urlsplit(self.url)
        self.origin = f"{parts.scheme}://{parts.netloc}"

    def at(self, path: str, name: str = "") -> str:
        """The URL of a path, for an agent of that name."""
        return f"{self.origin}/as/{quote(name, safe='')}{path}" if name else self.origin + path

    def rooms(self) -> RoomsClient:
        """Its rooms as a process sees them that opens the file itself."""
        return open_client(Settings(home=self.home, store=str(self.home / "rooms.db")))

    def errors(self) -> str:
        """What it wrote to stderr since this was asked last."""
        text = self._stderr.read_text("utf-8")
        new, self._told = text[self._told :], len(text)
        return new

    def complaints(self) -> str:
        """The same, while it runs; after one more answer, as it may log behind the last one."""
        httpx2.get(f"{self.origin}/nothing", verify=False)
        return self.errors()

    def open_files(self) -> int:
        """How many it has open; without its store's, which opens readers when it needs them."""
        home = str(self.home.resolve())
        others = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                others += not os.readlink(descriptor).startswith(home)
        return others

    async def ends(self, number: signal.Signals) -> int:
        """Send the signal; the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        with anyio.fail_after(SOON_S):
            while (code := self.process.poll()) is None:
                await anyio.lowlevel.checkpoint()
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(SOON_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass(frozen=True)
class Door:
    """A transport, and the era of the protocol that is spoken through it."""

    transport: str
    mode: str  # as the SDK's client calls it

    @property
    def path(self) -> str:
        return PATHS[self.transport]

    def __str__(self) -> str:
        return f"{self.transport}-{'modern' if self.mode == 'auto' else 'legacy'}"


DOORS = [Door(transport, mode) for transport in (HTTP, SSE) for mode in ("auto", "legacy")]


@dataclass(frozen=True)
class Answer:
    """What a tool answered: all its text, and whether it is a refusal."""

    text: str
    is_error: bool


class Agent:
    """An agent at its client; call it with a tool and arguments."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    async def __call__(self, tool: str, /, **arguments: Any) -> Answer:
        with anyio.fail_after(SOON_S):
            result = await self.client.call_tool(tool, arguments)
        text = "\n".join(getattr(part, "text", "") for part in result.content)
        return Answer(text, bool(result.is_error))

    async def do(self, tool: str, /, **arguments: Any) -> str:
        """As a call that has to succeed; its text."""
        answer = await self(tool, **arguments)
        assert not answer.is_error, answer.text
        return answer.text

    async def say(self, room: str, content: str, **arguments: Any) -> str:
        return await self.do("send_message", room=room, content=content, **arguments)


def _http(
    headers: dict[str, Any] | None = None,
    timeout: httpx2.Timeout | float | None = SOON_S,
    auth: httpx2.Auth | None = None,
    **options: Any,
) -> httpx2.AsyncClient:
    # Certificates take longer to load than a test takes, and nothing here is encrypted.
    return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, verify=False, **options)


@asynccontextmanager
async def connected(
    url: str, transport: str, mode: str, headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncGenerator[Client]:
    """The SDK's client, connected to a URL."""
    info = Implementation(name="test", version="1.0")
    async with AsyncExitStack() as stack:
        connection: AbstractAsyncContextManager[Any]
        if transport == SSE:
            connection = sse_client(url, dict(headers or {}), httpx_client_factory=_http)
        else:
            http = await stack.enter_async_context(_http(dict(headers or {}), timeout=60))
            connection = streamable_http_client(url, http_client=http)
        client = Client(connection, mode=mode, client_info=info, **options)
        yield await stack.enter_async_context(client)


Start = Callable[..., Server]


class Visitors:
    """Who comes to a server in one test; all leave at its end."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def agent(
        self,
        server: Server,
        name: str = "",
        door: Door = DOORS[0],
        *,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Agent:
        """An agent that has its name in its address, if it has one."""
        url = server.at(path or door.path, name)
        client = connected(url, door.transport, door.mode, headers, **options)
        return Agent(await self._stack.enter_async_context(client), name)

    async def rooms(self, server: Server) -> RoomsClient:
        """The REST calls of a server, or of another process on its file where it has none."""
        rooms = RoomsClient(server.url) if server.url == server.origin else server.rooms()
        return await self._stack.enter_async_context(rooms)

    async def http(self, server: Server, **options: Any) -> httpx2.AsyncClient:
        """HTTP without any protocol above it."""
        return await self._stack.enter_async_context(_http(base_url=server.origin, **options))


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; asking is what lets the others run."""
    with anyio.fail_after(SOON_S):
        while not await holds():
            await anyio.lowlevel.checkpoint()


async def waiting_in(rooms: RoomsClient, room: str, *names: str) -> None:
    """Until others see that exactly these members sit in a wait."""

    async def sit() -> bool:
        return sorted((await rooms.rooms(query=room)).rooms[0].waiting) == sorted(names)

    await until(sit)


async def messages_in(rooms: RoomsClient, room: str) -> list[wire.Message]:
    """The messages of the one room of this name."""
    (found,) = (await rooms.rooms(query=room)).rooms
    return (await rooms.messages(found.id)).messages


# ---- the protocol by hand -----------------------------------------------------------------------


def modern(method: str, **params: Any) -> dict[str, Any]:
    """A request of the modern era, as keyword arguments of an HTTP POST."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1.0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    named = {"Mcp-Name": params["name"]} if "name" in params else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    headers = {**STREAMS, "MCP-Protocol-Version": MODERN, "Mcp-Method": method, **named}
    return {"headers": headers, "json": body}


def modern_call(tool: str, **arguments: Any) -> dict[str, Any]:
    return modern("tools/call", name=tool, arguments=arguments)


def legacy(method: str, *, session: str = "", id: int | None = 1, **params: Any) -> dict[str, Any]:
    """A message of the handshake era, as keyword arguments of an HTTP POST."""
    bound = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY} if session else {}
    body = {"jsonrpc": "2.0", **({"id": id} if id is not None else {}), "method": method}
    return {"headers": {**STREAMS, **bound}, "json": {**body, "params": params}}


def legacy_call(session: str, tool: str, **arguments: Any) -> dict[str, Any]:
    return legacy("tools/call", session=session, id=2, name=tool, arguments=arguments)


HELLO: dict[str, Any] = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1.0"},
}


async def legacy_session(http: httpx2.AsyncClient, path: str = "/mcp") -> str:
    """The id of a session that was greeted by hand."""
    opened = await http.post(path, **legacy("initialize", **HELLO))
    session: str = opened.headers["mcp-session-id"]
    await http.post(path, **legacy("notifications/initialized", session=session, id=None))
    return session


def said(response: httpx2.Response) -> str:
    """The text of a tool's answer, from JSON or from a stream of events."""
    assert response.status_code == 200, response.text
    data = re.findall(r"^data: (\{.*)$", response.text, re.MULTILINE)
    answer = json.loads(data[-1] if data else response.text)
    return "\n".join(part["text"] for part in answer["result"]["content"])


class Events:
    """An SSE connection read by hand."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self, event: str = "message") -> str:
        """The data of the next event of this kind."""
        with anyio.fail_after(SOON_S):
            kind = ""
            async for line in self._lines:
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == event:
                    return line.removeprefix("data: ")
        raise AssertionError(f"the stream ended before {event}")

    async def text(self) -> str:
        """The text of the next answer of a tool."""
        answer = json.loads(await self.next())
        return "\n".join(part["text"] for part in answer["result"]["content"])


@asynccontextmanager
async def events(http: httpx2.AsyncClient, path: str, **options: Any) -> AsyncGenerator[Events]:
    async with http.stream("GET", path, **options) as response:
        assert response.status_code == 200, response.status_code
        yield Events(response)


async def sse_session(http: httpx2.AsyncClient, stream: Events) -> str:
    """Where to post, on a connection just opened, that was greeted by hand."""
    post_to = await stream.next("endpoint")
    await http.post(post_to, **legacy("initialize", **HELLO))
    await stream.next()
    await http.post(post_to, **legacy("notifications/initialized", id=None))
    return post_to
