"""A process that has a store open itself and visits rooms, as its parent sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from .recording import Recording
from .writers import MAX_LINE_BYTES


class Embedded:
    """A process of `faults.visiting`; it can be ended and begun again.

    Args:
        recordings: By room, what takes all it says.
    """

    def __init__(self, path: Path, name: str, recordings: Mapping[str, Recording]) -> None:
        self._path = path
        self._name = name
        self._recordings = recordings
        self._life = -1
        self._left: dict[str, asyncio.Event] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.acknowledged = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Begin it; it goes on with the rooms that it had not left."""
        self._life += 1
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.visiting", str(self._path), self._name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._listening = asyncio.create_task(self._listen(self._process))
        for room in self._left:
            self._order(room)

    def visit(self, room: str) -> None:
        self._left[room] = asyncio.Event()
        self._order(room)

    async def left(self, room: str) -> None:
        """Wait until it has done with the room, and has told all."""
        await self._left[room].wait()
        del self._left[room]

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def end(self, how: signal.Signals | None = None) -> int:
        """End it by a signal, or when all its rooms have ended; its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._listening is not None
        if how is None:
            self._process.stdin.close()
        else:
            self._process.send_signal(how)
        await self._listening
        return await self._process.wait()

    def _order(self, room: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is None and not self._left[room].is_set():
            self._process.stdin.write(json.dumps([room, self._life]).encode() + b"\n")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while (line := await process.stdout.readline()).endswith(b"\n"):
            event = json.loads(line)
            if event[0] == "left":
                self._left[event[1]].set()
                continue
            room = event[3] if event[0] == "read" else event[2]
            said = self._recordings[room].add_line(line)
            self.acknowledged += said == "ack"
