"""A writer that is stopped while it holds the lock of the store; others wait for it, but not long.

    python -m faults.stopped [--times 3] [--seconds 10]

The others are told at their deadline that nothing was committed, and go on once it goes on.
Readers notice nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store

from .crowd import CALLERS, Watched, crowd
from .ground import Place, Seen, a_room, check
from .recording import Recording, StoreDoor, read

TIMES = 3
STOPPED_S = 10.0
DEADLINE_S = 0.3  # of the others' posts
POSTS = 40  # between two stops
NOTICED_S = 30.0
LOOK_S = 0.01  # between two looks whether it has stopped


class Impatient:
    """A store whose acts have a short deadline."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def act(self, *args: Any, **options: Any) -> Any:
        return await self._store.act(*args, **options, timeout_s=DEADLINE_S)


class Stopping:
    """The process of `faults.stopping`; what it says goes into the recording."""

    def __init__(self, process: asyncio.subprocess.Process, recording: Recording) -> None:
        self._process = process
        self._recording = recording

    @classmethod
    @asynccontextmanager
    async def started(
        cls, place: Place, room: str, recording: Recording, *more: str
    ) -> AsyncGenerator[Stopping]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.stopping", str(place), room, *more),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            assert process.stdout is not None
            await process.stdout.readline()  # it is open
            yield cls(process, recording)
        finally:
            if process.returncode is None:  # the run failed
                process.kill()
                await process.wait()

    async def stop(self) -> None:
        """Have it post and stop in the midst of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        while not self._is_stopped():  # noqa: ASYNC110 -- the system tells no other way
            await asyncio.sleep(LOOK_S)

    def _is_stopped(self) -> bool:
        options = os.WSTOPPED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def go_on(self) -> None:
        # The stop is taken note of, so that the next one is not taken for it.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG)
        self._process.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """Have it end, and take all that it said."""
        said, _ = await self._process.communicate(b"")  # which closes its input
        for line in said.splitlines():
            self._recording.add_line(line)
        return self._process.returncode or 0


class Scene(NamedTuple):
    """A room in which a crowd talks, and another process that can be stopped in the midst."""

    room: str
    door: StoreDoor
    process: Stopping
    people: Watched


@asynccontextmanager
async def scene(place: Place, recording: Recording, *more: str) -> AsyncGenerator[Scene]:
    """`more` are arguments for the process."""
    async with AsyncExitStack() as stack:
        store = open_store(place)
        await store.open()
        stack.push_async_callback(store.aclose)
        room = await a_room(store, "room")
        door = StoreDoor(Impatient(store))  # type: ignore[arg-type]
        process = await stack.enter_async_context(Stopping.started(place, room, recording, *more))
        people = await stack.enter_async_context(crowd(door, recording, [room]))
        yield Scene(room, door, process, people)


async def stop_and_go_on(folder: Path, *, times: int, seconds: float) -> Seen:
    """One run. It is stopped for so many seconds, and until all others were refused."""
    path, seen = folder / "rooms.db", Seen()
    async with scene(path, seen.recording) as (room, door, process, people):
        for number in range(times):
            await people.more_acknowledged(POSTS)
            async with asyncio.timeout(NOTICED_S):
                await process.stop()
            try:
                acknowledged = people.acknowledged
                await people.more_failed(CALLERS)
                # One may have been let in just before the other had the lock.
                if people.acknowledged > acknowledged + CALLERS:
                    seen.findings.append("others wrote while another process held the lock")
                if "nothing was committed" not in people.said:
                    seen.findings.append(f"a held lock was told as: {people.said}")
                async with asyncio.timeout(NOTICED_S):
                    await read(door, seen.recording, room, f"late reader {number}", 0)
                await asyncio.sleep(seconds)
            finally:
                process.go_on()
        await people.more_acknowledged(POSTS)
        if code := await process.end():
            seen.findings.append(f"the stopped process ended with {code}")
    seen.findings += await check(seen.recording, path, [room])
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.stopped", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--seconds", type=float, default=STOPPED_S)
    args = parser.parse_args(arguments)
    print(f"== stopped: {args.times} times, {args.seconds:g} s each", flush=True)
    with tempfile.TemporaryDirectory(prefix="room-mcp-stopped-") as folder:
        seen = asyncio.run(stop_and_go_on(Path(folder), times=args.times, seconds=args.seconds))
    return seen.told("stopped")


if __name__ == "__main__":
    sys.exit(main())
