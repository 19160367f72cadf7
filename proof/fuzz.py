"""A hundred thousand lines of anything: every request is answered, and the process ends in order.

python -m proof.fuzz [--lines N] [--seed SEED] [--only SESSION]

The lines come in sessions, each with a process, a home and an opening of its own. A session is
wrong when a request is not answered exactly once (unless it was cancelled), when something else
than JSON-RPC comes out, when an answer tells what it should not, is too large, or shows what others
wrote in a way that fools a reader, when the process hangs, leaves early or logs a crash, or when it
keeps growing. What was written to a process that did wrong is kept below `.proof/fuzz`, to be fed
to `room-mcp` again. In some sessions another process fills the rooms with hostile texts meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

from .fuzz_lines import HANDSHAKE_VERSIONS, SHORT_WAIT_S, Lines, encoded, handshake, request
from .ground import CACHE, ROOM_MCP, ROOT, Report, a_home, env_of
from .hostile_author import ROOM_NAMES
from .hostile_texts import problems_of

LINES = 100_000
SESSION_LINES = 1_000
LONG_SESSION_LINES = 10_000  # in which shows what grows with each line
LONG_SESSIONS = 2  # the first ones, one of each era
AT_ONCE = 3  # sessions; in each, one side waits for the other most of the time
PROBE_EVERY = 100  # lines; what was asked before has to be answered by then
PATIENCE_S = 60.0  # without the answer is a hang, however busy the machine is
GARBAGE_FIRST = 50  # lines before an opening that comes late
HALVED = 0.01  # of the lines come in halves, with nothing left to answer in between
KIB = 1024
MOST_SHOWN = 5  # problems of one session
# In the second half of a session: a few lines of some MiB each leave that much unused behind, with
# or without leaks; 5,000 lines of a long session have to do with no more.
MAX_GROWTH_KIB = 64 * KIB
HAS_PROC = Path("/proc/self/status").exists()
# A message of 64 KiB that is all escapes, as JSON inside of JSON.
MAX_ANSWER_BYTES = 1024 * KIB
LONG_WAIT_S = 600  # how long waits block, so that only cancels and closed rooms end them
SECRET = "fuzz-key-that-nobody-may-see"

# The SDK's reader takes about 200 levels; beyond, a line is none to it, and nobody answers.
SURE_LEVELS = 100
LONGEST_NUMBER = 4_300  # digits; beyond, neither Python nor the SDK reads a number

# As `room-mcp`, with signs of life so often that odd progress tokens matter.
LIVELY = """\
import sys
from room_mcp.bridge import waiting
waiting.PROGRESS_EVERY_S = 0.2  # before anything else takes it over
from room_mcp.cli import main
sys.exit(main([]))
"""

NOTES = (
    "notifications/progress",
    "notifications/message",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/subscriptions/acknowledged",
)


@dataclass(frozen=True)
class Opening:
    """How a connection begins, and the request that always has a result on it afterwards."""

    name: str
    era: str
    probe: str = "tools/list"
    garbage: int = 0
    handshake: str = ""  # the version that it asks for
    initialized: bool = True
    command: Sequence[str] = ROOM_MCP
    hostile: bool = False  # other members of the rooms are


OPENINGS = (
    Opening("handshake", "legacy", handshake=HANDSHAKE_VERSIONS[0]),
    Opening("discovery", "modern"),
    Opening("garbage, then handshake", "legacy", garbage=GARBAGE_FIRST, handshake="2025-06-18"),
    Opening("garbage, then discovery", "modern", garbage=GARBAGE_FIRST),
    Opening("no handshake", "legacy", probe="ping"),
    Opening("handshake without its end", "legacy", handshake="2024-11-05", initialized=False),
    Opening("handshake of no version", "legacy", handshake="1999-01-01"),
    Opening("discovery, lively", "modern", command=(sys.executable, "-c", LIVELY)),
    Opening("handshake, hostile peers", "legacy", handshake="2025-11-25", hostile=True),
    Opening("discovery, hostile peers", "modern", hostile=True),
)


# ---- what was asked, and what was answered ------------------------------------------------------


class Ledger:
    """Which lines have to be answered, which may be, and which were.

    It reads both sides with the standard library alone, so that it does not share the opinion of
    the SDK on what a request is.
    """

    def __init__(self, hidden: Sequence[str]) -> None:
        self._hidden = hidden
        self._sure: Counter[str] = Counter()  # by id as JSON: 7 is not "7"
        self._unsure: Counter[str] = Counter()
        self._blocking: Counter[str] = Counter()
        self._cancels: Counter[str] = Counter()
        self._answers: Counter[str] = Counter()
        self._asked: set[str] = set()  # as a cancel would name them
        self._results: set[str] = set()
        self._owed: dict[str, bytes] = {}
        self.answered = 0
        self.noted = 0
        self.problems: list[str] = []

    def sent(self, raw: bytes) -> None:
        """Take down what a write asks for; it holds whole lines."""
        for line in re.split(rb"\r\n|\r|\n", raw):  # where text readers end a line
            if line.strip():
                self._sent_line(line)

    def _sent_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        try:
            message = json.loads(text, parse_int=_number)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return
        if message["method"] == "notifications/cancelled":
            params = message.get("params")
            cancelled = _correlated(params.get("requestId") if isinstance(params, dict) else None)
            self._cancels[cancelled] += cancelled in self._asked  # else it has nothing to cancel
        if not _is_id(message.get("id")):
            return
        key = json.dumps(message["id"])
        self._asked.add(_correlated(message["id"]))
        if not _surely_a_request(line, message):
            self._unsure[key] += 1
            return
        self._sure[key] += 1
        if _may_block(message):
            self._blocking[key] += 1
        self._owed[key] = line

    def came(self, line: bytes) -> None:
        """Take down a line of its stdout, and what is wrong with it."""
        try:
            message = json.loads(line.decode(), parse_constant=_no_number, parse_int=_number)
        except ValueError as error:
            return self._wrong(f"not JSON in UTF-8 ({error})", line)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return self._wrong("not JSON-RPC", line)
        # An error may repeat what was asked, however long that is.
        if len(line) > MAX_ANSWER_BYTES and "result" in message:
            self._wrong(f"it has {len(line)} bytes", line)
        for problem in problems_of(message.get("result")):
            self._wrong(problem, line)
        for word in self._hidden:
            if word in line.decode():
                self._wrong(f"{word!r} came out", line)
        if "method" in message:
            self.noted += 1
            if "id" in message or message["method"] not in NOTES:
                self._wrong("neither an answer nor a known notification", line)
            return None
        return self._came_answer(message, line)

    def _came_answer(self, message: dict[str, Any], line: bytes) -> None:
        error = message.get("error")
        if ("result" in message) == ("error" in message):
            return self._wrong("neither a result nor an error", line)
        if error is not None and not (
            isinstance(error, dict)
            and isinstance(error.get("code"), int)
            and isinstance(error.get("message"), str)
        ):
            return self._wrong("an error without code and message", line)
        if message.get("id", "") is None and error is not None:
            return None  # what JSON-RPC says to a line that it cannot read
        self.answered += 1
        key = json.dumps(message.get("id"))
        self._answers[key] += 1
        if "result" in message:
            self._results.add(key)
        if self._answers[key] > self._sure[key] + self._unsure[key]:
            self._wrong("answered without being asked, or once too often", line)
        return None

    def has_result(self, id: str) -> bool:
        return json.dumps(id) in self._results

    def has_answer(self, id: str) -> bool:
        return bool(self._answers[json.dumps(id)])

    @property
    def owed(self) -> list[bytes]:
        """The requests that have to be answered and were not; what may block is left out."""
        self._owed = {key: line for key, line in self._owed.items() if self._is_owed(key)}
        return list(self._owed.values())

    def _is_owed(self, key: str) -> bool:
        excused = self._blocking[key] + self._cancels[_correlated(json.loads(key))]
        return self._answers[key] < self._sure[key] - excused

    def _wrong(self, what: str, line: bytes) -> None:
        self.problems.append(f"{what}: {line[:300]!r}")


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _correlated(id: Any) -> str:
    """What a cancel's id is compared by: to the SDK, "7" and 7 are one request."""
    try:
        return repr(int(id)) if _is_id(id) else ""
    except ValueError:
        return repr(id)


