"""The tools against a backend that has only the origin's calls, as a hosted one may."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.types import TextContent

from room_mcp.bridge.server import build_server
from room_mcp.client import RoomsClient
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio
URL = "http://origin.test"


def origin() -> httpx2.MockTransport:
    """Create, post and read; messages have an id, a sender, a content and a time."""
    said: list[dict[str, object]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        match request.method, request.url.path:
            case "POST", "/agent/demo/room":
                return httpx2.Response(201, json={"roomId": "r-1"})
            case "POST", "/agent/rooms/r-1/messages":
                new = {**json.loads(request.content), "id": f"m{len(said)}"}
                said.append({**new, "timestamp": "2026-01-01T00:00:00Z"})
                return httpx2.Response(201, json=said[-1])
            case "GET", "/agent/rooms/r-1/history" | "/agent/rooms/r-1/messages":
                return httpx2.Response(200, json={"messages": said})
            case _:
                return httpx2.Response(404, json={"error": "Not found"})

    return httpx2.MockTransport(answer)


async def text(of: Client, tool: str, **arguments: object) -> str:
    with anyio.fail_after(20):
        result = await of.call_tool(tool, dict(arguments))
    return "\n".join(one.text for one in result.content if isinstance(one, TextContent))


async def test_two_agents_talk_through_a_backend_that_only_stores(tmp_path: Path):
    backend = origin()

    def desk(name: str) -> Client:
        settings = Settings(home=tmp_path / name, store="", url=URL)
        client = RoomsClient(URL, transport=backend)
        return Client(build_server(settings, client, agent=name))

    async with desk("ann") as ann, desk("bob") as bob:
        opened = await text(ann, "create_room", name="review")
        await text(bob, "join_room", room="r-1")
        await text(bob, "send_message", room="r-1", content="Line 40 misses it.")
        heard = await text(ann, "wait_for_messages")
        again = await text(ann, "list_rooms")

    assert "This backend only stores messages" in opened
    assert "bob: Line 40 misses it." in heard
    assert "unread" not in again
