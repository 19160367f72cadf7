"""Mixed load on one store for long, with restarts: does anything grow?

    python -m faults.soak [--minutes 30] [--seed N]

Two servers and two processes that have the store open themselves share one file. One of each kind
lives through the whole run, and what it takes is what must be flat; the other is ended and begun
again, by SIGTERM and SIGKILL in turn. Rooms are opened and ended all the time; then they are
deleted, emptied or put away, so that the file need not grow. When a room has ended, its history is
checked.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .flatness import growth, table
from .soaking import LIMITS, Soaking

MINUTES = 30.0
SAMPLE_S = 5.0
SAMPLES = 80  # at least, in a shorter run
RESTART_S = 20.0  # between two restarts
LATE_S = 300.0  # after which a run that should have ended hangs


async def soak(folder: Path, *, seconds: float, seed: int) -> int:
    """One run; the exit code."""
    run = Soaking(
        folder,
        seed=seed,
        seconds=seconds,
        sample_s=min(SAMPLE_S, seconds / SAMPLES),
        restart_s=min(RESTART_S, seconds / 4),
    )
    try:
        async with asyncio.timeout(seconds + LATE_S):
            await run.run()
    except TimeoutError:
        run.findings.append(f"it did not end {LATE_S:.0f} s after it should have")
    finally:
        await run.abandon()
    if run.samples:
        print("\n".join(table(run.samples)))
    run.findings += growth(run.samples, LIMITS)
    return run.told()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    if not Path("/proc/self/fd").exists():
        print("What a process takes is read from /proc, which only Linux has.")
        return 2
    print(f"== soak: {args.minutes:g} minutes; --seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="room-mcp-soak-") as folder:
        return asyncio.run(soak(Path(folder), seconds=args.minutes * 60, seed=args.seed))


if __name__ == "__main__":
    sys.exit(main())