def _number(digits: str) -> float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.inf


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _surely_a_request(line: bytes, message: Mapping[str, Any]) -> bool:
    """Whether nobody could take the line for anything but a request.

    The SDK takes some lines for none and stays silent, as it does for lone surrogates, numbers
    without end and many levels; JSON-RPC would have it answer with the id null.
    """
    try:
        json.loads(line.decode(), parse_constant=_no_number, object_pairs_hook=_no_twins)
        json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return (
        message.get("jsonrpc") == "2.0"
        and isinstance(message.get("params", {}), dict)
        and not {"result", "error"} & message.keys()
        and _levels(line) <= SURE_LEVELS
    )


def _no_twins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, when no member comes twice: readers differ on which of them counts."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member comes twice")
    return found


def _levels(line: bytes) -> int:
    """The number of levels, or more when strings hold brackets."""
    return line.count(b"{") + line.count(b"[")


def _may_block(message: Mapping[str, Any]) -> bool:
    """Whether a request may rightfully be left unanswered for long."""
    if message["method"] == "subscriptions/listen":
        return True
    params = message.get("params", {})
    if message["method"] != "tools/call":
        return False
    arguments = params.get("arguments")
    given: dict[str, Any] = arguments if isinstance(arguments, dict) else {}
    match params.get("name"):
        case "wait_for_messages":
            return json.dumps(given.get("timeout_s")) != str(SHORT_WAIT_S)  # true is not 1
        case "send_message":
            return "wait" in given
        case _:
            return False


