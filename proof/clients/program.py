"""A client's program at work: questions on its stdin, answers on its stdout, all waits bounded."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

START_S = 60.0  # importing one of these libraries takes seconds on a cold disk
ANSWER_S = 45.0  # above the longest wait that is asked for
END_S = 10.0
SHOWN_CHARS = 300


class Otherwise(Exception):
    """It went otherwise than it should; the text says where, and what was seen there."""


class Answer(NamedTuple):
    """`shown`: what a model reads. `refused`: None where the library does not tell a model."""

    shown: str
    refused: bool | None


class Program:
    """One client of the server, and the agent that speaks through it.

    Args:
        agent: Its name in rooms.
    """

    def __init__(
        self, agent: str, process: subprocess.Popen[str], heard: queue.Queue[str], said: IO[bytes]
    ) -> None:
        self.agent = agent
        self._process = process
        self._heard = heard
        self._said = said
        self._doing = "starting"

    def tools(self) -> Sequence[str]:
        """The names of the tools that it found, once it has started; to be asked for first."""
        return self._next(START_S)["tools"]

    def ask(self, tool: str, **arguments: Any) -> None:
        """Have it call a tool; `answer` says what came of it."""
        assert self._process.stdin is not None
        self._doing = tool
        with contextlib.suppress(BrokenPipeError):  # `answer` tells how it ended
            self._process.stdin.write(json.dumps({"tool": tool, "arguments": arguments}) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Answer:
        """What the model of this agent is shown for the call that was asked for.

        Raises:
            Otherwise: It ended, or takes too long.
        """
        told = self._next(ANSWER_S)
        return Answer(told["shown"], told["refused"])

    def call(self, tool: str, **arguments: Any) -> Answer:
        self.ask(tool, **arguments)
        return self.answer()

    def _next(self, limit_s: float) -> dict[str, Any]:
        try:
            line = self._heard.get(timeout=limit_s)
        except queue.Empty:
            raise Otherwise(f"{self.agent}, {self._doing}: no answer in {limit_s:.0f} s") from None
        if not line:
            raise self.ended()
        return json.loads(line)

    def ended(self) -> Otherwise:
        """How it ended, as an error."""
        code = self._process.wait(END_S)
        self._said.seek(0)
        why = error_in(self._said.read().decode(errors="replace"))
        return Otherwise(f"{self.agent}, {self._doing}, ended with {code}: {cut(why)}")


@contextlib.contextmanager
def a_program(agent: str, command: Sequence[str], env: Mapping[str, str]) -> Iterator[Program]:
    """A client that starts now; told to end afterwards, and made to where it does not.

    Raises:
        Otherwise: It did not end well by itself.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            encoding="utf-8",
            start_new_session=True,  # so that it can be ended with whatever it started
        )
        assert process.stdin is not None
        assert process.stdout is not None
        heard: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, heard), daemon=True)
        reader.start()
        try:
            program = Program(agent, process, heard, said)
            yield program
            process.stdin.close()
            if process.wait(END_S):
                raise program.ended()
        except subprocess.TimeoutExpired:
            raise Otherwise(f"{agent} was told to end, and did not in {END_S:.0f} s") from None
        finally:
            # Some SDKs put a server into a group of its own; that one ends with its stdin.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_S)
            reader.join(END_S)
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _read(lines: IO[str], heard: queue.Queue[str]) -> None:
    for line in lines:
        heard.put(line)
    heard.put("")  # nothing more will come


def cut(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " / ".join(text.split("\n"))
    return line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]} …"


def error_in(text: str) -> str:
    """The last line that names an error, of what a program said when it failed; else the last."""
    lines = [line.strip(" |") for line in text.splitlines() if line.strip(" |+-")]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or lines or ["nothing said"])[-1]
