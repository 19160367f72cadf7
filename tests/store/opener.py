"""Opens a store when a line comes in, and says its epoch: python opener.py PATH [acting]

With `acting` it then sends an act, leaves a mark, and ends without waiting for either.
"""

from __future__ import annotations

import asyncio
import sys

from store_talk import nothing

from room_mcp.store.interface import Reading
from room_mcp.store.opening import open_store


async def main(path: str) -> None:
    store = open_store(path)
    print("ready", flush=True)
    sys.stdin.readline()
    await store.open()
    print(store.epoch, flush=True)
    if "acting" in sys.argv:
        sys.stdin.readline()
        act = asyncio.ensure_future(store.delete("some room", nothing))
        store.mark_read("some room", "ann", Reading(1, 1))
        await asyncio.wait([act], timeout=0.05)


asyncio.run(main(sys.argv[1]))
