"""A database server that dies with a standby that takes its place, under writers and readers.

    python -m faults.postgres_failover [--times 3] [--kind killed] [--seed N]

Commits wait for the standby (synchronous_commit, synchronous_standby_names), and the nodes name
both hosts. The primary is killed, or is only silent: it then takes connections and never answers,
as one does whose machine or network is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from .clusters import HOST, Cluster, skipped
from .databases import name_in, with_database
from .ground import Seen
from .postgres_load import ROOMS, WRITERS, Load, longest_silence

TIMES = 3
POSTS = 1_000  # before the end of the primary, and after it
STANDBY = "second"
WAITING = {"synchronous_commit": "on", "synchronous_standby_names": f"'{STANDBY}'"}
DEADLINE_S = 600  # something hangs; far beyond what a run takes
KILLED, SILENT = KINDS = ("killed", "silent")


def of_both(first: Cluster, second: Cluster, database: str) -> str:
    """The address of a database on whichever of two servers is the primary."""
    url = with_database(first.url(), database)
    hosts = f"{HOST}:{first.port},{HOST}:{second.port}"
    return f"{url.replace(f'{HOST}:{first.port}', hosts)}?target_session_attrs=primary"


def silence(cluster: Cluster) -> Callable[[], None]:
    """Have all its processes stop for now; what lets them go on."""
    stopped = [psutil.Process(pid) for pid in cluster.pids()]
    for process in stopped:
        process.suspend()

    def go_on() -> None:
        for process in reversed(stopped):
            process.resume()

    return go_on


async def fail_over(
    folder: Path | None,
    *,
    kind: str,
    seed: int,
    posts: int = POSTS,
    rooms: int = ROOMS,
    writers: int = WRITERS,
    fsync: bool = True,
) -> tuple[Load, Seen]:
    """One run on two servers of its own."""
    thread = asyncio.to_thread
    go_on: list[Callable[[], None]] = []

    async def end_primary(load: Load) -> None:
        await load.recording.more(posts)
        if kind == KILLED:
            await thread(primary.kill)
        else:
            go_on.append(silence(primary))
        await thread(standby.promote)
        await load.recording.more(posts)
        load.seen.kills += 1

    with (
        await thread(Cluster(settings=WAITING, fsync=fsync).__enter__) as primary,
        await thread(primary.standby, STANDBY) as standby,
    ):
        name = name_in(await thread(primary.database))
        url = of_both(primary, standby, name)
        load = Load(url, folder, seed=seed, rooms=rooms, writers=writers)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return load, await load.run(end_primary, direct=standby.url(name))
        finally:
            for resume in go_on:
                resume()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_failover", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    if skipped("failover"):
        return 0
    print(f"== failover: {args.times} times; --seed {args.seed}", flush=True)
    ended = 0
    for kind in args.kind or KINDS:
        for time in range(args.times):
            with tempfile.TemporaryDirectory(prefix="room-mcp-failover-") as folder:
                load, seen = asyncio.run(fail_over(Path(folder), kind=kind, seed=args.seed + time))
            silence_s = longest_silence(seen.recording.history())
            print(
                f"{'':<8} without keys and left unknown {load.left_unknown:,}; "
                f"longest time without an acknowledged post {silence_s:.1f} s"
            )
            ended |= seen.told(f"failover, the primary {kind}")
    return ended


if __name__ == "__main__":
    sys.exit(main())
