"""Posts into a room and says what was acknowledged: python poster.py PATH ROOM_ID NAME COUNT

Four callers post COUNT messages each, every message under a key of its own. Begun again after a
kill it sends everything again; what was stored the first time is answered from its key.
"""

from __future__ import annotations

import asyncio
import sys

from store_talk import key, says

from room_mcp.store.opening import open_store

CALLERS = 4


async def main(path: str, room_id: str, name: str, count: int) -> None:
    store = open_store(path)
    await store.open()

    async def call(sender: str) -> None:
        for number in range(count):
            text = f"{sender} {number}"
            act = says(text, sender)
            done = await store.act(room_id, act, key=key(text, sender=sender))
            print(done.messages[0].seq, text, flush=True)

    await asyncio.gather(*(call(f"{name}-{caller}") for caller in range(CALLERS)))
    await store.aclose()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
