"""Opens a store in many processes at once: python opening_peers.py FILE PROCESSES

Each says that it opens it, and then the store's epoch.
"""

from __future__ import annotations

import asyncio
import os
import sys

from room_mcp.store.opening import open_store


async def opening(path: str) -> None:
    store = open_store(path)
    os.write(1, b"opening\n")
    await store.open()
    os.write(1, f"{store.epoch}\n".encode())
    await store.aclose()


def main(path: str, processes: int) -> int:
    for _ in range(processes):
        if os.fork() == 0:  # quicker than new processes, which had to import everything again
            asyncio.run(opening(path))
            os._exit(0)
    return sum(os.wait()[1] != 0 for _ in range(processes))


sys.exit(main(sys.argv[1], int(sys.argv[2])))
