"""Files of a store that vanish under several processes at work, and come back or do not.

    python -m faults.files [--rounds 40] [--seed N]

Each round deletes the WAL, its index, both, or the lock, or takes the database file away for a
while; all of it while writers and readers of several processes are in the midst of things.
"""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from room_mcp.store.opening import open_store

from .crowd import Watched, crowd
from .ground import Seen, a_room, check
from .recording import StoreDoor
from .writers import Child

ROUNDS = 40
ROOMS = 3
OTHERS = 2  # processes that write, beside this one
POSTS = 30  # of this process between two faults
OTHERS_PAUSE_S = 0.005  # between two posts of a caller
DELETIONS = (("-wal",), ("-shm",), ("-wal", "-shm"), (".lock",))


def delete(path: Path, suffixes: Sequence[str]) -> None:
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


async def take_away(path: Path, people: Watched) -> str:
    """Have the database file gone until somebody noticed; what he was told."""
    away = path.with_name(path.name + ".away")
    path.rename(away)
    try:
        await people.more_failed(1)
        return people.said
    finally:
        away.rename(path)


async def vanish(folder: Path, *, rounds: int, seed: int, others: int = OTHERS) -> Seen:
    """One run."""
    path, chance, seen = folder / "rooms.db", random.Random(seed), Seen()
    store = open_store(path)
    await store.open()
    rooms = [await a_room(store, f"room {n}") for n in range(ROOMS)]
    order = {"rooms": rooms, "life": 0, "again": [], "pause_s": OTHERS_PAUSE_S}
    children = [
        await Child.start("write", path, f"other{n}", str(seed), order, seen.recording)
        for n in range(others)
    ]
    for child in children:
        await child.say("ack", 1)  # who opens a store that is not there makes a new one
    ends = [asyncio.create_task(child.end()) for child in children]
    async with crowd(StoreDoor(store), seen.recording, rooms) as people:
        for _ in range(rounds):
            await people.more_acknowledged(chance.randint(1, POSTS))
            which = chance.randrange(len(DELETIONS) + 1)
            if which < len(DELETIONS):
                delete(path, DELETIONS[which])
            elif "was deleted" not in (said := await take_away(path, people)):
                seen.findings.append(f"a deleted file was told as: {said}")
        await people.more_acknowledged(POSTS)
    if any(await asyncio.gather(*ends)):
        seen.findings.append("another process did not end well")
    await store.aclose()
    seen.findings += await check(seen.recording, path, rooms)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.files", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    print(f"== files that vanish: {args.rounds}; --seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="room-mcp-files-") as folder:
        seen = asyncio.run(vanish(Path(folder), rounds=args.rounds, seed=args.seed))
    return seen.told("files that vanish")


if __name__ == "__main__":
    sys.exit(main())
