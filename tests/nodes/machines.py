"""Nodes as processes with homes of their own, a balancer before them, and agents that come."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from room_mcp.backend.callers import SERVER_KEY_PREFIX, key_hash, key_id, new_key
from room_mcp.client import RoomsClient
from room_mcp.store.callers import ServerKey
from room_mcp.store.opening import open_store

HANGS_S = 60  # far beyond what anything here takes
LOOKS_EVERY_S = 0.02  # at /readyz
SERVE = (sys.executable, "-m", "room_mcp", "serve", "--port", "0")
WANTS_KEYS = "--require-key"


class Node:
    """A `room-mcp serve` of one database; its home is its own, as on a machine of its own."""

    def __init__(self, store: str, home: Path, *words: str) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("ROOM_MCP_")}
        home.mkdir(parents=True, exist_ok=True)
        self._log = home / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*SERVE, "--store", store, *words],
                env={**kept, "ROOM_MCP_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def started(self) -> str:
        """Its URL, once it listens."""
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.log()
        return self.url

    def log(self) -> str:
        """But for what is said of the tests' own database, which may lose what it holds."""
        lines = self._log.read_text("utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if "fsync = off" not in line)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code, once it has one."""

        async def has_ended() -> bool:
            return self.process.poll() is not None

        await until(has_ended)
        return self.process.returncode

    def close(self) -> None:
        """End it now, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # which leaves it no time to drain
            try:
                self.process.wait(HANGS_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def start_nodes(store: str, folder: Path, *words: str, count: int = 2) -> list[Node]:
    """So many that listen; they start at once."""
    found = [Node(store, folder / f"home{number}", *words) for number in range(count)]
    for one in found:
        one.started()
    return found


@dataclass(frozen=True)
class Pair:
    """Two nodes of one database, and the key of an admin."""

    one: Node
    other: Node
    admin: str

    def rooms(self, node: Node, key: str = "") -> RoomsClient:
        return RoomsClient(node.url, key=key or self.admin)


async def an_admin(store: str) -> str:
    """The key of somebody who may make keys in this database."""
    key = new_key(SERVER_KEY_PREFIX)
    opened = open_store(store)
    await opened.open()
    now = datetime.now(UTC)
    await opened.add_key(ServerKey(key_id(key), key_hash(key), "root", "agent", True, now))
    await opened.aclose()
    return key


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; asking is what lets the others run."""
    with anyio.fail_after(HANGS_S):
        while not await holds():
            await anyio.lowlevel.checkpoint()


# ---- a balancer ------------------------------------------------------------------------------


class Balancer:
    """Gives each request to the next node that is ready, whoever asks.

    A request has a connection of its own on both sides. `asked` is, for each, the number of the
    node and the first line; `posts` is how many posts each node has not answered yet.
    """

    def __init__(self, *urls: str) -> None:
        self.urls = list(urls)
        self.is_ready = [True] * len(urls)
        self.asked: list[tuple[int, str]] = []
        self.posts = [0] * len(urls)
        self._next = 0
        self._met_by: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        """Inside, it answers at this URL."""
        server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()
            for writer in self._met_by.values():
                writer.close()
            await asyncio.gather(*self._met_by)

    async def look(self) -> None:
        """Ask each node again and again whether it is ready."""
        async with httpx2.AsyncClient(verify=False, timeout=HANGS_S) as http:
            while True:
                for number, url in enumerate(self.urls):
                    self.is_ready[number] = await _is_ready(http, url)
                await asyncio.sleep(LOOKS_EVERY_S)

    async def sees(self, number: int, *, ready: bool) -> None:
        """Until it knows this of a node; of one that is not ready it has all answers then."""

        async def knows() -> bool:
            return self.is_ready[number] == ready and (ready or not self.posts[number])

        await until(knows)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._met_by[task] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._passed_on(reader, writer)
        writer.close()
        del self._met_by[task]

    async def _passed_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        number = self._turn()
        self.asked.append((number, head.partition("\r\n")[0]))
        is_post = head.startswith("POST")
        self.posts[number] += is_post
        try:
            await self._exchanged(head, number, reader, writer)
        finally:
            self.posts[number] -= is_post

    async def _exchanged(
        self, head: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        place = urlsplit(self.urls[number])
        answers, asks = await asyncio.open_connection(place.hostname, place.port)
        once = re.sub(r"(?im)^connection:.*\r\n", "", head)[:-2] + "Connection: close\r\n\r\n"
        asks.write(once.encode("latin-1"))
        asking = asyncio.create_task(_copied(reader, asks))
        asking.add_done_callback(lambda _: asks.close())  # who asked has hung up
        try:
            await _copied(answers, writer)
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    def _turn(self) -> int:
        for _ in self.urls:
            self._next = (self._next + 1) % len(self.urls)
            if self.is_ready[self._next]:
                return self._next
        raise ConnectionError("no node is ready")


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


async def _is_ready(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


# ---- agents ----------------------------------------------------------------------------------


class Agent:
    """An agent at its MCP client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def do(self, tool: str, /, **arguments: Any) -> str:
        """The text of a call that has to succeed."""
        with anyio.fail_after(HANGS_S):
            result = await self.client.call_tool(tool, arguments)
        text = "\n".join(getattr(part, "text", "") for part in result.content)
        assert not result.is_error, text
        return text


@asynccontextmanager
async def an_agent(
    url: str, key: str, name: str = "", *, mode: str = "auto"
) -> AsyncGenerator[Agent]:
    """Connected by MCP over HTTP; of the modern era unless `mode` is "legacy"."""
    at = f"{url}/as/{quote(name, safe='')}/mcp" if name else f"{url}/mcp"
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(verify=False, headers=headers, timeout=HANGS_S) as http,
        Client(streamable_http_client(at, http_client=http), mode=mode) as client,
    ):
        yield Agent(client)
