"""MCP behind a balancer that gives each request to the other node."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from machines import HANGS_S, Balancer, Pair, an_agent

pytestmark = pytest.mark.anyio
HANDSHAKE_ERA = "2025-11-25"


@pytest.fixture
async def balancer(pair: Pair) -> Balancer:
    return Balancer(pair.one.url, pair.other.url)


@pytest.fixture
async def front(balancer: Balancer) -> AsyncGenerator[str]:
    async with balancer.running() as url:
        yield url


async def key_for(pair: Pair, name: str) -> str:
    async with pair.rooms(pair.one) as root:
        return (await root.keys.create(name)).key


async def test_a_whole_walk_needs_no_stickiness(
    pair: Pair, balancer: Balancer, front: str, room: str
):
    ann_key, bob_key = await key_for(pair, "ann"), await key_for(pair, "bob")
    async with an_agent(front, ann_key) as ann, an_agent(front, bob_key) as bob:
        await ann.do("create_room", name=room, purpose="Is one of the two enough?")
        room_id = await _id_of(pair, room)
        await bob.do("join_room", room=room_id)
        await ann.do("send_message", room=room, content="Which?", type="question", to="bob")
        heard = await bob.do("wait_for_messages", room=room_id)
        await bob.do("send_message", room=room_id, content="Both.", type="answer")
        answer = await ann.do("wait_for_messages", room=room)
        history = await bob.do("read_history", room=room_id)
        closed = await ann.do("close_room", room=room, conclusion="Both.")

    assert "Which?" in heard
    assert "Both." in answer
    assert history.startswith(f'"{room}" · open · #1–#2 of 2')
    assert closed.startswith(f'"{room}" is closed: Both.')
    asked = [node for node, _ in balancer.asked]
    assert all(first != second for first, second in pairwise(asked))


async def _id_of(pair: Pair, room: str) -> str:
    async with pair.rooms(pair.one) as root:
        (found,) = (await root.rooms(query=room)).rooms
        return found.id


async def test_a_session_of_the_handshake_era_begins_anew_on_the_other_node(pair: Pair, room: str):
    key = await key_for(pair, "ann")
    headers = {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json, text/event-stream",
    }
    async with httpx2.AsyncClient(verify=False, headers=headers, timeout=HANGS_S) as http:
        opened = await http.post(f"{pair.one.url}/mcp", json=_hello())
        bound = {
            "Mcp-Session-Id": opened.headers["mcp-session-id"],
            "MCP-Protocol-Version": HANDSHAKE_ERA,
        }
        asks = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
        at = f"{pair.other.url}/mcp"
        elsewhere = [
            await http.post(at, headers=bound, json=asks),
            await http.get(at, headers={**bound, "Accept": "text/event-stream"}),
            await http.delete(at, headers=bound),
        ]
        anew = await http.post(at, json=_hello())

    assert [one.status_code for one in elsewhere] == [404] * 3
    assert "Session not found" in elsewhere[0].json()["error"]["message"]
    assert anew.status_code == 200
    assert anew.headers["mcp-session-id"] != bound["Mcp-Session-Id"]


def _hello() -> dict[str, Any]:
    about = {"name": "test", "version": "1.0"}
    params = {"protocolVersion": HANDSHAKE_ERA, "capabilities": {}, "clientInfo": about}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
