"""The tools forwarding to a backend by URL: ours, and whatever else answers at a wrong address."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketStream
from postgres_databases import new_database
from processes import IMPATIENT, Machine

from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.settings import Settings

# Over HTTP nothing depends on the era; processes take long to start.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ["legacy"], indirect=True)]

HTML = b"<html><body>It works!</body></html>"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
    len(HTML),
    HTML,
)


async def shows_a_page(stream: SocketStream) -> None:
    async with stream:
        await stream.receive()
        await stream.send(PAGE)


async def never_answers(stream: SocketStream) -> None:
    async with stream:
        await anyio.sleep_forever()


@asynccontextmanager
async def somebody(handler: object) -> AsyncGenerator[str]:
    """The URL of a port of this machine where somebody else answers."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handler)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


CALLS = [
    ("list_rooms", {}),
    ("create_room", {"name": "api-review"}),
    ("join_room", {"room": "api-review"}),
    ("send_message", {"room": "api-review", "content": "x"}),
    ("wait_for_messages", {"room": "api-review"}),
    ("search_messages", {"query": "x"}),
]


async def sentences(machine: Machine, url: str) -> set[str]:
    """What all tools answer; the process has to live on."""
    server = await machine.server(code=IMPATIENT, env={"ROOM_MCP_URL": url})
    answers = [await server.call(tool, **arguments) for tool, arguments in CALLS]
    assert all(answer.is_error for answer in answers)
    assert server.process.returncode is None
    assert server.stderr == ""
    return {re.sub(r" \(\w+(Error|Timeout)\)", "", one.text.replace(url, "URL")) for one in answers}


async def test_a_backend_that_is_down_is_told_in_a_sentence(machine: Machine):
    told = await sentences(machine, "http://127.0.0.1:1")

    assert told == {
        "Nothing answers at URL. Nothing was sent. "
        "Start the server with `room-mcp serve`, or correct ROOM_MCP_URL."
    }


async def test_a_page_instead_of_a_backend_is_told_in_a_sentence(machine: Machine):
    async with somebody(shows_a_page) as url:
        told = await sentences(machine, url)

    assert told == {
        "URL answered something that is not of a room backend. "
        "Check the address: it is the server's base URL, without a path."
    }


async def test_a_backend_that_never_answers_is_told_in_a_sentence(machine: Machine):
    async with somebody(never_answers) as url:
        told = await sentences(machine, url)

    assert told == {
        "The answer of URL was lost. Try again.",
        "The answer of URL was lost. "
        "It may have been done: look into the room before you repeat it.",
    }


async def test_a_member_key_is_kept_and_lets_a_restarted_window_back_in(
    machine: Machine, tmp_path: Path
):
    env = {"ROOM_MCP_URL": await machine.backend(), "ROOM_MCP_LOG_LEVEL": "DEBUG"}
    first = await machine.server(env=env)
    opened = await first.call("create_room", name="api-review")
    assert opened.structured is not None
    room = opened.structured["room_id"]
    await first.call("send_message", room=room, content="Line 40 misses it.")
    await first.end()
    again = await machine.server(env=env)
    sent = await again.call("send_message", room=room, content="So does line 60.")
    closed = await again.call("close_room", room=room, conclusion="2 issues fixed")

    (kept,) = (tmp_path / ".room-mcp/keys").glob("*.json")
    keys = json.loads(kept.read_text())[room]
    assert opened.lines[0] == 'Room "api-review" opened. You are claude.'
    assert "You are claude, joined just now." in sent.text
    assert closed.lines[0] == '"api-review" is closed: 2 issues fixed'
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert set(keys) == {"member", "owner"}
    assert not re.search("|".join(keys.values()), first.stderr + again.stderr)


async def test_a_name_taken_there_counts_up_and_an_explicit_one_is_reported(machine: Machine):
    url = await machine.backend()
    async with RoomsClient(url) as others:
        room = await others.create_room("api-review")
        await others.join(room.id, "claude", protect=True)
    derived = await machine.server(env={"ROOM_MCP_URL": url})
    explicit = await machine.server("--agent", "claude", env={"ROOM_MCP_URL": url})

    joined = await derived.call("join_room", room=room.id)
    refused = await explicit.call("join_room", room=room.id)

    assert joined.lines[0] == 'Joined "api-review". You are claude-2.'
    assert refused.is_error
    assert refused.text.startswith("The name 'claude' is protected by a key in this room.")
    assert "--agent NAME" in refused.text


