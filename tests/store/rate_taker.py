"""Takes of a rate at noon until nothing is left, and says how much it got:
python rate_taker.py PATH BURST"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from store_talk import NOON

from room_mcp.store.limiting import Rate
from room_mcp.store.opening import open_store


async def main(path: str, burst: int) -> None:
    store = open_store(path)
    await store.open()
    rate = Rate(burst, timedelta(milliseconds=50))
    print("ready", flush=True)
    sys.stdin.readline()
    got = 0
    while taken := (await store.take("ann", "posts", rate, needed=1, at=NOON)).number:
        got += taken
    print(got, flush=True)
    await store.aclose()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
