"""Posts into a room until the store takes nothing any more: python steady_poster.py STORE ROOM NAME

Says what was acknowledged, and last why it was refused.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from store_talk import key, says

from room_mcp.store.interface import StoreError
from room_mcp.store.opening import open_store


async def main(target: str, room_id: str, name: str) -> None:
    store = open_store(target)
    await store.open()
    for number in count():
        text = f"{name} {number}"
        try:
            done = await store.act(room_id, says(text, name), key=key(text, sender=name))
        except StoreError as error:
            print(error.detail, flush=True)
            break
        print(done.messages[0].seq, text, flush=True)
    await store.aclose()


asyncio.run(main(*sys.argv[1:]))
