"""What the length of a room, and the size of the file, cost.

    python -m bench.long_files [--folder DIR] [--messages 1000000] [--rooms 10000]

Reads the last 50 messages of a long room and of a short one, and opens a large file and an empty
one, each in a process of its own. Trust the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from room_mcp.rooms import Message, Past, Room, Step
from room_mcp.rooms.copying import changed
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store

from . import machine
from .posters import TEXT, new_id

PAGE = 50
SHORT = 100  # messages of the short room
READS = 500
OPENINGS = 15
AT_ONCE = 10_000  # messages in one act, to fill a file soon

# Opens the store in argv[1] and prints how long that took, in seconds.
_OPENING = """
import asyncio, sys, time
from pathlib import Path
from room_mcp.store.opening import open_store
import room_mcp.store.sqlite  # is there before the clock starts

async def main():
    store = open_store(Path(sys.argv[1]))
    began = time.perf_counter()
    await store.open()
    print(time.perf_counter() - began)
    await store.aclose()

asyncio.run(main())
"""


def many(count: int) -> Callable[[Room, Past], Step]:
    """An act that adds so many messages at once, past all rules."""

    def decide(room: Room, _: Past) -> Step:
        at = datetime.now(UTC)
        messages = tuple(
            Message(room.id, seq, new_id(), at, "agent", "agent", "note", TEXT)
            for seq in range(room.last_seq + 1, room.last_seq + count + 1)
        )
        return Step(changed(room, last_seq=room.last_seq + count, last_at=at), messages)

    return decide


async def fill(store: Store, room_id: str, count: int) -> None:
    await store.create(Room(id=room_id, name=room_id, created_at=datetime.now(UTC)))
    for start in range(0, count, AT_ONCE):
        await store.act(room_id, many(min(AT_ONCE, count - start)), timeout_s=600)


async def reads(messages: int, target: str | Path) -> None:
    """Fill a store with a long room and a short one, and read the end of both in turn."""
    store = open_store(target)
    await store.open()
    await fill(store, "short", SHORT)
    await fill(store, "long", messages)
    times: dict[str, list[float]] = {"short": [], "long": []}
    for _ in range(READS):
        for name, took in times.items():
            began = time.perf_counter()
            await store.read(name, limit=PAGE)
            took.append(time.perf_counter() - began)
    await store.aclose()
    short, long = (statistics.median(times[name]) * 1e6 for name in ("short", "long"))
    print(
        f"last {PAGE} of {messages:,}: {long:.0f} us; of {SHORT}: {short:.0f} us; "
        f"ratio {long / short:.2f}"
    )


async def make(path: Path, rooms: int, messages: int) -> None:
    store = open_store(path)
    await store.open()
    for number in range(rooms):
        await fill(store, f"room-{number}", messages // rooms)
    await store.aclose()


def openings(rooms: int, messages: int, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        paths = {name: Path(place) / f"{name}.db" for name in ("empty", "large")}
        asyncio.run(make(paths["empty"], 0, 0))
        asyncio.run(make(paths["large"], rooms, messages))
        size_mb = paths["large"].stat().st_size / 1e6
        times: dict[str, list[float]] = {"empty": [], "large": []}
        for _ in range(OPENINGS):
            for name, took in times.items():
                command = [sys.executable, "-c", _OPENING, str(paths[name])]
                took.append(float(subprocess.check_output(command)))
    empty, large = (statistics.median(times[name]) * 1e3 for name in ("empty", "large"))
    print(
        f"opening {rooms:,} rooms with {messages:,} messages ({size_mb:,.0f} MB): {large:.1f} ms; "
        f"an empty file: {empty:.1f} ms; ratio {large / empty:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rooms", type=int, default=10_000)
    args = parser.parse_args()
    print(machine.describe(args.folder))
    openings(args.rooms, args.messages, args.folder)
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        asyncio.run(reads(args.messages, Path(place) / "rooms.db"))


if __name__ == "__main__":
    main()
