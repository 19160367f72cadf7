"""Posts at once when a line comes in, and says the number of each message that was not refused:
python racer.py PATH ROOM_ID COUNT"""

from __future__ import annotations

import asyncio
import sys

from store_talk import says

from room_mcp.rooms.refusals import BudgetSpent
from room_mcp.store.opening import open_store


async def main(path: str, room_id: str, count: int) -> None:
    store = open_store(path)
    await store.open()

    async def post() -> None:
        try:
            done = await store.act(room_id, says("hello"))
        except BudgetSpent:
            return
        print(done.messages[0].seq)

    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(post() for _ in range(count)))
    await store.aclose()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
