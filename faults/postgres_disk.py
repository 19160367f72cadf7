"""A full disk under the tables of a database server, which needs a user who may mount.

    python -m faults.postgres_disk [--times 5]

Writers are refused as long as it is full, readers are not; then all go on.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from room_mcp.store.opening import open_store

from .clusters import Cluster, skipped
from .crowd import crowd
from .disk import POSTS, REFUSALS, ROOMS, TIMES, full, read_all
from .ground import Seen, a_room, check
from .postgres_binaries import account
from .recording import StoreDoor

TOLD_S = 10.0  # in which a caller is told, and not left waiting for somebody to make room
DISK_SIZE = "96m"  # three times what the tables of a new server take


@contextmanager
def small_disk(cluster: Cluster) -> Generator[Path | None]:
    """The tables of a server on a small disk, with the server at work; None: none may be mounted
    here. The server does not run afterwards."""
    cluster.stop()
    tables = cluster.folder / "data" / "base"
    moved = tables.with_name("moved")
    tables.rename(moved)
    tables.mkdir()
    options = f"size={DISK_SIZE},mode=700,uid={account().pw_uid},gid={account().pw_gid}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tables)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        subprocess.run(["cp", "--archive", f"{moved}/.", str(tables)], check=True)
        shutil.rmtree(moved)
        cluster.start()
        yield tables
        cluster.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(tables)], check=True)


async def fail_and_go_on(url: str, disk: Path, *, times: int) -> Seen:
    """One run on a database whose tables are on this disk."""
    seen, store = Seen(), open_store(url)
    await store.open()
    rooms = [await a_room(store, f"room {n}") for n in range(ROOMS)]
    door = StoreDoor(store)
    async with crowd(door, seen.recording, rooms) as people:
        for number in range(times):
            await people.more_acknowledged(POSTS)
            with full(disk):
                # The tables have some free pages left.
                began = time.monotonic()
                await people.more_failed(REFUSALS)
                if (took_s := time.monotonic() - began) > TOLD_S:
                    seen.findings.append(f"a full disk was told after {took_s:.0f} s")
                if "is full" not in people.said:
                    seen.findings.append(f"a full disk was told as: {people.said}")
                seen.findings += await read_all(door, seen.recording, rooms, number)
        await people.more_acknowledged(POSTS)
    await store.aclose()
    seen.findings += await check(seen.recording, url, rooms)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_disk", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--times", type=int, default=TIMES)
    args = parser.parse_args(arguments)
    if skipped("disk of PostgreSQL"):
        return 0
    print(f"== disk of PostgreSQL: {args.times} times full", flush=True)
    with Cluster() as cluster:
        url = cluster.database()
        with small_disk(cluster) as disk:
            if disk is None:
                print("skipped  disk of PostgreSQL: nothing may be mounted here", flush=True)
                return 0
            seen = asyncio.run(fail_and_go_on(url, disk, times=args.times))
    return seen.told("disk of PostgreSQL full")


if __name__ == "__main__":
    sys.exit(main())
