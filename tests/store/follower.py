"""Follows a room and says each seq that it sees: python follower.py PATH ROOM_ID LAST_SEQ"""

from __future__ import annotations

import asyncio
import sys

from room_mcp.store.opening import open_store


async def main(path: str, room_id: str, last_seq: int) -> None:
    store = open_store(path)
    await store.open()
    seen = 0
    async with store.watch([room_id]) as watch:
        print("watching", flush=True)
        while seen < last_seq:
            page = await store.read(room_id, after=seen)
            for message in page.messages:
                print(message.seq, flush=True)
                seen = message.seq
            if not page.messages and not await watch.wait(5):
                return
    await store.aclose()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