async def test_agents_of_one_name_on_two_machines_are_two_in_one_database(
    machine: Machine, tmp_path: Path
):
    here = {"ROOM_MCP_STORE": new_database()}
    there = {**here, "ROOM_MCP_HOME": str(tmp_path / "another machine")}
    one, other = await machine.server(env=here), await machine.server(env=there)

    created = await one.call("create_room", name="api-review")
    joined = await other.call("join_room", room="api-review")
    await other.call("send_message", room="api-review", content="Who is first?")
    heard = await one.call("wait_for_messages", room="api-review")

    assert "You are claude." in created.text
    assert joined.lines[0] == 'Joined "api-review". You are claude-2.'
    assert "claude-2: Who is first?" in heard.text


async def test_an_agent_keeps_its_name_when_a_standby_is_added_to_the_address(machine: Machine):
    store = new_database()
    one = urlsplit(store)
    both = one._replace(netloc=f"{one.netloc},127.0.0.1:1").geturl()
    first = await machine.server(env={"ROOM_MCP_STORE": store})
    opened = await first.call("create_room", name="api-review")
    await first.call("send_message", room="api-review", content="Line 40 misses it.")
    await first.end()

    again = await machine.server(env={"ROOM_MCP_STORE": both})
    sent = await again.call("send_message", room="api-review", content="So does line 60.")
    closed = await again.call("close_room", room="api-review", conclusion="2 issues fixed")

    assert "You are claude." in opened.text
    assert "You are claude, joined just now." in sent.text
    assert "is closed: 2 issues fixed" in closed.text


async def test_only_the_creator_closes_a_room_there_and_others_learn_how_to_end_it(
    machine: Machine,
):
    url = await machine.backend()
    async with RoomsClient(url) as others:
        room = await others.create_room("api-review")
    server = await machine.server(env={"ROOM_MCP_URL": url})
    await server.call("join_room", room=room.id)

    refused = await server.call("close_room", room=room.id, conclusion="2 issues fixed")
    ended = await server.call(
        "send_message", room=room.id, type="decision", body={"outcome": "2 issues fixed"}
    )

    assert refused.is_error
    assert f'Next: send_message(room="{room.id}", type="decision", body=' in refused.text
    assert "is closed: 2 issues fixed" in ended.text


async def key(machine: Machine, name: str, **more: bool) -> str:
    """A server key, made where the server keeps its own."""
    async with open_client(Settings(machine.home, str(machine.home / ".room-mcp/rooms.db"))) as own:
        return (await own.keys.create(name, **more)).key


async def test_a_server_key_gives_its_holders_agents_their_names(machine: Machine):
    url = await machine.backend("--require-key")
    ann, bot = await key(machine, "ann", human=True), await key(machine, "bot")
    of_ann = await machine.server(env={"ROOM_MCP_URL": url, "ROOM_MCP_KEY": ann})
    of_bot = await machine.server(env={"ROOM_MCP_URL": url, "ROOM_MCP_KEY": bot})
    opened = await of_ann.call("create_room", name="api-review")
    assert opened.structured is not None
    room = opened.structured["room_id"]
    joined = await of_bot.call("join_room", room=room)
    await of_bot.call("send_message", room=room, content="Line 40 misses it.")
    waited = await of_ann.call("wait_for_messages")

    second = await machine.server(env={"ROOM_MCP_URL": url, "ROOM_MCP_KEY": bot})
    beside = await second.call("join_room", room=room)

    assert beside.lines[0] == 'Joined "api-review". You are bot/2.'
    assert opened.lines[0] == 'Room "api-review" opened. You are ann/claude.'
    assert f'Other agents: join_room(room="{room}")' in opened.text  # it is not listed
    assert joined.lines[0] == 'Joined "api-review". You are bot.'
    assert "bot: Line 40 misses it." in waited.text


async def test_a_name_that_the_key_does_not_stand_for_is_reported(machine: Machine):
    url = await machine.backend("--require-key")
    env = {"ROOM_MCP_URL": url, "ROOM_MCP_KEY": await key(machine, "ann", human=True)}
    server = await machine.server("--agent", "claude", env=env)
    refused = await server.call("create_room", name="api-review")

    assert refused.is_error
    assert "Your key stands for 'ann'" in refused.text
    assert "--agent NAME" in refused.text


@pytest.mark.parametrize("shown", ["", "rks_wrong"])
async def test_without_a_key_that_lets_one_in_the_user_is_told_how_to_get_one(
    machine: Machine, shown: str
):
    url = await machine.backend("--require-key")
    server = await machine.server(env={"ROOM_MCP_URL": url, "ROOM_MCP_KEY": shown})
    refused = await server.call("list_rooms")

    assert refused.is_error
    assert "room-mcp connect CODE" in refused.text
