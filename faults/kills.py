"""Kills writers and servers at random moments, and checks that nothing is lost.

    python -m faults.kills [--kills 200] [--servers 60] [--seed N] [--postgres]

`--kills` counts all; `--servers` of them are of `room-mcp serve`, the rest of writers on the file.
Everything is decided by the seed and by how many answers came, nothing by time; but how far the
others are at that moment is the machine's affair, so a seed finds a place again, not a run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .clusters import Cluster, skipped
from .servers import Servers
from .writers import Writers

KILLS = 200
SERVER_KILLS = 60
ROOMS = 6
DEADLINE_S = 1_200  # something hangs; far beyond what a run takes


async def kill(
    kills: int, servers: int, seed: int, database: Callable[[], str] | None = None
) -> int:
    """Both runs, each on a file or a database of its own; the exit code."""
    ended = 0
    with tempfile.TemporaryDirectory(prefix="room-mcp-kills-") as folder:
        for title, kind, count in (
            ("writers", Writers, kills - servers),
            ("serve", Servers, servers),
        ):
            place = Path(folder) / title
            place.mkdir()
            store = database() if database is not None else None
            run = kind(place, seed=seed, kills=count, rooms=ROOMS, store=store)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await run.run()
            except TimeoutError:
                run.seen.findings.append(f"it did not end within {DEADLINE_S} s")
            ended |= run.seen.told(title if database is None else f"{title} on PostgreSQL")
    return ended


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--servers", type=int, default=SERVER_KILLS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--postgres", action="store_true", help="on a server of its own")
    args = parser.parse_args(arguments)
    if args.postgres and skipped("kills on PostgreSQL"):
        return 0
    print(f"== kills: {args.kills}, of serve {args.servers}; --seed {args.seed}", flush=True)
    if not args.postgres:
        return asyncio.run(kill(args.kills, args.servers, args.seed))
    with Cluster() as cluster:
        return asyncio.run(kill(args.kills, args.servers, args.seed, cluster.database))


if __name__ == "__main__":
    sys.exit(main())
