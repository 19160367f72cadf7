"""MCP servers as real processes, spoken to line by line as a host does."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from house import Answer

import room_mcp

SOON_S = 20
MAX_LINE_BYTES = 4 * 2**20

MODERN = "2026-07-28"
LEGACY = "2025-11-25"

# As `room-mcp` itself, with signs of life often enough for a test.
LIVELY = """\
import sys
from room_mcp.bridge.stdio import run_stdio
from room_mcp.compose import open_client
from room_mcp.settings import Settings
settings = Settings.from_env()
sys.exit(run_stdio(settings, open_client(settings), progress_every_s=0.02))
"""

# A dependency that prints while tools run.
PRINTING = """\
import os, subprocess, sys
from room_mcp.bridge import tools
from room_mcp.cli import main
def printing(name):
    print("print from", name)
    os.write(1, b"write to descriptor 1\\n")
    subprocess.run(["echo", "from a child"])
tools.call = lambda *args, inner=tools.call, **more: (printing("call"), inner(*args, **more))[1]
sys.exit(main([]))
"""

# Gives up on its backend soon, so that nobody has to wait for the sentence.
IMPATIENT = """\
import sys
from room_mcp import client
client.ANSWER_S = 0.2
from room_mcp.bridge.stdio import run_stdio
from room_mcp.client import RoomsClient
from room_mcp.settings import Settings
settings = Settings.from_env()
sys.exit(run_stdio(settings, RoomsClient(settings.url, key=settings.key, retry_for_s=0.1)))
"""


class Server:
    """One server process, and the host's end of its pipes."""

    def __init__(self, process: Process, era: str, host: str, stderr: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.era, self.host, self._stderr = era, host, stderr
        self._out = BufferedByteReceiveStream(process.stdout)
        self._last_id = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.notes: list[dict[str, Any]] = []
        self.lines: list[str] = []

    @property
    def stderr(self) -> str:
        return self._stderr.read_text("utf-8")

    # ---- as a host -----------------------------------------------------------------------------

    async def greet(self) -> None:
        """What a host sends first; later requests need it in the legacy era only."""
        if self.era == "legacy":
            client = {"name": self.host, "version": "1.0"}
            params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
            await self.request("initialize", params)
            await self.send({"method": "notifications/initialized"})
        else:
            await self.request("server/discover", {})

    async def call(self, tool: str, /, **arguments: Any) -> Answer:
        return await self.answer(await self.begin(tool, **arguments))

    async def begin(self, tool: str, /, *, token: str = "", **arguments: Any) -> int:
        """Send a call and return its id, without waiting for the answer."""
        meta = {"_meta": {"progressToken": token}} if token else {}
        return await self.ask("tools/call", {"name": tool, "arguments": arguments, **meta})

    async def answer(self, id: int) -> Answer:
        result = (await self.reply(id))["result"]
        text = "\n".join(part["text"] for part in result["content"])
        return Answer(text, bool(result.get("isError")), result.get("structuredContent"))

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self.reply(await self.ask(method, params))

    async def ask(self, method: str, params: dict[str, Any]) -> int:
        self._last_id += 1
        if self.era != "legacy":
            meta = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": self.host, "version": "1.0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            params = {**params, "_meta": {**meta, **params.get("_meta", {})}}
        await self.send({"id": self._last_id, "method": method, "params": params})
        return self._last_id

    async def cancel(self, id: int) -> None:
        await self.send({"method": "notifications/cancelled", "params": {"requestId": id}})

    async def send(self, message: dict[str, Any]) -> None:
        await self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(raw)

    async def reply(self, id: int) -> dict[str, Any]:
        """The response to a request; what comes before it is kept."""
        with anyio.fail_after(SOON_S):
            while id not in self._answers:
                await self.read()
        return self._answers[id]

    async def read(self) -> None:
        """Take one line off its stdout."""
        line = (await self._out.receive_until(b"\n", MAX_LINE_BYTES)).decode()
        self.lines.append(line)
        message = json.loads(line)
        if "id" in message and "method" not in message:
            self._answers[message["id"]] = message
        else:
            self.notes.append(message)

    async def read_rest(self) -> None:
        """Take all lines off its stdout, until the process has closed it."""
        with contextlib.suppress(anyio.EndOfStream, anyio.IncompleteRead), anyio.fail_after(SOON_S):
            while True:
                await self.read()

    # ---- as the machine ------------------------------------------------------------------------

    async def end(self) -> int:
        """Close its stdin, as a host does that stops; the exit code."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        return await self.ended()

    async def kill(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        with anyio.fail_after(SOON_S):
            return await self.process.wait()


class Machine:
    """A home folder, and the processes on it."""

    def __init__(self, home: Path, era: str) -> None:
        self.home, self.era = home, era
        self._processes: list[Process] = []

    async def backend(self, *words: str) -> str:
        """The base URL of a `room-mcp serve` of its own store."""
        process = await self._started(
            ["-m", "room_mcp", "serve", "--port", "0", *words], self.home, {}
        )
        assert process.stdout is not None
        out = BufferedByteReceiveStream(process.stdout)
        with anyio.fail_after(SOON_S):
            return (await out.receive_until(b"\n", MAX_LINE_BYTES)).decode()

    async def server(
        self,
        *arguments: str,
        host: str = "claude-code",
        code: str = "",
        folder: str = "project",
        env: Mapping[str, str] | None = None,
    ) -> Server:
        """A server that a host has started and greeted.

        Args:
            code: A program to run in place of `room-mcp`.
        """
        cwd = self.home / folder
        cwd.mkdir(exist_ok=True)
        words = [*(("-c", code) if code else ("-m", "room_mcp")), *arguments]
        process = await self._started(words, cwd, env or {})
        server = Server(process, self.era, host, self._stderr())
        await server.greet()
        return server

    async def _started(self, words: list[str], cwd: Path, env: Mapping[str, str]) -> Process:
        with self._stderr(next=True).open("wb") as errors:
            process = await anyio.open_process(
                [sys.executable, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=cwd,
                env={
                    "PATH": "/usr/bin:/bin",
                    "HOME": str(self.home),
                    "PYTHONPATH": str(Path(room_mcp.__file__).parents[1]),
                    **env,
                },
            )
        self._processes.append(process)
        return process

    def _stderr(self, *, next: bool = False) -> Path:
        """Where the latest process writes its errors, or the next one will."""
        return self.home / f"stderr-{len(self._processes) + next}"

    async def aclose(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()
