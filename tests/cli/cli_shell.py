"""A shell of its own folder: commands in this process, or as processes that stay."""

from __future__ import annotations

import io
import json
import os
import pty
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import pytest

from room_mcp.cli import main

PATIENCE_S = 20


@dataclass(frozen=True)
class Said:
    """How one command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Running:
    """A command that stays, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        self._reading = threading.Thread(target=self._read, args=(process.stdout,))
        self._reading.start()

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """The next line of its output."""
        return self._lines.get(timeout=PATIENCE_S)

    def rest(self) -> list[str]:
        """The lines after those that were read, once it has ended by itself."""
        self.ended()
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def ended(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def err(self) -> str:
        self.ended()
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.ended()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@dataclass
class Shell:
    """One person's shell. What stands in `env` is set for every command."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    env: dict[str, str] = field(default_factory=dict[str, str])
    running: list[Running] = field(default_factory=list[Running])

    def __call__(self, *words: str, stdin: str | bytes = "") -> Said:
        """Run a command here; `stdin` is what is piped in."""
        typed = stdin.encode() if isinstance(stdin, str) else stdin
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("ROOM_MCP_")]:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
            signal.signal(signal.SIGALRM, _too_long)
            signal.alarm(PATIENCE_S)
            try:
                code = main(words)
            except SystemExit as end:  # argparse, at --help and wrong use
                code = int(str(end.code))
            finally:
                signal.alarm(0)
        out, err = self.capsys.readouterr()
        return Said(code, out, err)

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> Running:
        """Run a command that stays."""
        process = subprocess.Popen(
            [*self.argv, *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self.whole_environment,
        )
        started = Running(process)
        self.running.append(started)
        return started

    def typed(self, *words: str) -> Said:
        """Run a command as a person does, at a terminal."""
        keyboard, terminal = pty.openpty()
        try:
            running = self.start(*words, stdin=terminal)
            lines = running.rest()
            return Said(running.ended(), "".join(f"{line}\n" for line in lines), running.err)
        finally:
            os.close(keyboard)
            os.close(terminal)

    @property
    def argv(self) -> list[str]:
        return [sys.executable, "-m", "room_mcp"]

    @property
    def environment(self) -> dict[str, str]:
        return {"ROOM_MCP_HOME": str(self.home), **self.env}

    @property
    def whole_environment(self) -> dict[str, str]:
        ours = ("ROOM_MCP_", "PYTHONUNBUFFERED")  # unbuffered, a missing flush would not show
        kept = {name: os.environ[name] for name in os.environ if not name.startswith(ours)}
        return {**kept, "LANG": "C.UTF-8", **self.environment}

    def until_waiting(self, name: str) -> None:
        """Until the directory says that somebody sits in a wait."""
        deadline = time.monotonic() + PATIENCE_S
        while name not in self("rooms", "--json").json["rooms"][0]["waiting"]:
            assert time.monotonic() < deadline

    def review(self, name: str = "pr-12", **roles: str) -> str:
        """A code-review room with these members; its id."""
        id: str = self("create", name, "--template", "code-review", "--json").json["id"]
        for member, role in roles.items():
            assert self("join", id, "--role", role, "--as", member).code == 0
        return id

    def says(self, member: str, room: str, type: str, **body: Any) -> Said:
        """A typed message of a member."""
        return self("send", room, "--type", type, "--body", json.dumps(body), "--as", member)

    def room(self, name: str, *texts: str) -> str:
        """A room in which ann said these things; its id."""
        id: str = self("create", name, "--as", "ann", "--json").json["id"]
        for text in texts:
            assert self("send", id, text, "--as", "ann").code == 0
        return id


def _too_long(signum: int, frame: object) -> NoReturn:
    raise AssertionError(f"the command took longer than {PATIENCE_S} s")


def run_python(code: str, *, env: dict[str, str]) -> Sequence[str]:
    """The words that a new Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=env,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout.split()
