"""A clock that jumps and stands still, under a server with limits and callers at work.

    python -m faults.clocks [--rounds 3] [--postgres]

Numbers, keys and limits do not mind: nobody is locked out, and the times of a room never go back.
The server's clock is handed in; the clock of the machine is left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from room_mcp.backend.app import create_app
from room_mcp.backend.limiting import Limits
from room_mcp.client import RoomsClient
from room_mcp.settings import Settings
from room_mcp.store.interface import MAX_PAGE_MESSAGES, Store
from room_mcp.store.sqlite.store import SqliteStore

from .clusters import Cluster, skipped
from .crowd import crowd
from .ground import Place, Seen, a_room, check
from .recording import ClientDoor

ROUNDS = 3
ROOMS = 2
POSTS = 40  # after each jump
POSTS_PER_S = 400  # what one address may do; five seconds' worth at once
READS_PER_S = 1_000
WAITS = 12  # of one address at once; the readers need a part of them
HOUR, YEARS = timedelta(hours=1), timedelta(days=3_652)
JUMPS = (HOUR, -HOUR, YEARS, -YEARS, -HOUR, HOUR, -YEARS, YEARS)


class Clock:
    """The time, shifted; or standing still."""

    def __init__(self) -> None:
        self.shift = timedelta()
        self._stands_at: datetime | None = None

    def __call__(self) -> datetime:
        return self._stands_at or datetime.now(UTC) + self.shift

    def stand(self) -> None:
        self._stands_at = self()

    def run(self) -> None:
        self._stands_at = None


async def jump_about(
    folder: Path,
    *,
    jumps: Sequence[timedelta],
    rounds: int,
    posts: int = POSTS,
    database: str | None = None,
) -> Seen:
    """One run, on a file in the folder or on an empty database."""
    place: Place = database or folder / "rooms.db"
    seen, clock = Seen(), Clock()
    store = store_at(place, clock)
    settings = Settings(
        folder, str(place), posts_per_s=POSTS_PER_S, reads_per_s=READS_PER_S, waits=WAITS
    )
    limits = Limits.of(settings, requires_key=False)
    app = create_app(store, settings, clock=clock, limits=limits)
    async with app.router.lifespan_context(app):
        rooms = [await a_room(store, f"room {n}") for n in range(ROOMS)]
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        client = RoomsClient("http://127.0.0.1", transport=transport, retry_for_s=1)
        async with crowd(ClientDoor(client), seen.recording, rooms) as people:
            await people.more_acknowledged(posts)
            for jump in [*jumps] * rounds:
                clock.shift += jump
                await people.more_acknowledged(posts)
            clock.shift += HOUR  # earns a whole burst: nothing is earned while it stands
            clock.stand()
            await people.more_acknowledged(posts)
            clock.run()
            await people.more_acknowledged(posts)
        for room in rooms:
            seen.findings += await times(store, room)
    seen.findings += await check(seen.recording, place, rooms)
    return seen


def store_at(place: Place, clock: Clock) -> Store:
    if isinstance(place, Path):
        return SqliteStore(place, clock=clock)
    from room_mcp.store.postgres import PostgresStore  # late: asyncpg is an extra

    return PostgresStore(place, clock=clock)


async def times(store: Store, room: str) -> list[str]:
    """What is wrong with the times of a room."""
    last, after = datetime.min.replace(tzinfo=UTC), 0
    while page := (await store.read(room, after=after, limit=MAX_PAGE_MESSAGES)).messages:
        for message in page:
            if message.at < last:
                return [f"room {room}: the time goes back at #{message.seq}"]
            last, after = message.at, message.seq
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.clocks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--postgres", action="store_true", help="on a server of its own")
    args = parser.parse_args(arguments)
    if args.postgres and skipped("clocks on PostgreSQL"):
        return 0
    print(f"== clocks: {args.rounds} rounds of {len(JUMPS)} jumps", flush=True)
    with ExitStack() as ground:
        folder = ground.enter_context(tempfile.TemporaryDirectory(prefix="room-mcp-clocks-"))
        database = ground.enter_context(Cluster()).database() if args.postgres else None
        seen = asyncio.run(
            jump_about(Path(folder), jumps=JUMPS, rounds=args.rounds, database=database)
        )
    return seen.told("clocks on PostgreSQL" if args.postgres else "clocks")


if __name__ == "__main__":
    sys.exit(main())