# ---- one process --------------------------------------------------------------------------------


@dataclass
class Seen:
    """What one session showed; sizes are those of the resident process, 0 where unknown."""

    problems: list[str] = field(default_factory=list)
    lines: int = 0
    answers: int = 0
    notes: int = 0
    seconds: float = 0.0
    half_kib: int = 0
    end_kib: int = 0
    peak_kib: int = 0

    @property
    def growth_kib(self) -> int:
        """How much larger it was at the end than after half of the lines."""
        return self.end_kib - self.half_kib


class Stuck(Exception):
    """The process did not do in time what it had to; the text says what."""


class Session:
    """One process, what is written to it, and what comes back meanwhile."""

    def __init__(self, process: Process, ledger: Ledger, patience_s: float) -> None:
        self._process = process
        self._ledger = ledger
        self._patience_s = patience_s
        self._news = anyio.Event()
        self._closed = False
        self._probes = 0
        self.written: list[bytes] = []

    async def read(self) -> None:
        """Take down all that comes out, until the process closes its stdout."""
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._ledger.came(line)
            self._tell()
        if rest:
            self._ledger.came(rest)
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def write(self, *pieces: bytes) -> None:
        """Write lines in one piece or in several."""
        self._ledger.sent(b"".join(pieces))
        for piece in pieces:
            await self._send(piece)

    async def _send(self, piece: bytes) -> None:
        assert self._process.stdin is not None
        self.written.append(piece)
        try:
            with anyio.fail_after(self._patience_s):
                await self._process.stdin.send(piece)
        except TimeoutError:
            raise Stuck("it does not read its stdin any more") from None
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            raise Stuck("it closed its stdin before the end") from None

    async def until(self, holds: Callable[[], bool], what: Callable[[], str]) -> None:
        """Sleep until this holds.

        Raises:
            Stuck: It does not hold after all our patience, or cannot any more.
        """
        with anyio.move_on_after(self._patience_s):
            while not holds():
                if self._ledger.problems:
                    raise Stuck("nothing more was asked")
                if self._closed:
                    raise Stuck(f"it closed its stdout before {what()}")
                await self._news.wait()
        if not holds():
            raise Stuck(f"it hangs before {what()}")

    async def nothing_owed(self) -> None:
        await self.until(
            lambda: not self._ledger.owed, lambda: f"the answer to {self._ledger.owed[0][:300]!r}"
        )

    async def probe(self, opening: Opening) -> None:
        """Ask something plain, and wait until it is answered with a result."""
        self._probes += 1
        id = f"probe {self._probes}"
        await self.write(encoded(request(opening.era, id, opening.probe)))
        await self.until(lambda: self._ledger.has_answer(id), lambda: f"an answer to {id!r}")
        if not self._ledger.has_result(id):
            raise Stuck(f"{id!r}, a plain {opening.probe}, was refused")

    async def open(self, opening: Opening, lines: Lines) -> None:
        for _ in range(opening.garbage):
            await self.write(lines.no_message())
        if opening.handshake:
            await self.write(encoded(handshake("hello", version=opening.handshake)))
            if opening.initialized:
                done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
                await self.write(encoded(done))
        else:
            # The first request decides on the era, and what comes next may be of the other one.
            first = "server/discover" if opening.era == "modern" else opening.probe
            await self.write(encoded(request(opening.era, "hello", first)))
        await self.nothing_owed()

    async def talk(self, opening: Opening, lines: Lines, count: int) -> None:
        """Write so many lines, with a probe now and then."""
        for number in range(1, count + 1):
            if lines.chance(HALVED):
                await self._write_halves(*lines.halves())
            else:
                await self.write(*lines.pieces())
            if number % PROBE_EVERY == 0:
                await self.probe(opening)
        await self.probe(opening)
        await self.nothing_owed()

    async def _write_halves(self, first: bytes, rest: bytes) -> None:
        """Write half a line, and the rest when all that was asked before it is answered."""
        await self._send(first)
        await self.nothing_owed()
        self._ledger.sent(first + rest)
        await self._send(rest)

    async def end(self, half: bytes) -> int:
        """Write half a line, close its stdin, and wait for it to leave. Its exit code."""
        assert self._process.stdin is not None
        if half:
            await self._send(half)
        await self._process.stdin.aclose()
        try:
            with anyio.fail_after(self._patience_s):
                return await self._process.wait()
        except TimeoutError:
            raise Stuck("it did not leave after the end of its stdin") from None


