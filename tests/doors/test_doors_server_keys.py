"""A server that lets nobody in without a key, over both transports and eras of MCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from doorway import Agent, Door, Server, Start, Visitors, modern_call, until

from room_mcp.client import RoomsClient

pytestmark = pytest.mark.anyio

WAIT = "wait_for_messages"


class Guarded:
    """The server, with one who may make keys for it and one who comes with them."""

    def __init__(self, server: Server, rooms: RoomsClient, visitors: Visitors) -> None:
        self.server, self.rooms, self._visitors = server, rooms, visitors

    async def key(self, name: str, **more: bool) -> str:
        return (await self.rooms.keys.create(name, **more)).key

    async def agent(self, key: str, door: Door, name: str = "") -> Agent:
        headers = {"Authorization": f"Bearer {key}"}
        return await self._visitors.agent(self.server, name, door, headers=headers)


@pytest.fixture(scope="session")
def locked(start_server: Start) -> Server:
    return start_server("serve", "--port", "0", "--require-key")


@pytest.fixture
async def guarded(locked: Server, visitors: Visitors) -> AsyncGenerator[Guarded]:
    async with locked.rooms() as rooms:
        yield Guarded(locked, rooms, visitors)


async def test_nobody_comes_in_without_a_key(locked: Server, visitors: Visitors):
    http = await visitors.http(locked)
    answers = [
        await http.post("/mcp", **modern_call("list_rooms")),
        await http.post("/as/ann/mcp", **modern_call("list_rooms")),
        await http.get("/sse"),
        await http.post("/messages/?session_id=1", json={}),
    ]
    told = await http.get("/.well-known/oauth-protected-resource/mcp")

    assert [one.status_code for one in answers] == [401] * 4
    assert all("resource_metadata=" in one.headers["www-authenticate"] for one in answers)
    assert told.json()["bearer_methods_supported"] == ["header"]


async def test_a_key_names_its_agent_in_every_room(guarded: Guarded, door: Door, room: str):
    ann = await guarded.agent(await guarded.key(f"ann-{room}"), door)
    opened = await ann.do("create_room", name=room)

    assert f"You are ann-{room}." in opened
    assert (await ann.say(room, "hello")).startswith("Sent #1")
    (found,) = (await guarded.rooms.rooms(ids=[await id_of(guarded, room)])).rooms
    (member,) = (await guarded.rooms.info(found.id)).members
    assert (member.name, member.protected) == (f"ann-{room}", True)


async def id_of(guarded: Guarded, room: str) -> str:
    """The id of a room that the directory does not show to others."""
    async with RoomsClient(guarded.server.url, key=await guarded.key("root", admin=True)) as root:
        (found,) = (await root.rooms(query=room)).rooms
        return found.id


@pytest.mark.parametrize("name", ["bob", "annabel"])
async def test_a_key_does_not_speak_under_the_names_of_others(
    guarded: Guarded, visitors: Visitors, name: str
):
    key = await guarded.key("ann")
    http = await visitors.http(guarded.server, headers={"Authorization": f"Bearer {key}"})
    by_path = await http.post(f"/as/{name}/mcp", **modern_call("list_rooms"))
    allowed = await http.post("/as/ann%2Fclaude/mcp", **modern_call("list_rooms"))

    assert (by_path.status_code, allowed.status_code) == (403, 200)
    assert "Your key stands for 'ann'" in by_path.json()["error"]["message"]


async def test_rooms_of_others_do_not_exist_for_a_key(guarded: Guarded, door: Door, room: str):
    ann = await guarded.agent(await guarded.key("ann"), door)
    eve = await guarded.agent(await guarded.key("eve"), door)
    await ann.do("create_room", name=room)
    await ann.say(room, "hidden words")
    answers = [
        await eve("read_history", room=room),
        await eve("search_messages", query="words"),
        await eve("list_rooms", query=room),
        await eve(WAIT, room=room, timeout_s=1),
    ]
    listed = await eve.client.list_resources()

    assert not any("hidden" in one.text for one in answers)
    assert answers[0].is_error
    assert not any(room in one.name for one in listed.resources)


async def test_a_revoked_key_is_out_at_once(guarded: Guarded, visitors: Visitors):
    key = await guarded.key("short")
    http = await visitors.http(guarded.server, headers={"Authorization": f"Bearer {key}"})
    before = await http.post("/mcp", **modern_call("list_rooms"))
    await guarded.rooms.keys.revoke(key[:12])
    after = await http.post("/mcp", **modern_call("list_rooms"))

    assert (before.status_code, after.status_code) == (200, 401)


async def test_who_asks_to_come_in_is_told_when_the_owner_has_decided(
    guarded: Guarded, door: Door, room: str
):
    ann, bob = await guarded.key("ann"), await guarded.key("bob")
    async with RoomsClient(guarded.server.url, key=ann) as owner:
        made = await owner.create_room(room, sender="ann", access="approval")
        agent = await guarded.agent(bob, door)
        asked = await agent.do("join_room", room=made.id)
        waiting = asyncio.ensure_future(agent.do(WAIT, room=made.id))
        await until(lambda: _knocks(owner, made.id))
        await owner.decide(made.id, "admit", "bob")
        told = await waiting

    assert "lets people in one by one" in asked
    assert "has let you in" in told
    assert (await agent.say(made.id, "hello")).startswith("Sent #1")


async def _knocks(owner: RoomsClient, id: str) -> bool:
    return bool((await owner.info(id)).knocking)


async def test_no_bearer_token_reaches_another_backend(start_server: Start, visitors: Visitors):
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head.decode())
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    backend = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = backend.sockets[0].getsockname()[1]
    env = {"ROOM_MCP_URL": f"http://127.0.0.1:{port}", "ROOM_MCP_KEY": "rks_of-the-bridge"}
    server = start_server("--transport", "streamable-http", "--port", "0", env=env)
    headers = {"Authorization": "Bearer rks_of-the-caller"}
    http = await visitors.http(server, headers=headers)
    asking = asyncio.ensure_future(http.post("/as/ann/mcp", **modern_call("list_rooms")))

    async def was_called() -> bool:
        return bool(seen)

    await until(was_called)
    asking.cancel()
    backend.close()
    assert "Bearer rks_of-the-bridge" in seen[0]
    assert "of-the-caller" not in "".join(seen)


async def test_wrong_keys_at_the_door_of_mcp_are_counted_and_noted(
    start_server: Start, visitors: Visitors
):
    server = start_server("serve", "--port", "0", "--require-key")
    http = await visitors.http(server, headers={"Authorization": "Bearer rks_wrong"})
    answers = [await http.post("/mcp", **modern_call("list_rooms")) for _ in range(30)]
    async with server.rooms() as rooms:
        audit = await rooms.audit()

    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert {one.outcome for one in audit.entries} >= {"key_invalid"}
