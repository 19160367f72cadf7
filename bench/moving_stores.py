"""How fast `room-mcp migrate` is, and for how long nobody can write: to PostgreSQL, and back.

    python -m bench.moving_stores [--folder DIR] [--messages 1000000] [--rooms 10000]

The server is one of its own on this machine, which works on the same cores. Trust the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

from faults.clusters import Cluster
from room_mcp.store.migrate.moving import Moved, move

from . import machine
from .long_files import make


def told(what: str, moved: Moved, took_s: float) -> None:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    messages = moved.messages or 0
    print(
        f"{what}: {messages:,} messages in {took_s:.1f} s, {messages / took_s:,.0f}/s; nobody "
        f"could write for {moved.blocked_s:.2f} s; at most {peak_mb:,.0f} MB of memory"
    )


def moves(source: Path, url: str, back: Path) -> None:
    for what, from_, to in (("to PostgreSQL", source, url), ("back", url, back)):
        began = time.monotonic()
        moved = asyncio.run(move(from_, to, progress=lambda done, total: None))
        told(what, moved, time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rooms", type=int, default=10_000)
    args = parser.parse_args()
    print(machine.describe(args.folder))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, Cluster() as cluster:
        source = Path(folder) / "rooms.db"
        asyncio.run(make(source, args.rooms, args.messages))
        moves(source, cluster.databases.create(), Path(folder) / "back.db")


if __name__ == "__main__":
    main()
