"""Processes that run the code of one version each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
HANG_S = 120  # then a process is ended, so that no test waits for ever
WAIT_S = 50  # the longest that there is
WOKEN_S = 25  # then nobody has woken it


def environment(source: Path | None, home: Path) -> dict[str, str]:
    """That of a process which runs the package in that folder; None: the one under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_MCP_")}
    where = sys.path if source is None else [str(source)]
    if source is not None:  # it was never compiled, and several processes need it
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "PYTHONPATH": os.pathsep.join(where), "ROOM_MCP_HOME": str(home)}


class Process:
    """One that answers lines with lines; ended when it hangs."""

    def __init__(self, *command: str, env: dict[str, str]) -> None:
        self.running = subprocess.Popen(
            [sys.executable, *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watch = threading.Timer(HANG_S, self.running.kill)
        self._watch.daemon = True
        self._watch.start()

    def line(self) -> str:
        """The next line that it says; empty when it ended."""
        assert self.running.stdout is not None
        return self.running.stdout.readline().strip()

    def say(self, line: str) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(line + "\n")
        self.running.stdin.flush()

    def end(self) -> int:
        """Let it end by itself; its exit code."""
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.close()
        code = self.running.wait()
        self.running.stdout.close()
        self._watch.cancel()
        return code


class Peer(Process):
    """A version's client, on a store or a server.

    Args:
        target: The file of the store, or the server's address.
        source: The package's folder; None: the version under test.
    """

    def __init__(self, target: str | Path, home: Path, source: Path | None = None) -> None:
        script = str(HERE / "version_peer.py")
        super().__init__(script, str(target), env=environment(source, home))
        self._count = 0
        self._answers: dict[int, Any] = {}
        self.version = str(json.loads(self.line()))

    def begin(self, call: str, *args: Any, **named: Any) -> int:
        """Make a call, and go on; its number."""
        self._count += 1
        asked = {"number": self._count, "call": call, "args": args, "named": named}
        self.say(json.dumps(asked))
        return self._count

    def answer(self, number: int) -> Any:
        """What a call answered."""
        while number not in self._answers:
            told = json.loads(self.line() or "null")
            assert told is not None, f"room-mcp {self.version} has ended"
            self._answers[told["number"]] = told["answer"]
        return self._answers.pop(number)

    def woken(self, number: int) -> Any:
        """What a wait of `WAIT_S` answered, which nobody has to sit out."""
        guard = threading.Timer(WOKEN_S, self.running.kill)
        guard.start()
        try:
            return self.answer(number)
        finally:
            guard.cancel()

    def ask(self, call: str, *args: Any, **named: Any) -> Any:
        return self.answer(self.begin(call, *args, **named))


class Pair(NamedTuple):
    """Two versions on one file. What is tried in one order is tried in the other as well."""

    old: Peer
    new: Peer
    path: Path
    room_id: str  # made by the old one before the new one came
    waited: Any  # what the old one was answered that waited in it meanwhile
