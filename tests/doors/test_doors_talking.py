"""Agents talk through every door: both transports, both eras, `serve` and MCP alone."""

from __future__ import annotations

import anyio
import httpx2
import pytest
from doorway import (
    DOORS,
    HTTP,
    PATHS,
    SOON_S,
    SSE,
    WAIT,
    Agent,
    Door,
    Server,
    Start,
    Visitors,
    waiting_in,
)

from room_mcp.client import RoomsClient

pytestmark = pytest.mark.anyio
REST_PATHS = ("/", "/agent/rooms", "/api/rooms", "/healthz", "/openapi.json", "/messages")


@pytest.fixture(scope="session", params=[HTTP, SSE])
def alone(request: pytest.FixtureRequest, start_server: Start) -> Server:
    """MCP without REST, by one transport."""
    return start_server("--transport", request.param, "--port", "0")


async def asked_and_answered(asker: Agent, answerer: Agent, room: str, rooms: RoomsClient) -> None:
    """One asks, the other is woken and answers, which wakes the one."""
    heard: list[str] = []

    async def wait(agent: Agent) -> None:
        heard.append(await agent.do(WAIT, room=room))

    await asker.do("create_room", name=room)
    await answerer.do("join_room", room=room)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, answerer)
        await waiting_in(rooms, room, answerer.name)
        await asker.say(room, "Is 2 a blocker?", type="question")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, asker)
        await waiting_in(rooms, room, asker.name)
        await answerer.say(room, "No.", type="answer", reply_to=1)

    assert f"{asker.name} [question]: Is 2 a blocker?" in heard[0]
    assert f"{answerer.name} [answer] re #1: No." in heard[1]


async def test_two_agents_talk_through_each_door(
    server: Server, visitors: Visitors, room: str, door: Door
):
    ann = await visitors.agent(server, "ann", door)
    bob = await visitors.agent(server, "bob", door)

    await asked_and_answered(ann, bob, room, await visitors.rooms(server))


@pytest.mark.parametrize(("one", "other"), [(DOORS[0], DOORS[3]), (DOORS[1], DOORS[2])], ids=str)
async def test_agents_behind_different_doors_talk(
    server: Server, visitors: Visitors, room: str, one: Door, other: Door
):
    ann = await visitors.agent(server, "ann", one)
    bob = await visitors.agent(server, "bob", other)

    await asked_and_answered(ann, bob, room, await visitors.rooms(server))


async def test_rest_on_the_same_port_is_in_the_same_room(
    server: Server, visitors: Visitors, room: str, door: Door
):
    rest = await visitors.http(server)
    id = (await rest.post("/agent/demo/room", json={"name": room})).json()["id"]
    ann = await visitors.agent(server, "ann", door)
    await ann.do("join_room", room=room)

    await rest.post(f"/agent/rooms/{id}/messages", json={"sender": "curl", "content": "by curl"})
    heard = await ann.do(WAIT, room=room)
    await ann.say(room, "by MCP")
    page = (await rest.get(f"/agent/rooms/{id}/messages")).json()

    assert "curl: by curl" in heard
    assert [(one["sender"], one["content"]) for one in page["messages"]] == [
        ("curl", "by curl"),
        ("ann", "by MCP"),
    ]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_mcp_alone_serves_agents_at_the_address_of_its_first_line(
    alone: Server, visitors: Visitors, room: str, mode: str
):
    path = alone.url.removeprefix(alone.origin)
    door = Door({path: transport for transport, path in PATHS.items()}[path], mode)
    ann = await visitors.agent(alone, "ann", door)
    bob = await visitors.agent(alone, "bob", door)
    plain = await visitors.agent(alone, "", door)

    await asked_and_answered(ann, bob, room, await visitors.rooms(alone))

    assert "No." in await plain.do("read_history", room=room)
    assert alone.errors() == ""


async def test_mcp_alone_serves_nothing_else(alone: Server, visitors: Visitors):
    http = await visitors.http(alone)
    other = ({"/mcp", "/sse"} - {alone.url.removeprefix(alone.origin)}).pop()

    with anyio.fail_after(SOON_S):  # a stream would never end
        found = {path: (await http.get(path)).status_code for path in (*REST_PATHS, other)}

    assert found == dict.fromkeys((*REST_PATHS, other), 404)


async def test_an_address_with_one_slash_more_or_less_is_none_at_any_server(
    server: Server, alone: Server, visitors: Visitors
):
    paths = ("/mcp/", "/as/ann/mcp/", "/sse/", "/as/ann/sse/", "/messages", "/as/ann/messages")

    for at in (server, alone):
        http = await visitors.http(at)
        found = {path: (await http.get(path)).status_code for path in paths}

        assert found == dict.fromkeys(paths, 404)


@pytest.mark.parametrize(("word", "door"), [("http", DOORS[0]), ("sse", DOORS[3])], ids=str)
async def test_the_path_can_be_moved_and_waits_be_bounded(
    start_server: Start, visitors: Visitors, room: str, word: str, door: Door
):
    words = ("--transport", word, "--port", "0", "--path", "/v1/rooms", "--max-wait", "0.01")
    moved = start_server(*words)
    ann = await visitors.agent(moved, "ann", door, path="/v1/rooms")
    await ann.do("create_room", name=room)

    assert moved.url == f"{moved.origin}/v1/rooms"
    assert "Nothing new in 0.01 s" in await ann.do(WAIT, room=room)
    async with httpx2.AsyncClient() as http:
        assert (await http.get(moved.origin + door.path)).status_code == 404
    assert moved.errors() == ""


async def test_mcp_alone_holds_its_callers_to_the_limits_that_are_set(
    start_server: Start, visitors: Visitors
):
    limits = {"ROOM_MCP_ROOMS": "1"}
    limited = start_server("--transport", HTTP, "--port", "0", env=limits)
    ann = await visitors.agent(limited, "ann")
    await ann.do("create_room", name="first")

    refused = await ann("create_room", name="second")

    assert refused.is_error
    assert "as many as you may have here" in refused.text


async def test_mcp_alone_forwards_to_a_server_elsewhere(
    server: Server, start_server: Start, visitors: Visitors, room: str
):
    words = ("--transport", HTTP, "--port", "0")
    forwarding = start_server(*words, env={"ROOM_MCP_URL": server.url})
    ann = await visitors.agent(forwarding, "ann-elsewhere")
    bob = await visitors.agent(server, "bob")

    await asked_and_answered(ann, bob, room, await visitors.rooms(server))

    assert not (forwarding.home / "rooms.db").exists()
    assert forwarding.errors() == ""
