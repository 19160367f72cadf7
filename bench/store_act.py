"""How fast `store.act` is beside a bare SQLite writer, and how a room's length tells on reads.

    python bench/store_act.py [--folder DIR] [--seconds 2] [--rounds 3] [--messages 1000000]

Trust the ratios, not the figures. "bare" is an apsw writer thread with the same batching, the
same file lock and the same tables: it inserts the message and its idempotency key and sets the
room's counter once per batch. It decides nothing, keeps no room state, indexes no words, looks up
no key and wakes nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import apsw

from room_mcp.rooms import Checked, Draft, Message, Past, Proof, Room, Stamp, Step
from room_mcp.store.interface import IdempotencyKey
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.rows import MESSAGE_COLUMNS, key_of, message_row

ROOM = "3f0c7a52-7f0e-4a52-8f0c-6a4f7a527f0e"
TEXT = (
    "I read the change to the storage layer: the token expiry is never checked on the second "
    "path, and the retry in upload.py line 88 sleeps while it holds the lock. Shall I fix both?"
)

Post = Callable[[str], Awaitable[object]]


def uuid7() -> str:
    """A time-ordered id, as the backend gives to messages."""
    stamp = time.time_ns() // 1_000_000
    bits = stamp << 80 | 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
    return str(uuid.UUID(int=bits))


# ---- the two contestants ------------------------------------------------------------------------


async def store_post(path: Path) -> Post:
    store = open_store(path)
    await store.open()
    proof = Proof(trusted=True)

    async def post(sender: str) -> object:
        draft = Draft(sender, TEXT)
        stamp = Stamp(datetime.now(UTC), (uuid7(), uuid7()))
        key = IdempotencyKey(sender, str(uuid.uuid4()), b"f" * 32)

        def decide(room: Room, past: Past) -> Step:
            prepared = Checked(room.contract)
            return room.post(draft, proof=proof, stamp=stamp, past=past, prepared=prepared)

        return await store.act(ROOM, decide, key=key)

    return post


class BareWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._outbox: list[tuple[asyncio.Future[None], Message, str]] = []
        self._inbox: queue.SimpleQueue[list[tuple[asyncio.Future[None], Message, str]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, daemon=True).start()

    async def post(self, sender: str) -> object:
        message = Message(
            room_id=ROOM,
            seq=0,
            id=uuid7(),
            at=datetime.now(UTC),
            sender=sender,
            sender_type="agent",
            type="note",
            content=TEXT,
        )
        done = self._loop.create_future()
        self._outbox.append((done, message, str(uuid.uuid4())))
        if len(self._outbox) == 1:
            self._loop.call_soon(self._hand_over)
        return await done

    def _hand_over(self) -> None:
        items, self._outbox = self._outbox, []
        self._inbox.put(items)

    def _run(self) -> None:
        db = apsw.Connection(str(self._path))
        db.set_busy_timeout(2_000)
        for pragma in ("synchronous=FULL", "wal_autocheckpoint=0", "cache_size=-16384"):
            db.execute(f"PRAGMA {pragma}")
        lock = os.open(f"{self._path}.lock", os.O_RDWR)
        pages = 0

        def count(_db: apsw.Connection, _name: str, now: int) -> int:
            nonlocal pages
            pages = now
            return apsw.SQLITE_OK

        db.set_wal_hook(count)
        while True:
            items = self._inbox.get()
            fcntl.flock(lock, fcntl.LOCK_EX)
            while not self._inbox.empty():
                items += self._inbox.get()
            self._write(db, items)
            if pages >= 1_000:
                db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            fcntl.flock(lock, fcntl.LOCK_UN)
            self._loop.call_soon_threadsafe(self._resolve, items)

    @staticmethod
    def _write(db: apsw.Connection, items: list[tuple[asyncio.Future[None], Message, str]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        no, seq = db.execute("SELECT no, last_seq FROM rooms WHERE id = ?", (ROOM,)).fetchall()[0]
        rows, keys = [], []
        for _, message, key in items:
            seq += 1
            _, *columns = message_row(no, message)
            rows.append((key_of(no, seq), *columns))
            keys.append((no, message.sender, key, b"f" * 32, seq))
        marks = ",".join("?" * len(rows[0]))
        db.executemany(f"INSERT INTO messages ({MESSAGE_COLUMNS}) VALUES ({marks})", rows)
        db.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", keys)
        db.execute("UPDATE rooms SET last_seq = ? WHERE no = ?", (seq, no))
        db.execute("COMMIT")

    @staticmethod
    def _resolve(items: list[tuple[asyncio.Future[None], Message, str]]) -> None:
        for done, _, _ in items:
            done.set_result(None)


async def bare_post(path: Path) -> Post:
    return BareWriter(path).post


# ---- one process with its callers ---------------------------------------------------------------


async def work(kind: str, path: Path, callers: int, seconds: float) -> None:
    """Say ready, wait for the word, post, print what was done."""
    post = await (store_post if kind == "store" else bare_post)(path)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    end = time.perf_counter() + seconds
    waits: list[float] = []

    async def caller(number: int) -> None:
        sender = f"agent-{number % 8}"
        while (start := time.perf_counter()) < end:
            await post(sender)
            waits.append(time.perf_counter() - start)

    results = await asyncio.gather(*map(caller, range(callers)), return_exceptions=True)
    errors = [repr(one) for one in results if one is not None]
    print(json.dumps({"posts": len(waits), "errors": errors, "waits": sorted(waits)[::10]}))
    sys.stdout.flush()
    os._exit(0)


def run(kind: str, processes: int, callers: int, seconds: float, folder: Path) -> list[dict]:
    """Let fresh processes post into a fresh store, all at once."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "rooms.db"
        asyncio.run(_create(path))
        command = [sys.executable, __file__, "--work", kind, str(path), str(callers), str(seconds)]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for child in children:
            child.stdout.readline()
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        return [json.loads(child.communicate()[0]) for child in children]


