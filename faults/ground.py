"""What the runs stand on: rooms, what is kept of them at the end, and a line that sums up."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from room_mcp.rooms import Room, contract_from
from room_mcp.rooms.names import skeleton
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store

from .history import History, Kept, Reading
from .recording import ENDING_TYPE, Recording, StoreDoor

SHOWN_FINDINGS = 20
WAIT_S = 45.0  # that a reader waits for one message; a server lets him wait no longer than 50
NOT_WOKEN_S = 40.0  # after which he was woken by his own clock; no busy machine takes that long

RULES = contract_from({"terminal": [{"type": ENDING_TYPE}], "guard": {"on": False}})
"""Everybody may say everything, as often as he likes, and end the room."""


@dataclass(slots=True)
class Seen:
    """What a run saw. `kills` and `findings` are filled in by the run."""

    recording: Recording = field(default_factory=Recording)
    kills: int = 0
    findings: list[str] = field(default_factory=list[str])

    def told(self, title: str) -> int:
        """Print the findings and a line of figures; the exit code."""
        for finding in self.findings[:SHOWN_FINDINGS]:
            print(f"FAILED   {finding}")
        if len(self.findings) > SHOWN_FINDINGS:
            print(f"FAILED   and {len(self.findings) - SHOWN_FINDINGS} more")
        history = self.recording.history()
        acknowledged = sum(posting.seq is not None for posting in history.postings)
        figures = {
            "kills": self.kills,
            "acknowledged": acknowledged,
            "retried": self.recording.retried,
            "unknown": len(self.recording.unknown()),
            "read": sum(len(reading.seqs) for reading in history.readings),
            "findings": len(self.findings),
        }
        told = ", ".join(f"{name} {count:,}" for name, count in figures.items())
        told += f"; slowest wake-up {max(waits(history).values(), default=0):.2f} s"
        print(f"{'FAILED' if self.findings else 'ok':<8} {title}: {told}", flush=True)
        return int(bool(self.findings))


def waits(history: History) -> dict[Reading, float]:
    """How long each reader had no answer although the message he waited for was acknowledged."""
    known = {(one.room, one.seq): one.answered for one in history.postings if one.answered}
    told: dict[Reading, float] = {}
    for reading in history.readings:
        if reading.seqs and (since := known.get((reading.room, reading.seqs[0]))):
            told[reading] = reading.answered - max(since, reading.invoked)
    return told


def not_woken(history: History) -> list[str]:
    """Readers who waited to the end of their time for what had come."""
    return [
        f"room {reading.room}: {reading} was answered {wait_s:.0f} s after there was something"
        for reading, wait_s in waits(history).items()
        if wait_s > NOT_WOKEN_S
    ]


async def a_room(store: Store, name: str) -> str:
    """The id of a new room with such rules."""
    room = Room(id=str(uuid.uuid4()), name=name, created_at=datetime.now(UTC), contract=RULES)
    created, _ = await store.create(room)
    return created.id


Place = Path | str
"""Where a store is: its SQLite file, or the address of its database."""


async def check(recording: Recording, place: Place, rooms: Sequence[str]) -> list[str]:
    """What is wrong with the store at a place that nobody writes to any more, and these rooms."""
    authors = {posting.author for posting in recording.history().postings}
    store = open_store(place)
    await store.open()
    if isinstance(place, Path):
        found = [await kept(store, room, kept_keys(place, room, authors)) for room in rooms]
        faults = integrity(place)
    else:
        from . import postgres_rows  # late: asyncpg is an extra

        keys = [await postgres_rows.kept_keys(place, room, authors) for room in rooms]
        found = [await kept(store, *one) for one in zip(rooms, keys, strict=True)]
        faults = await postgres_rows.integrity(place)
    await store.aclose()
    return recording.history(found).findings() + faults


async def kept(store: Store, room_id: str, keys: dict[tuple[str, str], int] | None = None) -> Kept:
    """A whole room, when nobody changes it any more; `keys` as `kept_keys` tells them."""
    messages: list[tuple[int, str]] = []
    door, after = StoreDoor(store), 0
    while page := await door.read(room_id, after):
        messages += page
        after = page[-1][0]
    closing = (await store.room(room_id)).closing
    closed_seq = None if closing is None else closing.seq
    return Kept(room_id, tuple(messages), closed_seq, keys or {})


def kept_keys(path: Path, room_id: str, authors: Collection[str]) -> dict[tuple[str, str], int]:
    """(author, key) → seq in the SQLite file of a store, after everything stopped."""
    names = {skeleton(author): author for author in authors}
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows: list[Any] = db.execute(
            "SELECT sender, key, seq FROM keys JOIN rooms ON no = room_no WHERE id = ?", (room_id,)
        ).fetchall()
    finally:
        db.close()
    return {(names.get(sender, sender), key): seq for sender, key, seq in rows}


def integrity(path: Path) -> list[str]:
    """What SQLite finds wrong in a file; empty: nothing."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows: list[Any] = db.execute("PRAGMA integrity_check").fetchall()
    finally:
        db.close()
    return [f"integrity_check: {line}" for (line,) in rows if line != "ok"]