async def session(
    opening: Opening,
    seed: str,
    count: int,
    home: Path,
    *,
    command: Sequence[str] = (),
    patience_s: float = PATIENCE_S,
) -> tuple[Seen, bytes]:
    """Open a connection, write so many lines, and close it.

    Args:
        command: Another program than the opening's.

    Returns:
        What it showed, and all that was written.
    """
    seen = Seen(lines=count)
    ledger = Ledger(("Traceback", "site-packages", str(ROOT), str(home), SECRET))
    began = time.monotonic()
    with (home / "stderr").open("w+b") as errors:
        process = await anyio.open_process(
            command or opening.command,
            stdin=subprocess.PIPE,
            stderr=errors,
            cwd=home,
            env={
                **env_of(home / ".room-mcp"),
                "HOME": str(home),  # else room-mcp had a reason to name the folder
                "ROOM_MCP_KEY": SECRET,
                "ROOM_MCP_MAX_WAIT": str(LONG_WAIT_S),
            },
        )
        host = Session(process, ledger, patience_s)
        async with process, anyio.create_task_group() as tasks:
            tasks.start_soon(host.read)
            try:
                await _through(host, process.pid, opening, seed, home, seen)
            except Stuck as error:
                seen.problems.append(str(error))
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        errors.seek(0)
        logged = errors.read().decode("utf-8", "replace")
    seen.seconds = time.monotonic() - began
    seen.answers, seen.notes = ledger.answered, ledger.noted
    seen.problems += [*ledger.problems, *crashes(logged)]
    return seen, b"".join(host.written)


