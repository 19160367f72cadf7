"""Many clients come and go; the server goes on, and keeps nothing of them."""

from __future__ import annotations

import anyio
import pytest
from doorway import (
    DOORS,
    HTTP,
    SOON_S,
    SSE,
    WAIT,
    Door,
    Server,
    Visitors,
    connected,
    events,
    legacy,
    legacy_call,
    legacy_session,
    until,
    waiting_in,
)

pytestmark = pytest.mark.anyio
MANY = 50


async def at_rest(server: Server, files: int) -> None:
    """Until the server holds no more open files than it did: every connection is given back."""

    async def back() -> bool:
        return server.open_files() <= files

    await until(back)


@pytest.fixture
async def files(server: Server, visitors: Visitors) -> int:
    """How many files the server has open while nobody is connected, once it served somebody."""
    for door in DOORS:
        async with connected(server.at(door.path, "warm"), door.transport, door.mode) as client:
            await client.call_tool("list_rooms")
    idle = server.open_files()
    while (now := server.open_files()) < idle:
        idle = now
    return idle


async def test_many_sse_clients_after_one_another_leave_the_server_working(
    server: Server, visitors: Visitors, room: str, files: int
):
    for number in range(MANY):
        url = server.at("/sse", f"agent-{number % 5}")
        async with connected(url, SSE, DOORS[number % 2].mode) as client:
            await client.call_tool("create_room", {"name": room})

    await at_rest(server, files)
    ann = await visitors.agent(server, "ann", DOORS[2])
    assert "agent-0, agent-1" in await ann.do("join_room", room=room)


async def test_many_sse_streams_at_once_leave_the_server_working(
    server: Server, visitors: Visitors, room: str, files: int
):
    connected_now = 0

    async def come_and_go(number: int) -> None:
        nonlocal connected_now
        http = await visitors.http(server)
        async with events(http, server.at("/sse", f"agent-{number}")) as stream:
            await stream.next("endpoint")
            connected_now += 1
            with anyio.fail_after(20):
                while connected_now < MANY:
                    await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for number in range(MANY):
            tasks.start_soon(come_and_go, number)

    ann = await visitors.agent(server, "ann", DOORS[3])
    assert f'Room "{room}" opened' in await ann.do("create_room", name=room)


async def hang_up_in_a_call(server: Server, room: str, number: int, door: Door) -> None:
    url = server.at(door.path, f"agent-{number}")
    try:
        async with connected(url, door.transport, door.mode) as client:
            await client.call_tool("join_room", {"room": room})
            async with anyio.create_task_group() as calls:
                calls.start_soon(client.call_tool, WAIT, {"room": room})
                calls.start_soon(client.call_tool, "read_history", {"room": room})
                await client.call_tool("list_rooms")
                calls.cancel_scope.cancel()
    except* anyio.BrokenResourceError:
        pass  # of the SDK's own client, when an answer comes while it leaves


async def test_clients_that_hang_up_in_the_middle_of_a_call_leave_nothing_behind(
    complaining: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(complaining)
    ann = await visitors.agent(complaining, "ann")
    await ann.do("create_room", name=room)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(hang_up_in_a_call, complaining, room, number, DOORS[number % 4])

    await waiting_in(rooms, room)
    assert "Sent #1" in await ann.say(room, "who is left?")


async def test_a_cancellation_that_crosses_the_end_of_its_session_is_no_crash(
    complaining: Server, visitors: Visitors, room: str
):
    ann = await visitors.agent(complaining, "ann")
    await ann.do("create_room", name=room)

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            for number in range(15):
                tasks.start_soon(hang_up_in_a_call, complaining, room, number, DOORS[1])

    assert "Traceback" not in complaining.complaints()


async def test_the_endpoint_of_an_sse_client_that_left_is_gone_and_was_no_trap(
    complaining: Server, visitors: Visitors
):
    http = await visitors.http(complaining)

    async def post_until_gone(post_to: str) -> None:
        with anyio.fail_after(SOON_S):
            while (await http.post(post_to, **legacy("ping"))).status_code != 404:
                pass

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            async with events(http, "/as/ann/sse") as stream:
                post_to = await stream.next("endpoint")
                for _ in range(4):
                    tasks.start_soon(post_until_gone, post_to)
                await stream.next()

    assert "Traceback" not in complaining.complaints()


async def test_a_legacy_session_outlives_its_connections_until_it_is_ended(
    server: Server, visitors: Visitors, room: str
):
    first = await visitors.http(server)
    session = await legacy_session(first, "/as/ann/mcp")
    await first.aclose()

    second = await visitors.http(server)
    made = await second.post("/as/ann/mcp", **legacy_call(session, "create_room", name=room))

    assert made.status_code == 200
    assert "You are ann." in made.text


async def test_many_legacy_sessions_opened_and_ended_give_everything_back(
    server: Server, visitors: Visitors, room: str, files: int
):
    for number in range(MANY):
        async with connected(server.at("/mcp", f"agent-{number}"), HTTP, "legacy") as client:
            await client.call_tool("create_room", {"name": room})

    await at_rest(server, files)