async def _create(path: Path) -> None:
    store = open_store(path)
    await store.open()
    await store.create(Room(id=ROOM, name="bench", created_at=datetime.now(UTC)))
    await store.aclose()


# ---- the table ----------------------------------------------------------------------------------


def acts(processes: int, callers: int, seconds: float, rounds: int, folder: Path) -> None:
    rates: dict[str, list[float]] = {"bare": [], "store": []}
    fairness, errors, waits = 1.0, 0, []
    for _ in range(rounds):
        for kind, found in rates.items():
            results = run(kind, processes, callers, seconds, folder)
            posts = [one["posts"] for one in results]
            found.append(sum(posts) / seconds)
            if kind == "store":
                fairness = min(fairness, min(posts) / statistics.mean(posts))
                errors += sum(len(one["errors"]) for one in results)
                waits += [wait for one in results for wait in one["waits"]]
    bare, store = (statistics.median(found) for found in rates.values())
    waits.sort()
    print(
        f"{processes} x {callers:2}  store {store:7,.0f}/s  bare {bare:7,.0f}/s  "
        f"ratio {store / bare:4.0%}  slowest/mean {fairness:.2f}  errors {errors}  "
        f"p50 {waits[len(waits) // 2] * 1e3:.1f} ms  "
        f"p99 {waits[len(waits) * 99 // 100] * 1e3:.1f} ms"
    )


async def reads(messages: int, folder: Path) -> None:
    """The last 50 of a long room against those of a short one."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "rooms.db"
        store = open_store(path)
        await store.open()
        now = datetime.now(UTC)
        for name, count in (("short", 100), ("long", messages)):
            await store.create(Room(id=name, name=name, created_at=now))
            for start in range(0, count, 10_000):
                size = min(10_000, count - start)
                await store.act(name, lambda room, _, size=size: _many(room, size, now))
        times = {name: await _time_reads(store, name) for name in ("short", "long")}
        print(
            f"last 50 of {messages:,}: {times['long'] * 1e6:.0f} us, of 100: "
            f"{times['short'] * 1e6:.0f} us, ratio {times['long'] / times['short']:.2f}"
        )
        await store.aclose()


def _many(room: Room, count: int, at: datetime) -> Step:
    from dataclasses import replace

    messages = tuple(
        Message(room.id, seq, uuid7(), at, "agent", "agent", "note", TEXT)
        for seq in range(room.last_seq + 1, room.last_seq + count + 1)
    )
    return Step(replace(room, last_seq=room.last_seq + count, last_at=at), messages)


async def _time_reads(store: object, name: str) -> float:
    times = []
    for _ in range(500):
        start = time.perf_counter()
        await store.read(name, limit=50)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def fdatasync_s(folder: Path) -> float:
    """The median of a bare 4 KiB write with fdatasync."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        times = []
        for _ in range(100):
            start = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        kind, path, callers, seconds = args.work
        asyncio.run(work(kind, Path(path), int(callers), float(seconds)))
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", args.folder], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"{kind or 'unknown file system'}, fdatasync {fdatasync_s(args.folder) * 1e3:.2f} ms")
    acts(1, 64, args.seconds, args.rounds, args.folder)
    acts(8, 8, args.seconds, args.rounds, args.folder)
    asyncio.run(reads(args.messages, args.folder))


if __name__ == "__main__":
    main()
