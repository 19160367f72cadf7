"""What nodes on PostgreSQL cost those who read: a wake-up from another node, and a long room.

    python -m bench.postgres_reads [--messages 1000000] [--posts 200]

The wake-up is from the call of `act` in one process to the message in the hands of a reader in
another, who waits for it: with the commit in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from room_mcp.rooms import Room
from room_mcp.store.opening import open_store

from . import machine
from .long_files import many, reads
from .posters import ROOM
from .postgres_act import server

PAUSE_S = 0.02  # between two posts: each wakes a reader who sleeps

# Prints when it had each message, as time.monotonic tells it to all processes of a machine.
_READER = """
import asyncio, json, sys, time
from room_mcp.store.opening import open_store

async def main():
    url, room, posts = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = open_store(url)
    await store.open()
    after, seen = 0, {}
    print("ready", flush=True)
    while after < posts:
        async with store.watch([room]) as watch:
            page = await store.read(room, after=after)
            while not page.messages:
                await watch.wait(5)
                page = await store.read(room, after=after)
        now = time.monotonic()
        seen.update({one.seq: now for one in page.messages})
        after = page.last_seq
    print(json.dumps(seen))
    await store.aclose()

asyncio.run(main())
"""


async def wakes(url: str, posts: int) -> None:
    """Post in this process, and let another one wait for it."""
    store = open_store(url)
    await store.open()
    await store.create(Room(id=ROOM, name="bench", created_at=datetime.now(UTC)))
    command = [sys.executable, "-c", _READER, url, ROOM, str(posts)]
    reader = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    await reader.stdout.readline()
    began: dict[int, float] = {}
    for seq in range(1, posts + 1):
        began[seq] = time.monotonic()
        await store.act(ROOM, many(1))
        await asyncio.sleep(PAUSE_S)
    seen = json.loads(await reader.stdout.readline())
    await reader.wait()
    await store.aclose()
    took = sorted((at - began[int(seq)]) * 1e3 for seq, at in seen.items())
    print(
        f"wake across nodes: p50 {took[len(took) // 2]:.1f} ms, "
        f"p99 {took[len(took) * 99 // 100]:.1f} ms, of {len(took)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--posts", type=int, default=200)
    args = parser.parse_args()
    print(machine.describe(Path(tempfile.gettempdir())))
    with server(pinned=False) as (databases, _):
        asyncio.run(wakes(databases.create(), args.posts))
        asyncio.run(reads(args.messages, databases.create()))


if __name__ == "__main__":
    main()
