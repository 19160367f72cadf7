"""Uses a store, or a server, as whatever version it is run with: python version_peer.py TARGET

Each line that comes in is a call of its `RoomsClient`, or `talk`, as JSON with a number; each line
that goes out is the answer to one. It uses only what every version has.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import room_mcp
from room_mcp import compose
from room_mcp.client import RoomsClient
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings

PAGE_WAIT_S = 5
REPEATED = 4  # each fourth message is sent once more under its key


async def call(client: RoomsClient, name: str, args: list[Any], named: dict[str, Any]) -> Any:
    """What a call answers, as JSON; a refusal by its code and words."""
    try:
        if name == "export":
            return "".join([piece async for piece in client.export(*args, **named)])
        found = await getattr(client, name)(*args, **named)
    except BackendRefused as refusal:
        return {"refused": refusal.code, "said": str(refusal)}
    return found if found is None else found.model_dump(mode="json", by_alias=True)


# ---- a talk that is recorded --------------------------------------------------------------------


async def talk(
    client: RoomsClient, room_id: str, name: str, callers: int, count: int, closes_at: int
) -> dict[str, Any]:
    """Post and read at once until the room is closed; all that was seen.

    Args:
        closes_at: The number above which this process closes the room; 0: another one does.
    """
    postings: list[dict[str, Any]] = []
    readings: list[dict[str, Any]] = []
    posters = (post_all(client, room_id, f"{name}-{n}", count, postings) for n in range(callers))
    await asyncio.gather(*posters, read_all(client, room_id, f"{name}-reader", readings, closes_at))
    return {"postings": postings, "readings": readings}


async def post_all(
    client: RoomsClient, room_id: str, author: str, count: int, postings: list[dict[str, Any]]
) -> None:
    for number in range(count):
        text = f"{author} says {number}"
        posting: dict[str, Any] = {"author": author, "key": f"k{number}", "text": text}
        posting |= {"room": room_id, "invoked": time.monotonic(), "seq": None, "refused": ""}
        for _ in range(2 if number % REPEATED == 0 else 1):
            posted = await call(
                client, "post", [room_id, author, text], {"idempotency_key": posting["key"]}
            )
            posting["answered"] = time.monotonic()
            if "refused" in posted:
                break
            assert posting["seq"] in (None, posted["seq"]), "a key stands for two messages"
            posting["seq"] = posted["seq"]
        postings.append(posting)
        if posting["seq"] is None:
            posting["refused"] = posted["refused"]
            return


async def read_all(
    client: RoomsClient, room_id: str, reader: str, readings: list[dict[str, Any]], closes_at: int
) -> None:
    """Read until the room is closed; by this reader, if he has a number to do it at."""
    after, closed = 0, False
    while not closed:
        invoked = time.monotonic()
        page = await client.messages(room_id, after=after, wait_s=PAGE_WAIT_S)
        told = {"room": room_id, "reader": reader, "after": after, "invoked": invoked}
        told["answered"] = time.monotonic()
        told["messages"] = [(one.seq, one.type, one.content) for one in page.messages]
        readings.append(told)
        after = page.next_cursor
        closed = page.closed and after == page.last_seq
        if closes_at and after >= closes_at and not page.closed:
            await client.close_room(room_id, sender=reader, conclusion="done")


# ---- lines --------------------------------------------------------------------------------------


async def main(target: str) -> None:
    settings = Settings.from_env({**os.environ, "ROOM_MCP_SECRETS": "off"} | target_of(target))
    lines = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps(room_mcp.__version__), flush=True)

    async def answer(asked: dict[str, Any]) -> None:
        name, args, named = asked["call"], asked["args"], asked["named"]
        talking = name == "talk"
        told = await (talk(client, *args) if talking else call(client, name, args, named))
        print(json.dumps({"number": asked["number"], "answer": told}), flush=True)

    running: set[asyncio.Task[None]] = set()
    async with compose.open_client(settings) as client, asyncio.TaskGroup() as tasks:
        async for line in lines:
            running = {one for one in running if not one.done()}
            running.add(tasks.create_task(answer(json.loads(line))))
        for task in running:  # nobody listens any more
            task.cancel()


def target_of(target: str) -> dict[str, str]:
    return {"ROOM_MCP_URL" if target.startswith("http") else "ROOM_MCP_STORE": target}


asyncio.run(main(sys.argv[1]))
