"""The contestants of `bench.store_act` and `bench.postgres_act`: processes that post into one
room, as fast as they can.

    python -m bench.posters KIND STORE CALLERS SECONDS DELAY_S

- `store` and `guarded` are `Store.act`, with the guard off and on.
- `bare` is a thread with apsw that runs the statements of `Store.act` with the same batching and
  the same file lock, on texts that were made beforehand: it decides nothing but the numbers.
- `thin` is the same with less: it writes messages, keys and the room's counter, looks up no key,
  keeps no state of the room and indexes no words.
- `bare-postgres` is `bare` for a database: an asyncpg connection in the same event loop.

Each says "ready", waits for a line, posts for the time, and prints what it did as JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvloop

from room_mcp.compose import COLLECT_AFTER
from room_mcp.rooms import (
    Checked,
    Draft,
    Member,
    Message,
    Past,
    Proof,
    Room,
    Stamp,
    Step,
    checked,
)
from room_mcp.store.codec import micros, state_from, to_json
from room_mcp.store.interface import IdempotencyKey
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.connection import Database, connect_writer
from room_mcp.store.sqlite.rows import (
    MESSAGE_COLUMNS,
    insert,
    key_of,
    message_row,
    rows_matching,
)
from room_mcp.store.sqlite.signals import NotifyFile
from room_mcp.store.sqlite.transactions import CHECKPOINT_PAGES
from room_mcp.store.tokens import content_tokens

from .slow_disk import slow_disk

ROOM = "3f0c7a52-7f0e-4a52-8f0c-6a4f7a527f0e"
SENDERS = 8
FINGERPRINT = b"f" * 32
TEXT = (
    "I read the change to the storage layer: the token expiry is never checked on the second "
    "path, and the retry in upload.py line 88 sleeps while it holds the lock. Shall I fix both?"
)

Post = Callable[[str], Awaitable[object]]


def new_id() -> str:
    """A time-ordered id of the form that messages have; quicker made than one for use."""
    return f"{time.time_ns():016x}{random.getrandbits(80):020x}"


def new_key() -> str:
    return f"{random.getrandbits(128):032x}"


async def store_post(target: str, *, guarded: bool) -> Post:
    store = open_store(target)
    await store.open()
    proof = Proof(trusted=True)
    contract = (await store.room(ROOM)).contract

    async def post(sender: str) -> object:
        text = f"{TEXT} ({random.getrandbits(20)})" if guarded else TEXT
        draft = Draft(sender, text)
        stamp = Stamp(datetime.now(UTC), (new_id(), new_id()))
        key = IdempotencyKey(sender, new_key(), FINGERPRINT)
        prepared = checked(contract, draft) if guarded else Checked(contract)

        def decide(room: Room, past: Past) -> Step:
            return room.post(draft, proof=proof, stamp=stamp, past=past, prepared=prepared)

        return await store.act(ROOM, decide, key=key)

    return post


# ---- without rules ------------------------------------------------------------------------------

Item = tuple[asyncio.Future[None], Message, str]


class BareWriter:
    """Takes messages in an event loop, and writes all that came together in one transaction."""

    def __init__(self, path: Path, *, thin: bool) -> None:
        self._path = path
        self._thin = thin
        self._rev = 0
        self._loop = asyncio.get_running_loop()
        self._outbox: list[Item] = []
        self._inbox: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def post(self, sender: str) -> object:
        message = Message(
            room_id=ROOM,
            seq=0,
            id=new_id(),
            at=datetime.now(UTC),
            sender=sender,
            sender_type="agent",
            type="note",
            content=TEXT,
        )
        done = self._loop.create_future()
        self._outbox.append((done, message, new_key()))
        if len(self._outbox) == 1:
            self._loop.call_soon(self._hand_over)
        return await done

    def _hand_over(self) -> None:
        items, self._outbox = self._outbox, []
        self._inbox.put(items)

    def _run(self) -> None:
        db = connect_writer(self._path)
        notify = NotifyFile(self._path)
        lock = os.open(f"{self._path}.lock", os.O_RDWR)
        pages = 0

        def count(now: int) -> None:
            nonlocal pages
            pages = now

        db.on_commit(count)
        checkpointed = 0
        while True:
            items = self._inbox.get()
            fcntl.flock(lock, fcntl.LOCK_EX)
            while not self._inbox.empty():
                items += self._inbox.get()
            (self._write_thin if self._thin else self._write)(db, items)
            notify.touch()
            checkpointed = 0 if pages < checkpointed else checkpointed
            if pages - checkpointed >= CHECKPOINT_PAGES:
                db.checkpoint(emptying=False)
                checkpointed = pages
            fcntl.flock(lock, fcntl.LOCK_UN)
            self._loop.call_soon_threadsafe(self._resolve, items)

    def _write(self, db: Database, items: list[Item]) -> None:
        db.run("BEGIN IMMEDIATE")
        rev = 1 + int(
            db.rows("SELECT coalesce(max(rev), 0), (SELECT value FROM meta) FROM rooms")[0][0]
        )
        ((no, last_rev, seq),) = db.rows(
            "SELECT no, rev, last_seq FROM rooms"
            " WHERE id IN (SELECT value FROM json_each(?)) AND lifecycle <> 'deleted'",
            (to_json([ROOM]),),
        )
        if last_rev != self._rev:  # somebody else wrote: a store would read the state anew
            db.row(
                "SELECT state, source FROM rooms LEFT JOIN contracts ON room_no = no WHERE no = ?",
                (no,),
            )
        rows_matching(
            db,
            "SELECT k.room_no, k.sender, k.key, k.fingerprint, k.seq FROM",
            [(no, message.sender, key) for _, message, key in items],
            "AS wanted JOIN keys AS k ON k.room_no = wanted.column1"
            " AND k.sender = wanted.column2 AND k.key = wanted.column3",
        )
        rows, keys = _rows(no, seq, items)
        insert(db, f"messages ({MESSAGE_COLUMNS})", rows)
        insert(db, "words (rowid, tokens)", [(row[0], _WORDS) for row in rows])
        insert(db, "keys (room_no, sender, key, fingerprint, seq)", keys)
        db.run(
            "UPDATE rooms SET rev = ?, last_seq = ?, updated_at = ?, state = ? WHERE no = ?",
            (rev, seq + len(items), micros(datetime.now(UTC)), _STATE, no),
        )
        db.run("COMMIT")
        self._rev = rev

    @staticmethod
    def _write_thin(db: Database, items: list[Item]) -> None:
        db.run("BEGIN IMMEDIATE")
        ((no, seq),) = db.rows("SELECT no, last_seq FROM rooms WHERE id = ?", (ROOM,))
        rows, keys = _rows(no, seq, items)
        insert(db, f"messages ({MESSAGE_COLUMNS})", rows)
        insert(db, "keys (room_no, sender, key, fingerprint, seq)", keys)
        db.run("UPDATE rooms SET last_seq = ? WHERE no = ?", (seq + len(items), no))
        db.run("COMMIT")

    @staticmethod
    def _resolve(items: list[Item]) -> None:
        for done, _, _ in items:
            done.set_result(None)


def _rows(no: int, seq: int, items: list[Item]) -> tuple[list[tuple], list[tuple]]:
    """The rows of these messages behind `seq`, and those of their keys."""
    numbered = list(enumerate(items, seq + 1))
    rows = [(key_of(no, at), *message_row(no, message)[1:]) for at, (_, message, _) in numbered]
    keys = [(no, message.sender, key, FINGERPRINT, at) for at, (_, message, key) in numbered]
    return rows, keys


def _state() -> str:
    now = datetime.now(UTC)
    names = [f"agent-{number}" for number in range(SENDERS)]
    members = {name: Member(name, "agent", now, 0) for name in names}
    return state_from(Room(id=ROOM, name="bench", created_at=now, members=members))


_STATE = _state()
_WORDS = " ".join(content_tokens(TEXT))


async def bare_post(target: str, *, thin: bool) -> Post:
    return BareWriter(Path(target), thin=thin).post


async def bare_postgres_post(target: str) -> Post:
    from .bare_postgres import BarePostgres

    bare = BarePostgres(state=_STATE, words=_WORDS)
    await bare.open(target)
    return bare.post


POSTERS: dict[str, Callable[[str], Awaitable[Post]]] = {
    "store": partial(store_post, guarded=False),
    "guarded": partial(store_post, guarded=True),
    "bare": partial(bare_post, thin=False),
    "thin": partial(bare_post, thin=True),
    "bare-postgres": bare_postgres_post,
}


# ---- from outside -------------------------------------------------------------------------------


async def make_room(target: str) -> None:
    """The room that all post into."""
    store = open_store(target)
    await store.open()
    await store.create(Room(id=ROOM, name="bench", created_at=datetime.now(UTC)))
    await store.aclose()


def run(
    kind: str,
    target: str,
    *,
    processes: int,
    callers: int,
    seconds: float,
    delay_s: float = 0,
    cores: Collection[int] = (),
) -> list[dict]:
    """Let fresh processes post, all at once.

    Args:
        cores: Those that they have; by default all.

    Returns:
        What each did.
    """
    command = [sys.executable, "-m", "bench.posters", kind, target]
    command += [str(callers), str(seconds), str(delay_s)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for child in children:
        os.sched_setaffinity(child.pid, cores or os.sched_getaffinity(0))
        child.stdout.readline()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    return [json.loads(child.communicate()[0]) for child in children]


# ---- one process with its callers ---------------------------------------------------------------


async def work(kind: str, target: str, callers: int, seconds: float) -> None:
    post = await POSTERS[kind](target)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    end = time.perf_counter() + seconds
    waits: list[float] = []

    async def caller(number: int) -> None:
        sender = f"agent-{number % SENDERS}"
        while (start := time.perf_counter()) < end:
            await post(sender)
            waits.append(time.perf_counter() - start)

    results = await asyncio.gather(*map(caller, range(callers)), return_exceptions=True)
    errors = [repr(one) for one in results if one is not None]
    print(json.dumps({"posts": len(waits), "errors": errors, "waits": sorted(waits)[::10]}))
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    kind, target, callers, seconds, delay_s = sys.argv[1:]
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)  # loop and thresholds are those of `serve`
    with (
        slow_disk(float(delay_s)) if float(delay_s) else nullcontext(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(work(kind, target, int(callers), float(seconds)))


if __name__ == "__main__":
    main()
