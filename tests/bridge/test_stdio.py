"""The server as hosts run it: a process with pipes, signals, and a home folder it shares."""

from __future__ import annotations

import json
import signal

import pytest
from house import until
from processes import LIVELY, PRINTING, Machine, Server

from room_mcp.client import RoomsClient

pytestmark = pytest.mark.anyio

# A name is held alike in both eras; processes take long to start.
IN_ONE_ERA = pytest.mark.parametrize("era", ["legacy"], indirect=True)


async def waiting(rooms: RoomsClient, server: Server, name: str) -> int:
    """Start a wait, and return its id once others see that this member waits."""
    id = await server.begin("wait_for_messages", room="api-review")

    async def sits() -> bool:
        return name in (await rooms.rooms()).rooms[0].waiting

    await until(sits)
    return id


async def test_two_windows_talk_until_the_room_ends(machine: Machine, rooms: RoomsClient):
    one, two = await machine.server(), await machine.server(host="codex-mcp-client")
    opened = await one.call("create_room", name="api-review", purpose="review PR 12")
    joined = await two.call("join_room", room="api-review")
    waits = await waiting(rooms, one, "claude")
    sent = await two.call("send_message", room="api-review", content="Ready?", type="question")
    asked = await one.answer(waits)
    await one.call("send_message", room="api-review", type="decision", body={"outcome": "merge it"})
    over = await two.call("send_message", room="api-review", content="Thanks!")

    assert opened.lines[0] == 'Room "api-review" opened. You are claude.'
    assert joined.lines[0] == 'Joined "api-review". You are codex. Purpose: review PR 12'
    assert sent.lines[0] == "Sent #1 [question] to claude, who is waiting."
    assert asked.lines[1] == "#1 0s codex [question]: Ready?"
    assert over.is_error


async def test_nothing_but_json_rpc_comes_out_even_when_something_prints(machine: Machine):
    server = await machine.server(code=PRINTING)
    await server.call("create_room", name="api-review", purpose="review PR 12")
    await server.call("list_rooms")
    code = await server.end()
    await server.read_rest()

    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in server.lines)
    assert "print from call" in server.stderr
    assert "write to descriptor 1" in server.stderr
    assert "from a child" in server.stderr
    assert code == 0


@pytest.mark.parametrize(
    ("how", "code"), [("EOF", 0), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=str
)
async def test_the_process_ends_in_order_even_with_an_open_wait(
    machine: Machine, rooms: RoomsClient, how: str | signal.Signals, code: int
):
    room = await rooms.create_room("api-review")
    server = await machine.server()
    await server.call("join_room", room="api-review")
    await rooms.post(room.id, "bob", "Line 40 misses it.")
    await server.call("wait_for_messages", room="api-review")
    await server.call("list_rooms")
    await waiting(rooms, server, "claude")

    ended = await server.end() if isinstance(how, str) else await server.kill(how)

    assert ended == code
    assert server.stderr == ""
    members = (await rooms.info(room.id)).members
    assert {one.name: one.read_to for one in members}["claude"] == 1


async def test_a_cancelled_wait_loses_no_message(machine: Machine, rooms: RoomsClient):
    room = await rooms.create_room("api-review")
    server = await machine.server()
    await server.call("join_room", room="api-review")
    await rooms.post(room.id, "bob", "Line 40 misses it.")
    call = {"room": "api-review", "content": "Reading.", "wait": True}
    dropped = await server.begin("send_message", **call)

    async def sits() -> bool:
        return "claude" in (await rooms.rooms()).rooms[0].waiting

    await until(sits)
    await server.cancel(dropped)
    repeated = await server.call("send_message", **{**call, "wait": False})

    assert repeated.lines[0] == "Already sent as #2; nothing was doubled."
    assert "bob (shown before): Line 40 misses it." in repeated.text


async def test_signs_of_life_come_only_with_a_token_and_strictly_rise(
    machine: Machine, rooms: RoomsClient
):
    room = await rooms.create_room("api-review")
    server = await machine.server(code=LIVELY)
    await server.call("join_room", room="api-review")
    silent = await server.call("wait_for_messages", room="api-review", timeout_s=1)
    without = list(server.notes)
    id = await server.begin("wait_for_messages", token="t1", room="api-review")
    await until_noted(server, 3)
    await rooms.post(room.id, "bob", "Line 40 misses it.")
    woken = await server.answer(id)

    signs = [note["params"]["progress"] for note in server.notes]
    assert "Nothing new in 1 s." in silent.text
    assert without == []
    assert signs == sorted(set(signs))
    assert {note["params"]["progressToken"] for note in server.notes} == {"t1"}
    assert "Line 40 misses it." in woken.text


async def until_noted(server: Server, count: int) -> None:
    while len(server.notes) < count:
        await server.read()


NOISE = [
    b"this is not JSON\n",
    b'{"jsonrpc": "2.0", "id": 77, "method": \n',
    b"\xff\xfe\xfa\n",
    b"\n",
    b"[]\n",
    b'{"jsonrpc": "2.0", "id": 78, "method": "no/such/method", "params": {}}\n',
    b'{"jsonrpc": "2.0", "id": 79, "method": "tools/call", "params": {"name": 5}}\n',
    b'{"jsonrpc": "2.0", "method": "notifications/no/such", "params": {}}\n',
    b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 999}}\n',
    b'{"jsonrpc": "2.0", "id": 80, "result": {}}\n',
    b'{"jsonrpc": "2.0", "id": 81, "method": "tools/call", "params": '
    b'{"name": "list_rooms", "arguments": {"query": "\\ud83d"}}}\n',
]


