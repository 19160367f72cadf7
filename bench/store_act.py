"""How fast `Store.act` is beside a bare SQLite writer.

    python -m bench.store_act [--folder DIR] [--seconds 2] [--rounds 3] [--slow-ms 1]

One process with 64 callers, and eight with eight each, on the disk as it is and on one whose syncs
take longer. Trust the ratios of one run, not the figures. `bench.posters` says who runs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from . import machine
from .posters import make_room, run

KINDS = ("store", "guarded", "bare", "thin")
SHAPES = ((1, 64), (8, 8))  # processes, callers in each


def fresh_run(
    kind: str, processes: int, callers: int, seconds: float, folder: Path, delay_s: float
) -> list[dict]:
    """One run on a fresh store."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = str(Path(place) / "rooms.db")
        asyncio.run(make_room(path))
        return run(
            kind, path, processes=processes, callers=callers, seconds=seconds, delay_s=delay_s
        )


def compare(
    processes: int, callers: int, seconds: float, rounds: int, folder: Path, delay_s: float
) -> None:
    """One row for each contestant, the medians of all rounds."""
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    waits: dict[str, list[float]] = {kind: [] for kind in KINDS}
    errors: list[str] = []
    for _ in range(rounds):
        for kind in KINDS:
            results = fresh_run(kind, processes, callers, seconds, folder, delay_s)
            posts = [one["posts"] for one in results]
            rates[kind].append(sum(posts) / seconds)
            shares[kind].append(min(posts) / statistics.mean(posts))
            waits[kind] += [wait for one in results for wait in one["waits"]]
            errors += [error for one in results for error in one["errors"]]
    bare = statistics.median(rates["bare"])
    disk = f"syncs {delay_s * 1e3:g} ms longer" if delay_s else "the disk as it is"
    print(f"\n{processes} processes x {callers} callers, {disk}")
    for kind in KINDS:
        rate, took = statistics.median(rates[kind]), sorted(waits[kind])
        print(
            f"  {kind:8} {rate:8,.0f}/s  {rate / bare:5.0%} of bare   "
            f"slowest process {min(shares[kind]):.2f} of the mean   "
            f"p50 {took[len(took) // 2] * 1e3:5.1f} ms  "
            f"p99 {took[len(took) * 99 // 100] * 1e3:6.1f} ms"
        )
    if errors:
        print(f"  {len(errors)} errors, such as {errors[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-ms", type=float, default=1)
    args = parser.parse_args()
    print(machine.describe(args.folder))
    for delay_s in (0, args.slow_ms / 1e3):
        for processes, callers in SHAPES:
            compare(processes, callers, args.seconds, args.rounds, args.folder, delay_s)


if __name__ == "__main__":
    main()