async def _through(
    host: Session, pid: int, opening: Opening, seed: str, home: Path, seen: Seen
) -> None:
    """From the first line to the exit code."""
    lines = Lines(seed, opening.era, ROOM_NAMES if opening.hostile else ())
    if opening.hostile:
        async with _hostile_author(home, seed):
            pass
    await host.open(opening, lines)
    await host.talk(opening, lines, seen.lines // 2)
    seen.half_kib, _ = resident_kib(pid)
    meanwhile = (
        _hostile_author(home, f"{seed} again") if opening.hostile else contextlib.nullcontext()
    )
    async with meanwhile:
        await host.talk(opening, lines, seen.lines - seen.lines // 2)
    seen.end_kib, seen.peak_kib = resident_kib(pid)
    if seen.growth_kib > MAX_GROWTH_KIB:
        seen.problems.append(f"it grew by {seen.growth_kib} KiB in its second half")
    code = await host.end(lines.halves()[0] if lines.chance(0.5) else b"")
    if code:
        seen.problems.append(f"it left with the code {code}")


@contextlib.asynccontextmanager
async def _hostile_author(home: Path, seed: str) -> AsyncGenerator[None]:
    """Another process fills the rooms of this home, and is done when the block ends."""
    async with await anyio.open_process(
        [sys.executable, "-m", "proof.hostile_author", seed],
        stdin=subprocess.DEVNULL,
        stdout=None,
        stderr=None,
        cwd=ROOT,
        env={**env_of(home / ".room-mcp"), "HOME": str(home)},
    ) as author:
        yield
        if await author.wait():
            raise Stuck("the hostile author failed")


def crashes(logged: str) -> list[str]:
    """What its stderr says that it should not, each kind once.

    The SDK warns of params that it drops, and logs a traceback for some of what it answers with an
    error, such as a prompt that does not exist. That is its own business, unless it went through
    code of ours: what a host sends must not make that raise anything but a refusal.
    """
    found: dict[str, None] = {}
    # A record begins with its logger, in lower case; an exception's name has capitals.
    for record in re.split(r"^(?=[a-z0-9_.]+: )", logged, flags=re.M):
        if not record.strip():
            continue
        ours = re.findall(rf'File "{re.escape(str(ROOT / "src"))}/(.*)', record)
        raised = re.findall(r"^ *([\w.]*[A-Z]\w*(?:: .*)?)$", record, flags=re.M)
        if ours or not record.startswith("mcp."):
            place = f" at {ours[0]}" if ours else ""
            found[f"logged {(raised or record.splitlines())[0][:200]}{place}"] = None
    return list(found)


def resident_kib(pid: int) -> tuple[int, int]:
    """KiB resident now and at most so far; zeros where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    now, most = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmRSS", "VmHWM"))
    return int(now[1]) if now else 0, int(most[1]) if most else 0


# ---- all of them --------------------------------------------------------------------------------


def planned(lines: int) -> Iterator[tuple[Opening, int]]:
    """The sessions that make up so many lines: two long ones, then short ones of every kind."""
    numbers = itertools.count()
    while lines > 0:
        number = next(numbers)
        count = min(lines, LONG_SESSION_LINES if number < LONG_SESSIONS else SESSION_LINES)
        yield OPENINGS[number % len(OPENINGS)], count
        lines -= count


async def run(lines: int, seed: int, only: int | None) -> int:
    """Run the sessions, some at a time, and say how each went. The exit code."""
    report = Report(f"{lines} lines on stdin, seed {seed}")
    began = time.monotonic()
    every: list[Seen] = []
    at_once = anyio.CapacityLimiter(AT_ONCE)

    async def one(number: int, opening: Opening, count: int) -> None:
        async with at_once:
            with a_home() as home:
                seen, written = await session(opening, f"{seed}/{number}", count, home)
        every.append(seen)
        what = (
            f"session {number} ({opening.name}): {seen.lines} lines, {seen.answers} answers, "
            f"{seen.seconds:.1f} s, {seen.growth_kib / KIB:+.1f} MiB in its second half"
        )
        if not report.check(not seen.problems, what, "; ".join(seen.problems[:MOST_SHOWN])):
            kept = CACHE / "fuzz" / f"{seed}-{number}.lines"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(written)

    async with anyio.create_task_group() as tasks:
        for number, (opening, count) in enumerate(planned(lines)):
            if only in (None, number):
                tasks.start_soon(one, number, opening, count)
    if HAS_PROC:
        largest = max((seen.peak_kib for seen in every), default=0) / KIB
        most_grown = max((seen.growth_kib for seen in every), default=0) / KIB
        report.ok(f"{largest:.0f} MiB at the largest, grown by {most_grown:.1f} MiB at most")
    else:
        report.skip("memory", "there is no /proc here that tells of it")
    answers, notes = sum(seen.answers for seen in every), sum(seen.notes for seen in every)
    took_s = time.monotonic() - began
    report.ok(f"{answers} answers and {notes} notifications in {took_s:.0f} s")
    return report.end()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz")
    parser.add_argument("--lines", type=int, default=LINES, help="how many, in all sessions")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--only", type=int, metavar="SESSION", help="one session of that run")
    given = parser.parse_args(arguments)
    seed = random.randrange(10**9) if given.seed is None else given.seed
    return anyio.run(run, given.lines, seed, given.only)


if __name__ == "__main__":
    sys.exit(main())
