"""A node that is stopped while it holds a room of the database; others go on without it.

    python -m faults.postgres_stopped [--times 3] [--seconds 10]

The others wait for the room, or are told at their deadline that nothing was committed. Then the
server gives the silent transaction up, and the room is free. Readers notice nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from .clusters import Cluster, skipped
from .crowd import CALLERS
from .ground import Seen, check
from .recording import read
from .stopped import NOTICED_S, POSTS, STOPPED_S, TIMES, scene

READ_S = 4.0  # for one page, while nobody can write; less than a server gives such a room up after


async def stop_and_go_on(
    url: str, *, times: int, seconds: float, idle_ms: int | None = None
) -> tuple[Seen, float]:
    """One run. It is stopped for so many seconds, and until the others go on; how long that took
    at most.

    Args:
        idle_ms: After how long the server gives its transaction up, if not as usual.
    """
    seen, longest_s = Seen(), 0.0
    begun = scene(url, seen.recording, str(idle_ms or ""))
    async with begun as (room, door, process, people):
        for number in range(times):
            await people.more_acknowledged(POSTS)
            async with asyncio.timeout(NOTICED_S):
                await process.stop()
            began = time.monotonic()
            try:
                async with asyncio.timeout(READ_S):
                    await read(door, seen.recording, room, f"late reader {number}", 0)
                # What was on its way when it stopped may be told yet; one more is not.
                await people.more_acknowledged(CALLERS + 1)
                longest_s = max(longest_s, time.monotonic() - began)
                await asyncio.sleep(began + seconds - time.monotonic())
            finally:
                process.go_on()
            await people.more_acknowledged(POSTS)
        if code := await process.end():
            seen.findings.append(f"the stopped process ended with {code}")
    seen.findings += await check(seen.recording, url, [room])
    return seen, longest_s


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_stopped", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--seconds", type=float, default=STOPPED_S)
    args = parser.parse_args(arguments)
    if skipped("stopped on PostgreSQL"):
        return 0
    print(f"== stopped on PostgreSQL: {args.times} times, {args.seconds:g} s each", flush=True)
    with Cluster() as cluster:
        run = stop_and_go_on(cluster.database(), times=args.times, seconds=args.seconds)
        seen, longest_s = asyncio.run(run)
    print(f"{'':<8} the others went on after {longest_s:.1f} s at most")
    return seen.told("stopped on PostgreSQL")


if __name__ == "__main__":
    sys.exit(main())
