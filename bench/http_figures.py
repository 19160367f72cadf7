"""What the doors over HTTP cost: a call's overhead, and a thousand clients that listen.

python -m bench.http_figures
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from . import machine
from .stdio_figures import MINIMAL, ROOM, cpu_s, row

CALLS = 300
WARM_UP = 30
LISTENERS = 1_000
UPDATES = 20
IDLE_S = 30.0
HEADERS = (
    "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
    "Mcp-Method: subscriptions/listen\r\nContent-Length: {length}\r\n\r\n"
)


@contextlib.contextmanager
def running(command: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


def posted(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


async def overheads(env: dict[str, str]) -> None:
    """Our call less the SDK's no-op, on stdio and over HTTP; the calls of a round in turn."""
    port = free_port()
    stdio = {name: _stdio(command, env) for name, command in (("noop", MINIMAL), ("ours", ROOM))}
    with (
        running([*MINIMAL, str(port)], env),
        running([*ROOM, "serve", "--port", "0"], env) as serving,
    ):
        assert serving.stdout is not None
        base = serving.stdout.readline().strip()
        until_listening(port)
        async with contextlib.AsyncExitStack() as stack:
            clients = {
                ("stdio", "noop"): stdio["noop"],
                ("stdio", "ours"): stdio["ours"],
                ("HTTP", "noop"): Client(f"http://127.0.0.1:{port}/mcp"),
                ("HTTP", "ours"): Client(f"{base}/as/bench-http/mcp"),
            }
            for one in clients.values():
                await stack.enter_async_context(one)
            for kind in ("stdio", "HTTP"):
                await clients[kind, "ours"].call_tool("create_room", {"name": "bench"})
            for what, tool, arguments in (
                ("read_history", "read_history", {"room": "bench"}),
                ("send_message, durable", "send_message", {"room": "bench"}),
            ):
                took: dict[tuple[str, str], list[float]] = {key: [] for key in clients}
                for count in range(WARM_UP + CALLS):
                    for key, one in clients.items():
                        call = ("noop", {"text": "x"}) if key[1] == "noop" else (tool, arguments)
                        if call[0] == "send_message":
                            call = (tool, {**arguments, "content": f"{key[0]} {count}"})
                        began = time.perf_counter()
                        result = await one.call_tool(*call)
                        took[key].append((time.perf_counter() - began) * 1000)
                        assert not result.is_error, result
                of = {key: statistics.median(all_of[WARM_UP:]) for key, all_of in took.items()}
                over = {kind: of[kind, "ours"] - of[kind, "noop"] for kind in ("stdio", "HTTP")}
                row(
                    f"{what}: overhead over a no-op",
                    f"{over['HTTP']:.2f} ms HTTP",
                    f"{over['stdio']:.2f} ms stdio",
                    over["HTTP"] / over["stdio"],
                    "≤ 1",
                )
                noops = f"no-op {of['HTTP', 'noop']:.2f} HTTP, {of['stdio', 'noop']:.2f} stdio"
                print(f"{'':<44} {noops}")


def _stdio(command: list[str], env: dict[str, str]) -> Client:
    return Client(
        stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=env))
    )


class Listener(asyncio.Protocol):
    """A client that listens for one resource and counts what it hears."""

    def __init__(self, host: str, uri: str, ready: asyncio.Queue[None]) -> None:
        self._host, self._uri, self._ready = host, uri, ready
        self._acknowledged = False
        self.heard_at = 0.0
        self.heard: asyncio.Queue[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        wanted = {"resourceSubscriptions": [self._uri]}
        params = {"_meta": meta, "notifications": wanted}
        call = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        body = json.dumps(call)
        assert isinstance(transport, asyncio.Transport)
        head = HEADERS.format(host=self._host, length=len(body))
        transport.write((head + body).encode())

    def data_received(self, data: bytes) -> None:
        if not self._acknowledged and b"acknowledged" in data:
            self._acknowledged = True
            self._ready.put_nowait(None)
        elif b"resources/updated" in data:
            self.heard_at = time.perf_counter()
            if self.heard is not None:
                self.heard.put_nowait(None)


async def listeners(env: dict[str, str]) -> None:
    with running([*ROOM, "serve", "--port", "0"], env) as serving:
        assert serving.stdout is not None
        base = serving.stdout.readline().strip()
        host = base.removeprefix("http://")
        name, _, port = host.partition(":")
        room = posted(f"{base}/agent/rooms", {"name": "listened"})["roomId"]
        loop = asyncio.get_running_loop()
        ready: asyncio.Queue[None] = asyncio.Queue()
        all_of: list[Listener] = []
        for _ in range(LISTENERS):
            one = Listener(host, f"room://{room}/history", ready)
            await loop.create_connection(lambda one=one: one, name, int(port))
            await asyncio.wait_for(ready.get(), 30)
            all_of.append(one)
        took: list[float] = []
        for count in range(UPDATES):
            heard: asyncio.Queue[None] = asyncio.Queue()
            for one in all_of:
                one.heard = heard
            began = time.perf_counter()
            said = {"sender": "bench", "content": f"update {count}"}
            await asyncio.to_thread(posted, f"{base}/agent/rooms/{room}/messages", said)
            for _ in range(LISTENERS):
                await asyncio.wait_for(heard.get(), 30)
            took.append((max(one.heard_at for one in all_of) - began) * 1000)
        took.sort()
        row(
            f"update → {LISTENERS} listening clients",
            f"p50 {took[len(took) // 2]:.0f} ms",
            f"worst {took[-1]:.0f} ms",
            None,
            "≤ 500 ms",
        )
        await asyncio.sleep(2)
        before = cpu_s(serving.pid)
        await asyncio.sleep(IDLE_S)
        share = (cpu_s(serving.pid) - before) / IDLE_S
        row(f"idle, {LISTENERS} listening", f"{share * 100:.2f} %", "of a core", None, "< 5 %")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="room-mcp-bench-") as home:
        env = {**os.environ, "ROOM_MCP_HOME": home}
        print(machine.describe(Path(home)))
        print(f"{'':<44} {'room-mcp':>12} {'held against':>20}")
        await overheads(env)
        await listeners(env)


if __name__ == "__main__":
    asyncio.run(main())
