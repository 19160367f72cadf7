"""Moves a store and stops for ever in one of its passes: python mover.py SOURCE TARGET PASS"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from room_mcp.store.migrate.moving import move

passes = count(1)


def stop(done: int, total: int) -> None:
    if next(passes) == int(sys.argv[3]):
        print("here", flush=True)
        sys.stdin.read()


asyncio.run(move(sys.argv[1], sys.argv[2], progress=stop))
