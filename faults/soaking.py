"""One soak: the processes, the rooms that come and go, and the samples of what they take."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections import Counter, deque
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from room_mcp.failures import BackendError, BackendRefused
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.check import check
from room_mcp.store.sqlite.transactions import MAX_WAL_PAGES

from .bystanders import PASSING, Bystander, follow_stream
from .embedded import Embedded
from .flatness import Limit, Sample
from .ground import SHOWN_FINDINGS, integrity, kept, kept_keys, not_woken, waits
from .history import Kept
from .recording import ENDING_TYPE, RETRY_S, Call, Recording, post
from .servers import Server, free_port
from .visiting import visit

MIB = 1024**2
PAGE_BYTES = 4096
ROOMS = 3  # open at once
ROOM_S = 30.0  # that a room is open
PUT_AWAY = 8  # rooms that are kept after their end; then the oldest goes
PURGED, ARCHIVED, DELETED, KEPT = FATES = ("purged", "archived", "deleted", "kept")
LOGGED_CHARS = 2_000  # of what a server logged when something went wrong there
KILLED, ASKED = signal.SIGKILL, signal.SIGTERM

MEMORY = Limit(share=0.10, slack=2)  # MiB; the heap of a process breathes
FILES = Limit(slack=4)  # connections come and go
THREADS = Limit(slack=1)  # pools have one more or less at a time
LIMITS: Mapping[str, Limit] = {
    "serve MiB": MEMORY,
    "serve files": FILES,
    "serve threads": THREADS,
    "writer MiB": MEMORY,
    "writer files": FILES,
    "writer threads": THREADS,
    "WAL MiB": Limit(slack=4, ceiling=MAX_WAL_PAGES * PAGE_BYTES / MIB),
    "store MiB": Limit(share=0.25, slack=2),
}


class Soaking:
    """One run. `findings` holds what went wrong, `samples` what the long-lived processes took.

    Args:
        room_s: Seconds that a room is open.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        seconds: float,
        sample_s: float,
        restart_s: float,
        room_s: float = ROOM_S,
    ) -> None:
        self._path = folder / "rooms.db"
        self._seconds = seconds
        self._sample_s = sample_s
        self._restart_s = restart_s
        self._room_s = room_s
        self._chance = random.Random(seed)
        self._recordings: dict[str, Recording] = {}  # of rooms that are not checked yet
        self._owner_keys: dict[str, str] = {}
        self._away: deque[tuple[str, Kept | None]] = deque()  # None: it was emptied
        self._numbers = count()
        self._wake_ms = 0.0  # of 95 in 100 readings in the room that ended last
        self._log = (folder / "serve.log").open("ab")
        self._servers = [Server(self._path, free_port(), log=self._log.fileno()) for _ in range(2)]
        self._writers = [
            Embedded(self._path, name, self._recordings) for name in ("steady", "restarted")
        ]
        self._over = asyncio.Event()
        self._began = 0.0
        self._acknowledged = 0
        self.findings: list[str] = []
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        store = open_store(self._path)
        await store.open()
        await asyncio.gather(*(one.start() for one in (*self._servers, *self._writers)))
        quiet = await self._opened("quiet")
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as others:
            standing = [Bystander(server, self._names, quiet) for server in self._servers]
            passing = [others.create_task(one.stand_by()) for one in standing]
            passing += [others.create_task(self._sample())]
            restarting = others.create_task(self._restart())
            async with asyncio.TaskGroup() as rooms:
                for number in range(ROOMS):
                    rooms.create_task(self._rooms(store, number * self._room_s / ROOMS))
                await asyncio.sleep(self._seconds)
                self._over.set()
            await restarting
            for task in passing:
                task.cancel()
        for one in standing:
            self.counts["acts of bystanders"] += one.done
            odd = sorted(one.refused.keys() - PASSING)
            self.findings += [f"a bystander was refused with {code}" for code in odd]
        await self._unchanged(store)
        await self._stop(store)

    async def abandon(self) -> None:
        """End what a run that broke off left behind."""
        for writer in self._writers:
            writer.kill()
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                await server.kill()

    def told(self) -> int:
        """Print the findings and a line of figures; the exit code."""
        for finding in self.findings[:SHOWN_FINDINGS]:
            print(f"FAILED   {finding}")
        if len(self.findings) > SHOWN_FINDINGS:
            print(f"FAILED   and {len(self.findings) - SHOWN_FINDINGS} more")
        told = ", ".join(f"{name} {number:,}" for name, number in sorted(self.counts.items()))
        print(f"{'FAILED' if self.findings else 'ok':<8} soak: {told}", flush=True)
        return int(bool(self.findings))

    # ---- rooms ----------------------------------------------------------------------------------

    async def _rooms(self, store: Store, begin_s: float) -> None:
        """One room after the other, until it is over."""
        await self._pause(begin_s)
        while not self._over.is_set():
            number = next(self._numbers)
            room = await self._opened(f"room {number}")
            await self._room(store, room)
            try:
                await self._put_away(room, FATES[number % len(FATES)])
            except BackendError as error:
                self.findings.append(f"room {room} could not be put away: {error}")

    async def _opened(self, name: str) -> str:
        """A new room with such rules; a server that is too busy is asked again."""
        rules = {"terminal": [{"type": ENDING_TYPE}]}
        while True:
            try:
                created = await self._servers[0].client.create_room(
                    name, contract=rules, guard=False
                )
            except BackendRefused:
                raise
            except BackendError:
                await asyncio.sleep(RETRY_S)
                continue
            self.counts["rooms"] += 1
            self._owner_keys[created.id] = created.owner_key or ""
            return created.id

    async def _room(self, store: Store, room: str) -> None:
        """Let all visit it, end it, and check what happened in it."""
        recording = self._recordings[room] = Recording(self._count)
        for writer in self._writers:
            writer.visit(room)
        async with asyncio.TaskGroup() as visitors:
            for number, server in enumerate(self._servers):
                visitors.create_task(visit(server.door, recording, room, f"serve{number}"))
                chance = random.Random(self._chance.random())
                name = f"stream{number}"
                visitors.create_task(follow_stream(server, recording, room, name, chance))
            await self._pause(self._room_s)
            end = Call(room, "owner", "end", f"owner ends {room}", ends=True)
            await post(self._servers[0].door, recording, end)
        for writer in self._writers:
            await writer.left(room)
        authors = {one.author for one in recording.history().postings}
        self._away.append((room, await kept(store, room, kept_keys(self._path, room, authors))))
        history = recording.history([one for _, one in self._away if one and one.room == room])
        self.findings += history.findings() + not_woken(history)
        waited = sorted(waits(history).values())
        self._wake_ms = waited[len(waited) * 95 // 100] * 1000 if waited else 0
        self.counts["retried"] += recording.retried
        self.counts["unknown"] += len(recording.unknown())
        self.counts["read"] += sum(len(reading.seqs) for reading in history.readings)
        del self._recordings[room]

    async def _put_away(self, room: str, fate: str) -> None:
        client, owner_key = self._servers[0].client, self._owner_keys[room]
        was = next(one for one in self._away if one[0] == room)
        if fate == PURGED:
            self._away[self._away.index(was)] = (room, None)
            await client.purge_room(room, owner_key=owner_key)
        elif fate == ARCHIVED:
            await client.archive_room(room, owner_key=owner_key)
        elif fate == DELETED:
            self._away.remove(was)
            await client.delete_room(room, owner_key=owner_key)
        self.counts[fate] += 1
        while len(self._away) > PUT_AWAY:
            oldest, _ = self._away.popleft()
            await client.delete_room(oldest, owner_key=self._owner_keys.pop(oldest))
            self.counts[DELETED] += 1

    async def _unchanged(self, store: Store) -> None:
        """What was put away is what it was when it ended."""
        for room, was in self._away:
            if was and (await kept(store, room)).messages != was.messages:
                self.findings.append(f"room {room} changed after its end")

    def _names(self) -> list[str]:
        return [*self._recordings, *(room for room, _ in self._away)]

    def _count(self, line: str) -> None:
        self._acknowledged += line.startswith('["ack"')

    async def _pause(self, seconds: float) -> None:
        """So long, or until it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    # ---- processes ------------------------------------------------------------------------------

    async def _restart(self) -> None:
        """End a writer and a server in turn, each by either signal in turn, and begin it again."""
        for number in count():
            await self._pause(self._restart_s)
            if self._over.is_set():
                return
            how = (ASKED, KILLED)[number // 2 % 2]
            code = await (self._end_server if number % 2 else self._end_writer)(how)
            if how is ASKED and code:
                self.findings.append(f"a process ended with {code} when it was asked to")
            self.counts["restarts"] += 1

    async def _end_server(self, how: signal.Signals) -> int:
        server, code = self._servers[1], 0
        if how is ASKED:
            code = await server.terminate()
        else:
            await server.kill()
        await server.start()
        return code

    async def _end_writer(self, how: signal.Signals) -> int:
        code = await self._writers[1].end(how)
        await self._writers[1].start()
        return code

    async def _stop(self, store: Store) -> None:
        """End all that runs, and check the file."""
        codes = [await server.stop() for server in self._servers]
        codes += [await writer.end() for writer in self._writers]
        await store.aclose()
        self._log.close()
        logged = (self._path.parent / "serve.log").read_text(errors="replace")
        self.findings += [logged[at:][:LOGGED_CHARS] for at in _tracebacks(logged)]
        self.findings += [f"a process ended with {code} at the end" for code in codes if code]
        self.findings += integrity(self._path)
        self.findings += [str(fault) for fault in check(self._path)]
        self.counts["acknowledged"] = self._all_acknowledged()

    def _all_acknowledged(self) -> int:
        return self._acknowledged + sum(writer.acknowledged for writer in self._writers)

    # ---- samples --------------------------------------------------------------------------------

    async def _sample(self) -> None:
        """Until cancelled."""
        before = 0
        while True:
            await asyncio.sleep(self._sample_s)
            acknowledged = self._all_acknowledged()
            figures = {
                **taken("serve", self._servers[0].pid),
                **taken("writer", self._writers[0].pid),
                "WAL MiB": size_mib(self._path.with_name(f"{self._path.name}-wal")),
                "store MiB": size_mib(self._path),
                "posts/s": (acknowledged - before) / self._sample_s,
                "wake-up ms": self._wake_ms,
            }
            before = acknowledged
            self.samples.append(Sample(time.monotonic() - self._began, figures))


def _tracebacks(logged: str) -> list[int]:
    """Where they begin, in what a server logged."""
    return [found.start() for found in re.finditer(r"^Traceback", logged, re.MULTILINE)]


def taken(name: str, pid: int) -> dict[str, float]:
    """Resident memory, open files and threads of a process."""
    place = Path("/proc") / str(pid)
    told = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return {
        f"{name} MiB": int(told["VmRSS"].split()[0]) / 1024,
        f"{name} files": len(os.listdir(place / "fd")),
        f"{name} threads": int(told["Threads"]),
    }


def size_mib(file: Path) -> float:
    return file.stat().st_size / MIB if file.exists() else 0
