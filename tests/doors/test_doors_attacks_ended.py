"""A key that has ended, or a membership: nothing comes any more, wherever something was open."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from attackers import locked_server, room_of, say, shown, use
from doorway import SOON_S, modern_call
from grounds import LOCKED, Grounds, a_server, streaming

from room_mcp.backend.callers import key_id

pytestmark = pytest.mark.anyio


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Grounds]:
    async with locked_server(tmp_path / "home") as server:
        yield server


# ---- keys that have ended -----------------------------------------------------------------------


async def revoke(server: Grounds, name: str) -> None:
    await server.store.revoke_key(key_id(server.keys[name]), datetime.now(UTC))


@pytest.fixture(params=["this process", "another process"])
async def shared_room(
    locked: Grounds, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[tuple[Grounds, Grounds, str]]:
    """The server at which eve is, the one at which her key is revoked, and a room she is in."""
    id = await room_of(locked, access="keyed")
    await locked.done("eve", f"/agent/rooms/{id}/join", {"agentName": "eve"})
    if request.param == "this process":
        yield locked, locked, id
        return
    async with a_server(tmp_path / "home", LOCKED) as other:
        other.keys = locked.keys
        yield locked, other, id


async def test_a_revoked_key_ends_with_the_next_call(shared_room: tuple[Grounds, Grounds, str]):
    here, there, id = shared_room
    before = await here.call("eve", "GET", "/agent/me")
    await use(here, "eve", "list_rooms")

    await revoke(there, "eve")

    after = [
        await here.call("eve", "GET", "/agent/me"),
        await here.call("eve", "GET", f"/agent/rooms/{id}/messages"),
        await shown(here, "eve", f"/rooms/{id}"),
    ]
    tool = await use(here, "eve", "list_rooms")
    assert before.status_code == 200
    assert [one.status_code for one in after] == [401] * 3
    assert tool.verdict == "401"


@pytest.mark.parametrize("query", ["reader=eve&wait=20", "wait=20"])
async def test_an_open_wait_of_a_revoked_key_delivers_nothing(
    shared_room: tuple[Grounds, Grounds, str], query: str
):
    here, there, id = shared_room
    path = f"/agent/rooms/{id}/messages?after=1&{query}"
    updates = f"/agent/updates?rooms={id}:1&wait=20"
    async with (
        streaming(here.app, "GET", path, here.headers("eve")) as wait,
        streaming(here.app, "GET", updates, here.headers("eve")) as poll,
    ):
        await everybody_waits()
        await revoke(there, "eve")
        await say(there, "ann", id, "zqsecret")
        await wait.until_ended()
        await poll.until_ended()

    assert (wait.status, poll.status) == (401, 401)
    assert "zqsecret" not in wait.body + poll.body


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_a_stream_of_a_revoked_key_ends(
    shared_room: tuple[Grounds, Grounds, str], accept: str
):
    here, there, id = shared_room
    headers = {**here.headers("eve"), "Accept": accept}
    async with streaming(here.app, "GET", f"/agent/rooms/{id}/stream", headers) as stream:
        await stream.until("hers")
        await revoke(there, "eve")
        await say(there, "ann", id, "zqsecret")
        await stream.until_ended()

    assert "zqsecret" not in stream.body


async def test_listening_by_mcp_ends_with_the_key(shared_room: tuple[Grounds, Grounds, str]):
    here, there, id = shared_room
    async with here.listening("eve", f"room://{id}/history") as stream:
        await stream.until("acknowledged")
        await say(there, "ann", id, "told")
        await stream.until("resources/updated")
        told = stream.body.count("resources/updated")
        await revoke(there, "eve")
        await say(there, "ann", id, "zqsecret")
        await stream.until_ended()

    assert stream.body.count("resources/updated") == told


async def test_listening_by_mcp_ends_with_the_membership(shared_room: tuple[Grounds, Grounds, str]):
    here, there, id = shared_room
    async with here.listening("eve", f"room://{id}/history") as stream:
        await stream.until("acknowledged")
        await there.done("ann", f"/agent/rooms/{id}/remove", {"name": "eve"})
        await say(there, "ann", id, "zqsecret")
        await stream.until_ended()

    assert "resources/updated" not in stream.body


async def test_listening_for_rooms_by_mcp_ends_with_the_key(
    shared_room: tuple[Grounds, Grounds, str],
):
    here, there, _ = shared_room
    async with here.listening("eve", the_list=True) as stream:
        await stream.until("acknowledged")
        await revoke(there, "eve")
        await there.done("ann", "/agent/rooms", {"name": "another"})
        await stream.until_ended()

    assert "list_changed" not in stream.body


async def test_the_older_era_is_told_of_nothing_after_the_membership(
    shared_room: tuple[Grounds, Grounds, str],
):
    here, there, id = shared_room
    other = await room_of(there)
    session = await here.session("eve")
    for room in (id, other):
        await here.ask_in(session, "eve", "resources/subscribe", uri=f"room://{room}/history")
    async with here.channel("eve", session) as channel:
        await say(there, "ann", id, "told")
        await channel.until(id)
        told = channel.body.count(id)
        await there.done("ann", f"/agent/rooms/{id}/remove", {"name": "eve"})
        await say(there, "ann", id, "zqsecret")
        await say(there, "ann", other, "what comes after it")
        await channel.until(other)

    assert channel.body.count(id) == told


async def test_the_older_era_is_told_of_nothing_after_the_key(
    shared_room: tuple[Grounds, Grounds, str],
):
    here, there, id = shared_room
    sessions = {caller: await here.session(caller) for caller in ("eve", "ann")}
    for caller, session in sessions.items():
        await here.ask_in(session, caller, "resources/subscribe", uri=f"room://{id}/history")
        await here.ask_in(session, caller, "resources/list")
    async with (
        here.channel("eve", sessions["eve"]) as eve,
        here.channel("ann", sessions["ann"]) as ann,
    ):
        await revoke(there, "eve")
        await say(there, "ann", id, "zqsecret")
        await there.done("ann", "/agent/rooms", {"name": "another", "listed": True})
        await ann.until("resources/updated")
        await ann.until("resources/list_changed")
        await everybody_waits()

    assert "notifications/resources" not in eve.body


async def test_whoever_was_removed_has_no_mail_from_the_room(locked: Grounds):
    id = await room_of(locked, access="keyed", listed=True)
    other = await room_of(locked)
    await use(locked, "eve", "join_room", room=other)
    await use(locked, "eve", "join_room", room=id)
    await say(locked, "ann", id, "unread")
    before = await use(locked, "eve", "read_history", room=other)
    await locked.done("ann", f"/agent/rooms/{id}/remove", {"name": "eve"})
    await say(locked, "ann", id, "zqsecret")

    after = await use(locked, "eve", "read_history", room=other)

    assert "Unread elsewhere" in before.text
    assert "Unread elsewhere" not in after.text


async def test_a_wait_by_mcp_of_a_revoked_key_delivers_nothing(
    shared_room: tuple[Grounds, Grounds, str],
):
    here, there, id = shared_room
    request = modern_call("wait_for_messages", room=id, timeout_s=30)
    headers = {**request["headers"], **here.headers("eve")}
    async with streaming(here.app, "POST", "/mcp", headers, request["json"]) as wait:
        await until_waiting(there, id, "eve")
        await revoke(there, "eve")
        await say(there, "ann", id, "zqsecret")
        await wait.until_ended()

    assert "zqsecret" not in wait.body


async def until_waiting(server: Grounds, id: str, name: str) -> None:
    with anyio.fail_after(SOON_S):
        while True:
            info = (await server.call("ann", "GET", f"/agent/rooms/{id}/info")).json()
            if any(one["waiting"] for one in info["members"] if one["name"] == name):
                return
            await anyio.lowlevel.checkpoint()


async def everybody_waits() -> None:
    """Until every task has come to where it waits for something."""
    await anyio.wait_all_tasks_blocked()


async def test_listening_by_name_tells_of_no_room_of_the_same_name_that_is_anothers(
    locked: Grounds,
):
    rooms = {
        name: (await locked.done(name, "/agent/rooms", {"name": "plan", "access": "keyed"}))["id"]
        for name in ("ann", "eve")
    }
    async with (
        locked.listening("ann", "room://plan/history") as anns,
        locked.listening("eve", "room://plan/history") as eves,
    ):
        await anns.until("acknowledged")
        await eves.until("acknowledged")
        await say(locked, "ann", rooms["ann"], "told")
        await anns.until("resources/updated")
        before = eves.body.count("resources/updated")
        await say(locked, "eve", rooms["eve"], "told")
        await eves.until("resources/updated")

    assert before == 0
    assert eves.body.count("resources/updated") == 1
