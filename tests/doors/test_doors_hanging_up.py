"""A client that gives up a wait waits no more, and misses nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio
import pytest
from doorway import (
    DOORS,
    LEGACY,
    MODERN,
    SOON_S,
    STREAMS,
    WAIT,
    Agent,
    Door,
    Server,
    Visitors,
    events,
    legacy,
    legacy_call,
    legacy_session,
    modern_call,
    sse_session,
    waiting_in,
)

pytestmark = pytest.mark.anyio


async def ann_and_bob(
    server: Server, visitors: Visitors, room: str, door: Door = DOORS[0]
) -> tuple[Agent, Agent]:
    """Two agents in a new room, the first through this door."""
    ann = await visitors.agent(server, "ann", door)
    bob = await visitors.agent(server, "bob")
    for agent in (ann, bob):
        await agent.do("create_room", name=room)
    return ann, bob


async def test_a_wait_that_its_client_cancels_ends_and_its_message_stays_unread(
    server: Server, visitors: Visitors, room: str, door: Door
):
    rooms = await visitors.rooms(server)
    ann, bob = await ann_and_bob(server, visitors, room, door)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ann.client.call_tool, WAIT, {"room": room})
        await waiting_in(rooms, room, "ann")
        tasks.cancel_scope.cancel()
    await waiting_in(rooms, room)
    sent = await bob.say(room, "are you there?")

    assert "waiting" not in sent
    assert "1 unread" in await ann.do("list_rooms", query=room)
    assert "bob: are you there?" in await ann.do(WAIT, room=room)


async def test_a_modern_client_that_vanishes_in_a_wait_waits_no_more(
    server: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(server)
    ann, bob = await ann_and_bob(server, visitors, room)
    http = await visitors.http(server)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: http.post("/as/ann/mcp", **modern_call(WAIT, room=room)))
        await waiting_in(rooms, room, "ann")
        tasks.cancel_scope.cancel()
    await waiting_in(rooms, room)
    await bob.say(room, "are you there?")

    assert "bob: are you there?" in await ann.do(WAIT, room=room)


async def test_an_answer_that_found_its_connection_cut_is_shown_again(
    server: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(server)
    ann, bob = await ann_and_bob(server, visitors, room)
    http = await visitors.http(server)
    session = await legacy_session(http, "/as/ann/mcp")

    async with anyio.create_task_group() as tasks:
        call = legacy_call(session, WAIT, room=room)
        tasks.start_soon(lambda: http.post("/as/ann/mcp", **call))
        await waiting_in(rooms, room, "ann")
        tasks.cancel_scope.cancel()  # which does not cancel a call of the handshake era
    await bob.say(room, "are you there?")
    await waiting_in(rooms, room)

    assert "bob: are you there?" in await ann.do("read_history", room=room)
    assert "1 unread" in await ann.do("list_rooms", query=room)


async def test_an_sse_client_that_vanishes_in_a_wait_waits_no_more(
    server: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(server)
    ann, bob = await ann_and_bob(server, visitors, room)
    http = await visitors.http(server)

    async with events(http, "/as/ann/sse") as stream:
        post_to = await sse_session(http, stream)
        await http.post(post_to, **legacy_call("", WAIT, room=room))
        await waiting_in(rooms, room, "ann")
    await waiting_in(rooms, room)
    await bob.say(room, "are you there?")

    assert "bob: are you there?" in await ann.do(WAIT, room=room)


async def test_a_cancelled_notification_ends_the_wait_of_its_session(
    server: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(server)
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)
    http = await visitors.http(server)
    session = await legacy_session(http, "/as/ann/mcp")
    cancelled = legacy("notifications/cancelled", session=session, id=None, requestId=2)

    with anyio.fail_after(SOON_S):
        async with anyio.create_task_group() as tasks:
            call = legacy_call(session, WAIT, room=room)
            tasks.start_soon(lambda: http.post("/as/ann/mcp", **call))
            await waiting_in(rooms, room, "ann")
            answer = await http.post("/as/ann/mcp", **cancelled)
            await waiting_in(rooms, room)

    assert answer.status_code == 202


@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_client_that_hangs_up_while_it_sends_is_no_failure(
    complaining: Server, visitors: Visitors, path: str, version: str
):
    http = await visitors.http(complaining)
    headers = {**STREAMS, "MCP-Protocol-Version": version, "Content-Type": "application/json"}

    async def half_a_message() -> AsyncGenerator[bytes]:
        yield b'{"jsonrpc":'
        tasks.cancel_scope.cancel()
        await anyio.sleep_forever()

    async with events(http, "/as/ann/sse") as stream:
        post_to = await sse_session(http, stream) if path == "/sse" else "/as/ann/mcp"
        async with anyio.create_task_group() as tasks:
            content = half_a_message()
            tasks.start_soon(lambda: http.post(post_to, content=content, headers=headers))

    assert complaining.complaints() == ""
