"""Waits in a room behind its second message, until the store is restored: PATH ROOM_ID

Says its epoch, then how the wait ended and what the room holds; posts when told to go on.
"""

from __future__ import annotations

import asyncio
import os
import sys

os.environ["ROOM_MCP_STORE"] = sys.argv[1]

from room_mcp.compose import open_client
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings


async def main(room_id: str) -> None:
    async with open_client(Settings.from_env()) as client:
        page = await client.messages(room_id, after=0)
        waiting = asyncio.create_task(client.messages(room_id, after=2, wait_s=40))
        print(page.epoch, flush=True)
        try:
            found = str(await waiting)
        except BackendRefused as refusal:
            facts = refusal.facts
            found = f"{refusal.code} {facts['lastSeq']} {facts['epoch']}"
        page = await client.messages(room_id, after=0)
        print(found, [one.content for one in page.messages], flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await client.post(room_id, "ann", "anew")


asyncio.run(main(sys.argv[2]))
