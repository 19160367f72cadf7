"""Who speaks is said by each request, by its path or its header, and by nothing else."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from doorway import (
    DOORS,
    SOON_S,
    WAIT,
    Door,
    Server,
    Visitors,
    events,
    legacy_call,
    legacy_session,
    messages_in,
    modern_call,
    said,
    sse_session,
    until,
)

from room_mcp.bridge.server import NAMELESS

pytestmark = pytest.mark.anyio
NAMES = ["ann", "Ann Lee", "Зоя", "李-雷", "team/bot", "a@b.c_d", "x" * 100, "mcp/sse", "as/x/mcp"]
NO_NAMES = [
    "",
    " ",
    "x" * 101,
    "system",
    "System",
    "room",
    "you",
    "everyone",
    "-ann",
    "a  b",
    "ann ",
]
NO_NAMES += ["a\tb", "a\x00b", "a\u202eb", "a?b", "a%b", "a#b", "../ann", "<ann>", "ＳＹＳＴＥＭ"]


@pytest.mark.parametrize("name", NAMES)
async def test_the_path_says_who_speaks(server: Server, visitors: Visitors, room: str, name: str):
    http = await visitors.http(server)

    made = said(await http.post(server.at("/mcp", name), **modern_call("create_room", name=room)))

    assert made.startswith(f'Room "{room}" opened. You are {name}.')


@pytest.mark.parametrize("name", NAMES)
async def test_the_header_says_who_speaks(server: Server, visitors: Visitors, room: str, name: str):
    http = await visitors.http(server, headers={"Room-Agent": quote(name)})

    made = said(await http.post("/mcp", **modern_call("create_room", name=room)))

    assert made.startswith(f'Room "{room}" opened. You are {name}.')


@pytest.mark.parametrize("name", ["Зоя Иванова", "team/bot"])
async def test_a_name_by_path_or_header_is_the_same_agent_at_each_door(
    server: Server, visitors: Visitors, room: str, door: Door, name: str
):
    by_path = await visitors.agent(server, name, door)
    by_header = await visitors.agent(server, "", door, headers={"Room-Agent": quote(name)})
    await by_path.say(await _opened(server, visitors, room), "by path")
    await by_header.say(room, "by header")

    found = await messages_in(await visitors.rooms(server), room)

    assert [one.sender for one in found] == [name, name]


async def _opened(server: Server, visitors: Visitors, room: str) -> str:
    await (await visitors.rooms(server)).create_room(room)
    return room


async def test_a_client_of_sse_is_told_to_post_under_its_name(server: Server, visitors: Visitors):
    http = await visitors.http(server)

    async with (
        events(http, server.at("/sse", "Зоя/2")) as named,
        events(http, "/sse", headers={"Room-Agent": "ann"}) as plain,
    ):
        told = await named.next("endpoint"), await plain.next("endpoint")

    assert told[0].startswith(f"/as/{quote('Зоя/2')}/messages/?session_id=")
    assert told[1].startswith("/messages/?session_id=")


async def test_path_and_header_may_say_the_same(server: Server, visitors: Visitors, room: str):
    http = await visitors.http(server, headers={"Room-Agent": quote("Ann Lee")})

    made = await http.post("/as/Ann%20Lee/mcp", **modern_call("create_room", name=room))

    assert "You are Ann Lee." in said(made)


@pytest.mark.parametrize(("by_path", "by_header"), [("Max", "mAX"), ("Straße", "STRASSE")])
async def test_path_and_header_may_spell_a_name_differently_and_the_path_counts(
    server: Server, visitors: Visitors, room: str, by_path: str, by_header: str
):
    http = await visitors.http(server, headers={"Room-Agent": quote(by_header)})

    made = await http.post(server.at("/mcp", by_path), **modern_call("create_room", name=room))

    assert f"You are {by_path}." in said(made)


async def test_an_agent_is_the_same_however_its_name_is_spelled(
    server: Server, visitors: Visitors, room: str, door: Door
):
    sue = await visitors.agent(server, "sue", door)
    other_case = await visitors.agent(server, "SUE", door)
    bob = await visitors.agent(server, "bob")
    await sue.do("create_room", name=room)
    await bob.say(room, "to be read once")

    heard = await sue.do(WAIT, room=room)
    listed = await other_case.do("list_rooms", query=room)
    first = await sue.say(room, "to be said once")
    again = await other_case.say(room, "to be said once")
    closed = await other_case.do("close_room", room=room, conclusion="done")

    assert "bob: to be read once" in heard
    assert "unread" not in listed
    assert "Sent #2" in first
    assert "Already sent as #2" in again
    assert closed.startswith(f'"{room}" is closed: done')


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/"])
async def test_path_and_header_may_not_say_different_things(
    server: Server, visitors: Visitors, path: str
):
    http = await visitors.http(server, headers={"Room-Agent": "bob"})
    send = http.get if path == "/sse" else http.post

    with anyio.fail_after(SOON_S):  # a stream would never end
        refused = await send(server.at(path, "ann"))

    assert _refusal(refused) == (
        "The path and the header Room-Agent name different agents. Send one of them."
    )


def _refusal(response: Any) -> str:
    """The sentence of a JSON-RPC error, as hosts show it."""
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", None, -32600)
    return answer["error"]["message"]


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/"])
async def test_what_is_no_name_is_refused_with_a_sentence(
    server: Server, visitors: Visitors, path: str
):
    http = await visitors.http(server)
    send = http.get if path == "/sse" else http.post

    with anyio.fail_after(SOON_S):  # a stream would never end
        by_path = {one: await send(f"/as/{quote(one, safe='')}{path}") for one in NO_NAMES}
        headers = {one: {"Room-Agent": quote(one, safe="")} for one in NO_NAMES}
        by_header = {one: await send(path, headers=headers[one]) for one in NO_NAMES}

    told = {name: _refusal(response) for name, response in by_path.items()}
    assert told == {name: _refusal(response) for name, response in by_header.items()}
    assert all(one.startswith("The name ") and one.endswith(".") for one in told.values())


async def test_nobody_is_called_as_a_person_is_marked(server: Server, visitors: Visitors):
    http = await visitors.http(server)

    refused = await http.post("/as/human/mcp", **modern_call("list_rooms"))

    assert _refusal(refused).startswith("The name 'human' is reserved.")


# ---- without a name -----------------------------------------------------------------------------


async def test_who_has_no_name_may_read(server: Server, visitors: Visitors, room: str, door: Door):
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)
    await ann.say(room, f"the needle of {room}")
    reader = await visitors.agent(server, "", door)

    listed = await reader.do("list_rooms", query=room)
    history = await reader.do("read_history", room=room)
    found = await reader.do("search_messages", query="needle", room=room)

    assert f"{room} · open · 1 message" in listed
    assert f"ann: the needle of {room}" in history
    assert "1 hit" in found


async def test_who_has_no_name_waits_for_the_next_message_and_nobody_sees_it(
    server: Server, visitors: Visitors, room: str, door: Door
):
    rooms = await visitors.rooms(server)
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)
    await ann.say(room, "said before")
    reader = await visitors.agent(server, "", door)
    heard: list[str] = []
    numbers = itertools.count()

    async def read() -> None:
        heard.append(await reader.do(WAIT, room=room))

    async def spoken() -> bool:  # nobody sees a reader wait, so speak until it heard something
        await ann.say(room, f"said now, {next(numbers)}")
        return bool(heard)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await until(spoken)
    (found,) = (await rooms.rooms(query=room)).rooms

    assert "ann: said now, " in heard[0]
    assert "said before" not in heard[0]
    assert found.members == ["ann"]


async def test_who_has_no_name_is_told_how_to_get_one_when_it_wants_to_write(
    server: Server, visitors: Visitors, room: str, door: Door
):
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)
    reader = await visitors.agent(server, "", door)

    refused = [
        await reader("create_room", name=f"{room}-of-nobody"),
        await reader("join_room", room=room),
        await reader("send_message", room=room, content="hello"),
        await reader("close_room", room=room, conclusion="over"),
        await reader(WAIT),
    ]
    listed = await ann.do("list_rooms", query=room)

    assert [(one.is_error, one.text) for one in refused] == [(True, NAMELESS)] * 5
    assert "nobody" not in listed
    assert f"{room} · open · 0 messages" in listed


async def test_a_room_opened_anew_is_the_one_that_a_reader_without_a_name_means(
    server: Server, visitors: Visitors, room: str
):
    ann = await visitors.agent(server, "ann")
    reader = await visitors.agent(server)
    await ann.do("create_room", name=room)
    await ann.say(room, "of yesterday")
    await reader.do("read_history", room=room)
    await ann.do("close_room", room=room, conclusion="done")
    await ann.do("create_room", name=room)
    await ann.say(room, "of today")

    assert "of today" in await reader.do("read_history", room=room)


async def test_who_has_no_name_is_not_sent_to_what_it_may_not_do(
    server: Server, visitors: Visitors, room: str
):
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)
    reader = await visitors.agent(server)

    listed = await reader.do("list_rooms", query=room)
    nothing = await reader.do("list_rooms", query="no room is called that")
    unknown = await reader("read_history", room=f"{room}-of-nobody")
    offered = await ann("read_history", room=f"{room}-of-nobody")

    assert "join_room" not in listed
    assert "create_room" not in nothing
    assert f'Next: read_history(room="{room}"), or list_rooms().' in unknown.text
    assert "create_room" in offered.text


# ---- nothing is bound to a session --------------------------------------------------------------


async def test_a_session_of_one_agent_speaks_as_another_under_the_address_of_that(
    server: Server, visitors: Visitors, room: str
):
    http = await visitors.http(server)
    session = await legacy_session(http, "/as/ann/mcp")

    await http.post("/as/ann/mcp", **legacy_call(session, "create_room", name=room))
    joined = await http.post("/as/bob/mcp", **legacy_call(session, "join_room", room=room))
    refused = await http.post("/mcp", **legacy_call(session, "join_room", room=room))

    assert "You are bob." in said(joined)
    assert said(refused) == NAMELESS


async def test_an_sse_connection_of_one_agent_speaks_as_another_under_the_address_of_that(
    server: Server, visitors: Visitors, room: str
):
    http = await visitors.http(server)
    async with events(http, "/as/ann/sse") as stream:
        post_to = (await sse_session(http, stream)).removeprefix("/as/ann")

        await http.post(f"/as/ann{post_to}", **legacy_call("", "create_room", name=room))
        made = await stream.text()
        await http.post(f"/as/bob{post_to}", **legacy_call("", "join_room", room=room))
        joined = await stream.text()
        await http.post(post_to, **legacy_call("", "join_room", room=room))
        refused = await stream.text()

    assert "You are ann." in made
    assert "You are bob." in joined
    assert refused == NAMELESS


async def test_what_one_agent_has_read_is_unread_for_another(
    server: Server, visitors: Visitors, room: str, door: Door
):
    agents = [await visitors.agent(server, name, door) for name in ("ann", "bob", "carol")]
    ann, bob, carol = agents
    for one in agents:
        await one.do("create_room", name=room)
    await carol.say(room, "to all of you")

    first = await ann.do(WAIT, room=room)
    listed = {one.name: await one.do("list_rooms", query=room) for one in (ann, bob)}
    second = await bob.do(WAIT, room=room)

    assert "carol: to all of you" in first
    assert "unread" not in listed["ann"]
    assert "1 unread" in listed["bob"]
    assert "carol: to all of you" in second
    assert "shown before" not in second


@pytest.mark.parametrize("doors", [DOORS, DOORS[:1]], ids=["every door", "one door"])
async def test_twenty_agents_at_once_are_twenty_agents(
    server: Server, visitors: Visitors, room: str, doors: list[Door]
):
    names = [f"agent-{number}" for number in range(20)]
    rooms = await visitors.rooms(server)
    agents = [
        await visitors.agent(server, name, doors[number % len(doors)])
        for number, name in enumerate(names)
    ]
    heard: dict[str, str] = {}

    async def take_part(number: int) -> None:
        await agents[number].do("create_room", name=room)
        await agents[number].say(room, f"from {number}")

    async def wait(number: int) -> None:
        heard[names[number]] = await agents[number].do(WAIT, room=room)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(take_part, number)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(wait, number)
    (found,) = (await rooms.rooms(query=room)).rooms

    said = {one.sender: one.content for one in await messages_in(rooms, room)}
    assert said == {name: f"from {number}" for number, name in enumerate(names)}
    assert sorted(found.members) == sorted(names)
    assert all(f" {name}: from" not in text for name, text in heard.items())
