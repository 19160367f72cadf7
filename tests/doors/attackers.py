"""A server that wants keys, and what those do there who have one: eve has one too."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from doorway import modern_call
from grounds import LOCKED, Asked, Grounds, a_server


@asynccontextmanager
async def locked_server(folder: Path) -> AsyncGenerator[Grounds]:
    """Ann and eve have a key, and pat, who is a person."""
    async with a_server(folder, LOCKED) as server:
        for name in ("ann", "eve"):
            server.keys[name] = await server.new_key(name)
        server.keys["pat"] = await server.new_key("pat", human=True)
        yield server


async def room_of(server: Grounds, owner: str = "ann", **fields: Any) -> str:
    """A room that its owner has opened, is in and has spoken in; its id."""
    made = await server.done(owner, "/agent/rooms", {"name": "review", **fields})
    id: str = made["roomId"]
    await server.done(owner, f"/agent/rooms/{id}/join", {"agentName": owner})
    await say(server, owner, id, "hers")
    return id


async def say(
    server: Grounds, caller: str, id: str, content: object = "hello", **fields: Any
) -> dict[str, Any]:
    body = {"sender": caller, "content": content, **fields}
    return await server.done(caller, f"/agent/rooms/{id}/messages", body)


async def history(server: Grounds, caller: str, id: str) -> list[dict[str, Any]]:
    answer = await server.call(caller, "GET", f"/agent/rooms/{id}/history")
    return answer.json()["messages"]


async def use(
    server: Grounds, caller: str, tool: str, path: str = "/mcp", **arguments: Any
) -> Asked:
    request = modern_call(tool, **arguments)
    headers = {**request["headers"], **server.headers(caller)}
    return Asked.of(await server.http.post(path, headers=headers, json=request["json"]))


def code(answer: httpx2.Response) -> str:
    return answer.json()["code"]


async def shown(server: Grounds, caller: str, path: str) -> httpx2.Response:
    cookie = {"Cookie": f"room-mcp-key={server.keys[caller]}"}
    return await server.http.get(path, headers=cookie)
