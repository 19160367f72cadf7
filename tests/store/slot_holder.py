"""Takes all slots and keeps them until it is killed: python slot_holder.py PATH LIMIT"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from store_talk import NOON

from room_mcp.store.opening import open_store


async def main(path: str, limit: int) -> None:
    store = open_store(path)
    await store.open()
    until = NOON + timedelta(minutes=1)
    got = await store.take_slots(
        "ann", "waits", "holder", limit=limit, opened=0, needed=limit, at=NOON, until=until
    )
    print(got, flush=True)
    sys.stdin.readline()
    await store.aclose()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