async def test_noise_on_stdin_does_not_keep_the_next_call_from_its_answer(machine: Machine):
    server = await machine.server()

    for noise in NOISE:
        await server.write(noise)
        answer = await server.call("list_rooms")
        assert answer.lines[0].startswith("No open rooms in ~/.room-mcp/rooms.db (embedded)."), (
            noise
        )

    assert server.process.returncode is None


# ---- names -------------------------------------------------------------------------------------


@IN_ONE_ERA
async def test_two_windows_of_a_host_have_two_names_and_keep_them(
    machine: Machine, rooms: RoomsClient
):
    idle = await machine.server()
    await idle.call("list_rooms")
    one = await machine.server(folder="one")
    two = await machine.server(folder="two")
    await one.call("create_room", name="api-review")
    joined = await two.call("join_room", room="api-review")
    await one.end()
    await two.end()
    two_again = await machine.server(folder="two")
    rejoined = await two_again.call("join_room", room="api-review")

    assert joined.lines[0] == 'Joined "api-review". You are claude-2.'
    assert rejoined.lines[0] == 'Joined "api-review". You are claude-2.'
    assert [one.name for one in (await rooms.info((await rooms.rooms()).rooms[0].id)).members] == [
        "claude",
        "claude-2",
    ]
    assert idle.process.returncode is None


@IN_ONE_ERA
async def test_a_killed_process_frees_its_name(machine: Machine):
    one = await machine.server()
    await one.call("create_room", name="api-review")
    await one.kill(signal.SIGKILL)

    two = await machine.server()
    joined = await two.call("join_room", room="api-review")

    assert joined.lines[0] == 'Joined "api-review". You are claude.'


@IN_ONE_ERA
async def test_an_explicit_name_that_is_held_is_refused_with_a_sentence(machine: Machine):
    one = await machine.server("--agent", "rex")
    await one.call("create_room", name="api-review")
    two = await machine.server("--agent", "Rex")

    refused = await two.call("join_room", room="api-review")
    listed = await two.call("list_rooms")

    assert refused.is_error
    assert "The name 'Rex' is held by another live process of this machine." in refused.text
    assert "--agent NAME" in refused.text
    assert not listed.is_error


# ---- what a log may hold -----------------------------------------------------------------------


@IN_ONE_ERA
async def test_stderr_is_empty_while_all_goes_well(machine: Machine, rooms: RoomsClient):
    server = await machine.server()
    await server.call("create_room", name="secret-room")
    await server.call("send_message", room="secret-room", content="secret words")
    await server.call("send_message", room="secret-rom", content="secret words")
    await server.call("close_room", room="secret-room", conclusion="secret words")
    await server.call("send_message", room="secret-room", content="secret words")
    await server.end()

    assert server.stderr == ""


async def test_a_window_that_has_not_joined_is_not_taken_for_another(machine: Machine):
    one = await machine.server()
    await one.call("create_room", name="api-review")
    await one.call("send_message", room="api-review", content="hello from window one")
    two = await machine.server()
    read = await two.call("read_history", room="api-review")

    assert read.lines[1].endswith(" claude: hello from window one")


async def test_a_host_with_a_process_for_each_call_is_not_shown_the_same_for_ever(machine: Machine):
    async def waited() -> str:
        server = await machine.server("--agent", "ann", "--max-wait", "0.05")
        answer = await server.call("wait_for_messages", room="api-review")
        assert await server.end() == 0
        return answer.text

    ann, bob = await machine.server("--agent", "ann"), await machine.server("--agent", "bob")
    await ann.call("create_room", name="api-review")
    await ann.end()
    await bob.call("send_message", room="api-review", content="look here")

    first, second, third = await waited(), await waited(), await waited()

    assert "bob: look here" in first
    assert "(shown before)" in second  # the first may never have reached the model
    assert third.startswith("Nothing new")
