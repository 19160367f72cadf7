"""The life of a store whose power will go: what is posted, and what is told to the outside."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from room_mcp.rooms import Room, Step
from room_mcp.store.auditing import Entry
from room_mcp.store.interface import Reading, Store
from room_mcp.store.limiting import Rate
from room_mcp.store.opening import open_store

from .recorded_disk import Disk, Event, Marked, recorded_disk, write_files
from .recording import Call, Recording, StoreDoor, post

STORE = "rooms.db"
ROOMS = 5
CALLERS = (1, 2, 4, 8, 24)  # who post at once, and share a commit
CLOSING_AT = 0.6  # of the load, then one of the rooms ends
COUNTED_BESIDE = 0.3  # of the rounds have a count in the same transaction
RATE = Rate(1_000_000, timedelta(seconds=1))


class RoomMark(NamedTuple):
    """`what`: begun, opened, deleting, deleted."""

    what: str
    room: str


@dataclass(slots=True)
class Outside:
    """What was known outside the store at one moment."""

    recording: Recording = field(default_factory=Recording)
    begun: set[str] = field(default_factory=set[str])
    opened: set[str] = field(default_factory=set[str])
    deleting: set[str] = field(default_factory=set[str])
    deleted: set[str] = field(default_factory=set[str])

    @classmethod
    def until(cls, events: Iterable[Event]) -> Outside:
        outside = cls()
        for event in events:
            match event:
                case Marked(RoomMark(what, room)):
                    getattr(outside, what).add(room)
                case Marked(str(line)):
                    outside.recording.add_line(line)
                case _:
                    pass
        return outside


class Load:
    """Posts into several rooms, in rounds; the posts of a round share commits.

    Between the rounds are transactions that the store does not sync by themselves (reading marks,
    refusals, counts), rooms that are deleted, which empties the WAL, and the end of one room.
    """

    def __init__(self, store: Store, mark: Callable[[object], None], chance: random.Random) -> None:
        self._store = store
        self._mark = mark
        self._chance = chance
        self._door = StoreDoor(store)
        self._recording = Recording(mark)
        self._rooms: list[str] = []
        self._posts = 0

    async def run(self, posts: int) -> None:
        self._rooms = [await self._open_room(f"room {n}") for n in range(ROOMS)]
        is_closed = False
        while self._posts < posts:
            works = [self._post(f"agent {n}") for n in range(self._chance.choice(CALLERS))]
            if self._chance.random() < COUNTED_BESIDE:
                works.append(self._count())
            if not is_closed and self._posts > posts * CLOSING_AT:
                is_closed = True
                works.append(self._post("owner", room=self._rooms[0], ends=True))
            await asyncio.gather(*works)
            await self._besides()

    async def _post(self, author: str, *, room: str = "", ends: bool = False) -> None:
        self._posts += 1
        room = room or self._chance.choice(self._rooms)
        text = f"{self._posts} " + "the words of a message " * self._chance.randrange(40)
        call = Call(room, author, f"k{self._posts}", text, ends)
        await post(self._door, self._recording, call)

    async def _besides(self) -> None:
        """What is committed without a sync, by itself or with the next posts."""
        match self._chance.randrange(60):
            case 0:
                await self._delete_a_room()
            case draw if draw < 12:
                entry = Entry(datetime.now(UTC), "post", "muted", self._rooms[1], "agent 1")
                self._store.note_refusal(entry)
            case draw if draw < 24:
                reading = Reading(shown_to=self._posts)
                self._store.mark_read(self._chance.choice(self._rooms), "agent 1", reading)
            case draw if draw < 36:
                await self._count()
            case _:
                pass

    async def _count(self) -> None:
        subject = f"caller {self._chance.randrange(50)}"
        await self._store.take(subject, "posts", RATE, needed=1, at=datetime.now(UTC))

    async def _open_room(self, name: str) -> str:
        id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        self._mark(RoomMark("begun", id))
        await self._store.create(Room(id=id, name=name, created_at=datetime.now(UTC)))
        self._mark(RoomMark("opened", id))
        return id

    async def _delete_a_room(self) -> None:
        room = await self._open_room("soon gone")
        self._mark(RoomMark("deleting", room))
        await self._store.delete(room, lambda room, _: Step(room))
        self._mark(RoomMark("deleted", room))


def record_life(folder: Path, posts: int, chance: random.Random) -> list[Event]:
    """A store's whole life on a disk that remembers it."""

    async def live() -> None:
        store = open_store(folder / STORE)
        await store.open()
        await Load(store, disk.mark, chance).run(posts)
        await store.aclose()

    with recorded_disk() as disk:
        asyncio.run(live())
    return disk.events


def record_second_life(folder: Path, before: list[Event]) -> list[Event]:
    """All events, when after these every process was killed, and the power went a little later.

    The kernel kept what was written, whether it was synced or not: the store that opens the file
    sees it. Whoever got no answer asks again, and gets one.
    """
    write_files(folder, Disk(before).cached())
    outside = Outside.until(before)

    async def live() -> int:
        store = open_store(folder / STORE)
        await store.open()
        recording = Recording(disk.mark)
        for call in outside.recording.unknown():
            await post(StoreDoor(store), recording, call)
        end = len(disk.events)
        await store.aclose()  # which syncs: what it does comes after the cut
        return end

    with recorded_disk(before) as disk:
        end = asyncio.run(live())
    return disk.events[:end]
