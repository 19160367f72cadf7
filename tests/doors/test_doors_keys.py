"""Over HTTP nobody speaks for another: names are bound to keys, which the server keeps."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import pytest
from doorway import DOORS, Door, Server, Start, Visitors, messages_in

pytestmark = pytest.mark.anyio


async def test_a_protected_member_of_rest_is_nobody_elses_name(
    server: Server, visitors: Visitors, room: str, door: Door
):
    rooms = await visitors.rooms(server)
    made = await rooms.create_room(room)
    key = (await rooms.join(made.id, "ann", protect=True)).agent_key
    await rooms.post(made.id, "ann", "mine", key=key or "")
    thief = await visitors.agent(server, "ann", door)

    refused = [
        await thief("join_room", room=room),
        await thief("send_message", room=room, content="not hers"),
        await thief("wait_for_messages", room=room),
        await thief("send_message", room=room, content="", body={"outcome": "x"}, type="decision"),
    ]

    assert [one.is_error for one in refused] == [True] * 4
    assert [one.content for one in await messages_in(rooms, room)] == ["mine"]


async def test_whose_name_is_taken_is_told_to_take_another_address(
    server: Server, visitors: Visitors, room: str
):
    rooms = await visitors.rooms(server)
    made = await rooms.create_room(room)
    await rooms.join(made.id, "ann", protect=True)
    thief = await visitors.agent(server, "ann")

    refused = await thief("join_room", room=room)

    assert refused.is_error
    assert "--agent" not in refused.text  # which an HTTP server does not take
    assert "/as/NAME/mcp" in refused.text


async def test_an_agent_of_mcp_is_nobody_elses_name_in_rest(
    server: Server, visitors: Visitors, room: str, door: Door
):
    rest = await visitors.http(server)
    ann = await visitors.agent(server, "ann", door)
    await ann.do("create_room", name=room)  # joined, and has not spoken yet
    rooms = await visitors.rooms(server)
    (found,) = (await rooms.rooms(query=room)).rooms
    at = f"/agent/rooms/{found.id}"

    posted = await rest.post(f"{at}/messages", json={"sender": "ann", "content": "not hers"})
    other_case = await rest.post(f"{at}/messages", json={"sender": "ANN", "content": "not hers"})
    joined = await rest.post(f"{at}/join", json={"agentName": "ann"})
    left = await rest.post(f"{at}/leave", json={"sender": "ann"})

    assert [one.status_code for one in (posted, other_case)] == [403, 403]
    assert joined.status_code in (403, 409)
    assert left.status_code == 403
    assert await messages_in(rooms, room) == []


async def test_the_one_who_opened_a_room_closes_it_and_nobody_else(
    server: Server, visitors: Visitors, room: str, door: Door
):
    ann = await visitors.agent(server, "ann", door)
    bob = await visitors.agent(server, "bob", door)
    await ann.do("create_room", name=room)
    await bob.do("create_room", name=room)

    refused = await bob("close_room", room=room, conclusion="mine now")
    closed = await ann.do("close_room", room=room, conclusion="done")

    assert refused.is_error
    assert "Only the owner" in refused.text
    assert closed.startswith(f'"{room}" is closed: done')


async def test_whoever_comes_over_http_does_not_own_what_this_machine_opened(
    server: Server, visitors: Visitors, room: str, door: Door
):
    async with server.rooms() as embedded:
        await embedded.create_room(room, sender="ann")
    ann = await visitors.agent(server, "ann", door)
    await ann.do("join_room", room=room)

    refused = await ann("close_room", room=room, conclusion="mine now")

    assert refused.is_error
    assert "Only the owner" in refused.text


async def test_an_agent_is_itself_again_after_a_restart(
    start_server: Start, visitors: Visitors, room: str
):
    before = start_server("serve", "--port", "0")
    ann = await visitors.agent(before, "ann")
    await ann.do("create_room", name=room)
    await ann.say(room, "before")
    await before.ends(signal.SIGTERM)

    # The same rooms by another door of the same home.
    home = {"ROOM_MCP_HOME": str(before.home)}
    after = start_server("--transport", "sse", "--port", "0", env=home)
    again = await visitors.agent(after, "ann", DOORS[3])
    await again.say(room, "after")
    other = await visitors.agent(after, "bob", DOORS[2])
    refused = await other("close_room", room=room, conclusion="mine now")
    closed = await again.do("close_room", room=room, conclusion="done")

    assert refused.is_error
    assert closed.startswith(f'"{room}" is closed: done')


async def test_an_agent_is_itself_again_after_a_restart_however_its_name_is_spelled(
    start_server: Start, visitors: Visitors, room: str
):
    before = start_server("serve", "--port", "0")
    await (await visitors.agent(before, "Ann")).do("create_room", name=room)
    await before.ends(signal.SIGTERM)

    after = start_server("serve", "--port", "0", env={"ROOM_MCP_HOME": str(before.home)})
    ann = await visitors.agent(after, "ann")

    assert "Sent #1" in await ann.say(room, "still me")
    assert "is closed" in await ann.do("close_room", room=room, conclusion="done")


async def test_two_servers_of_one_home_keep_each_others_keys(
    start_server: Start, visitors: Visitors, room: str
):
    one = start_server("serve", "--port", "0")
    home = {"ROOM_MCP_HOME": str(one.home)}
    two = start_server("serve", "--port", "0", env=home)
    at_one, at_two = [await visitors.agent(server, "ann") for server in (one, two)]
    await at_one.do("create_room", name="before")
    await at_two.do("create_room", name="besides")
    await at_one.do("create_room", name=room)
    await at_two.do("create_room", name="at last")
    for server in (one, two):
        await server.ends(signal.SIGTERM)

    after = start_server("serve", "--port", "0", env=home)
    ann = await visitors.agent(after, "ann")

    assert "Sent #1" in await ann.say(room, "still me")
    assert "is closed" in await ann.do("close_room", room="at last", conclusion="done")


async def test_a_store_is_the_same_however_its_path_is_spelled(
    start_server: Start, visitors: Visitors, tmp_path: Path, room: str
):
    home = {"ROOM_MCP_HOME": str(tmp_path / "home")}
    (tmp_path / "kept").mkdir()
    store = str(tmp_path / "kept" / "rooms.db")
    one = start_server("serve", "--port", "0", "--store", store, env=home)
    await (await visitors.agent(one, "ann")).do("create_room", name=room)
    await one.ends(signal.SIGTERM)

    again = str(tmp_path / "home" / ".." / "kept" / "rooms.db")
    two = start_server("serve", "--port", "0", "--store", again, env=home)
    ann = await visitors.agent(two, "ann")

    assert "is closed" in await ann.do("close_room", room=room, conclusion="done")


async def test_keys_are_kept_where_only_their_owner_reads(
    server: Server, visitors: Visitors, room: str
):
    ann = await visitors.agent(server, "ann")
    await ann.do("create_room", name=room)

    kept = [server.home / "keys", *(server.home / "keys").iterdir()]

    assert len(kept) > 1
    assert {stat.S_IMODE(one.stat().st_mode) & 0o077 for one in kept} == {0}
