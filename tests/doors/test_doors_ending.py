"""A server that is told to stop answers what waits, ends what streams, and is gone soon."""

from __future__ import annotations

import signal
import socket
from contextlib import AsyncExitStack

import anyio
import anyio.to_thread
import pytest
from doorway import (
    DOORS,
    HTTP,
    LEGACY,
    SOON_S,
    SSE,
    WAIT,
    Agent,
    Door,
    Server,
    Start,
    Visitors,
    events,
    legacy_session,
    modern_call,
    until,
    waiting_in,
)

from room_mcp.bridge.waiting import STOPPING

pytestmark = pytest.mark.anyio
CODES = {signal.SIGTERM: 0, signal.SIGINT: 130}


BOTH = [("serve", signal.SIGTERM), ("serve", signal.SIGINT)]
ALONE = [(HTTP, signal.SIGTERM), (SSE, signal.SIGINT)]


def started(start_server: Start, kind: str) -> Server:
    """A server of one test alone."""
    words = ("serve",) if kind == "serve" else ("--transport", kind)
    return start_server(*words, "--port", "0")


def doors_of(server: Server) -> list[Door]:
    return [door for door in DOORS if server.url in (server.origin, server.at(door.path))]


@pytest.mark.parametrize(("kind", "number"), BOTH + ALONE)
async def test_who_waits_is_answered_and_the_process_ends(
    start_server: Start, visitors: Visitors, kind: str, number: signal.Signals
):
    ending = started(start_server, kind)
    rooms = await visitors.rooms(ending)
    agents = [await visitors.agent(ending, str(door), door) for door in doors_of(ending)]
    for agent in agents:
        await agent.do("create_room", name="review")
    answers: list[str] = []

    async def wait(agent: Agent) -> None:
        answers.append(await agent.do(WAIT, room="review"))

    async with anyio.create_task_group() as tasks:
        for agent in agents:
            tasks.start_soon(wait, agent)
        await waiting_in(rooms, "review", *(agent.name for agent in agents))
        code = await ending.ends(number)

    assert code == CODES[number]
    assert {answer.splitlines()[0] for answer in answers} == {STOPPING}
    assert len(answers) == len(agents)
    assert ending.errors() == ""


async def test_who_waits_without_a_name_is_answered_as_well(
    start_server: Start, visitors: Visitors
):
    ending = started(start_server, "serve")
    await (await visitors.agent(ending, "ann")).do("create_room", name="review")
    http = await visitors.http(ending)
    plain = [await visitors.agent(ending, "", door) for door in DOORS]
    for agent in plain:  # behind its first call each asks once what the tools answer
        await agent.do("read_history", room="review")
    answers: list[str] = []

    async def wait(agent: Agent) -> None:
        answers.append(await agent.do(WAIT, room="review"))

    async def all_wait() -> bool:  # nobody sees them in the room
        return f"room_mcp_waits_open {len(plain)}.0" in (await http.get("/metrics")).text

    async with anyio.create_task_group() as tasks:
        for agent in plain:
            tasks.start_soon(wait, agent)
        await until(all_wait)
        code = await ending.ends(signal.SIGTERM)

    assert code == 0
    assert {answer.splitlines()[0] for answer in answers} == {STOPPING}
    assert len(answers) == len(plain)
    assert ending.errors() == ""


@pytest.mark.parametrize(("kind", "number"), BOTH)
async def test_streams_of_changes_end_and_so_does_the_process(
    start_server: Start, visitors: Visitors, kind: str, number: signal.Signals
):
    ending = started(start_server, kind)
    http = await visitors.http(ending)
    listeners = [await visitors.agent(ending, "ann", door) for door in DOORS[::2]]
    heard: list[object] = []
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(one.client.listen(resources_list_changed=True))
            for one in listeners
        ]
        session = await legacy_session(http)
        bound = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}
        headers = {**bound, "Accept": "text/event-stream"}
        await stack.enter_async_context(events(http, "/mcp", headers=headers))
        idle = await stack.enter_async_context(events(http, "/as/bob/sse"))
        await idle.next("endpoint")

        code = await ending.ends(number)
        with anyio.fail_after(20):
            for stream in streams:  # SubscriptionLost, unless the end was a result
                heard += [event async for event in stream]

    assert (code, heard) == (CODES[number], [])
    assert ending.errors() == ""


async def test_a_second_signal_changes_nothing(start_server: Start, visitors: Visitors):
    ending = started(start_server, "serve")
    rooms = await visitors.rooms(ending)
    ann = await visitors.agent(ending, "ann")
    await ann.do("create_room", name="review")
    answers: list[str] = []

    async def wait() -> None:
        answers.append(await ann.do(WAIT, room="review"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await waiting_in(rooms, "review", "ann")
        ending.process.send_signal(signal.SIGTERM)
        code = await ending.ends(signal.SIGTERM)

    assert code == 0
    assert answers[0].startswith(STOPPING)
    assert ending.errors() == ""


async def test_a_call_that_the_server_elsewhere_leaves_unanswered_holds_nothing_up(
    start_server: Start, visitors: Visitors
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SOON_S)
        env = {"ROOM_MCP_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        ending = start_server("--transport", HTTP, "--port", "0", env=env)
        http = await visitors.http(ending)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: http.post("/as/ann/mcp", **modern_call("list_rooms")))
            asked, _ = await anyio.to_thread.run_sync(silent.accept)
            with asked:
                code = await ending.ends(signal.SIGTERM)

    assert code == 0
    assert ending.errors() == ""
