"""A database server that is killed again and again, and begun again, under writers and readers.

    python -m faults.postgres_crash [--kills 60] [--seed N]

All its processes get SIGKILL at once, at a moment that the number of posts decides.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .clusters import Cluster, skipped
from .ground import Seen
from .postgres_load import ROOMS, WRITERS, Load, longest_silence

KILLS = 60
POSTS = 400  # between two kills, at most
DEADLINE_S = 1_200  # something hangs; far beyond what a run takes


async def crash(
    cluster: Cluster,
    folder: Path | None,
    *,
    kills: int,
    seed: int,
    posts: int = POSTS,
    rooms: int = ROOMS,
    writers: int = WRITERS,
) -> tuple[Load, Seen]:
    """One run on a new database of a server."""
    chance = random.Random(seed)
    load = Load(cluster.database(), folder, seed=seed, rooms=rooms, writers=writers)

    async def kill_and_begin_again(load: Load) -> None:
        for _ in range(kills):
            await load.recording.more(chance.randint(1, posts))
            await asyncio.to_thread(cluster.kill)
            await asyncio.to_thread(cluster.start)
            load.seen.kills += 1
        await load.recording.more(posts)

    async with asyncio.timeout(DEADLINE_S):
        return load, await load.run(kill_and_begin_again)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_crash", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    if skipped("database killed"):
        return 0
    print(f"== database killed: {args.kills} times; --seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="room-mcp-crash-") as folder, Cluster() as cluster:
        load, seen = asyncio.run(crash(cluster, Path(folder), kills=args.kills, seed=args.seed))
    silence_s = longest_silence(seen.recording.history())
    print(
        f"{'':<8} without keys and left unknown {load.left_unknown:,}; "
        f"longest time without an acknowledged post {silence_s:.1f} s"
    )
    return seen.told("database killed")


if __name__ == "__main__":
    sys.exit(main())
