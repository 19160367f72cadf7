"""Waiting: one room's long-poll, the updates of many, and how waits end."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from rest_desk import NOBODY, Desk, exchange

from room_mcp.backend.app import drain

pytestmark = pytest.mark.anyio


async def while_waiting(desk: Desk, id: str, act: Any) -> dict[str, Any]:
    """Bob's wait in the room, which he sits in when `act` happens: status and body."""
    await desk.join(id, "bob")
    found: dict[str, Any] = {}
    last = (await desk.read(id))["lastSeq"]

    async def wait() -> None:
        page = await desk.http.get(
            f"/agent/rooms/{id}/messages", params={"after": last, "wait": 50, "reader": "bob"}
        )
        found.update(page.json(), status=page.status_code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await desk.until_waiting(id, "bob")
            await act
    return found


@pytest.mark.parametrize("type", ["note", "ack"])
async def test_a_wait_returns_on_any_message_also_one_that_wakes_nobody(desk: Desk, type: str):
    id = (await desk.room())["roomId"]
    page = await while_waiting(desk, id, desk.say(id, "alice", "hi", type=type))

    assert [one["content"] for one in page["messages"]] == ["hi"]
    assert page["nextCursor"] == 1


async def test_a_wait_that_runs_out_is_empty_and_leaves_the_cursor(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    page = await desk.read(id, after=1, wait=0.01)

    assert (page["messages"], page["nextCursor"], page["hasMore"]) == ([], 1, False)


async def test_a_wait_for_what_is_there_already_does_not_wait(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    with anyio.fail_after(20):
        page = await desk.read(id, after=0, wait=50)

    assert len(page["messages"]) == 1


async def test_closing_ends_a_wait_and_says_how_it_ended(desk: Desk):
    id = (await desk.room())["roomId"]
    page = await while_waiting(desk, id, desk.say(id, "alice", "Go.", type="decision"))

    assert [one["type"] for one in page["messages"]] == ["decision", "room.closed"]
    assert (page["closed"], page["outcome"]) == (True, "decided")


@pytest.mark.parametrize("call", ["pause", "close"])
async def test_the_owner_ends_waits_by_pausing_and_closing(desk: Desk, call: str):
    made = await desk.room()
    id = made["roomId"]
    act = desk.http.post(f"/agent/rooms/{id}/{call}", json={"ownerKey": made["ownerKey"]})
    page = await while_waiting(desk, id, act)

    assert page["messages"][-1]["type"] == f"room.{call}d"
    assert page["messages"][-1]["senderType"] == "system"


async def test_deleting_a_room_ends_its_waits_with_not_found(desk: Desk):
    made = await desk.room()
    id = made["roomId"]
    headers = {"Authorization": f"Bearer {made['ownerKey']}"}
    page = await while_waiting(desk, id, desk.http.delete(f"/api/rooms/{id}", headers=headers))

    assert (page["status"], page["code"]) == (404, "room_not_found")


async def test_a_wait_in_a_closed_room_ends_at_once(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "Go.", type="decision")
    with anyio.fail_after(20):
        page = await desk.read(id, after=2, wait=50)

    assert (page["messages"], page["closed"]) == ([], True)


async def test_who_sits_in_a_wait_is_seen_and_named_to_whoever_wakes_him(desk: Desk):
    id = (await desk.room())["roomId"]
    said: list[dict[str, Any]] = []

    async def say() -> None:
        said.append(await desk.say(id, "alice"))

    await while_waiting(desk, id, say())
    info = (await desk.http.get(f"/agent/rooms/{id}/info")).json()

    assert said[0]["waiting"] == ["bob"]
    assert not any(one["waiting"] for one in info["members"])


async def test_a_client_that_hangs_up_ends_its_wait_without_an_error(
    desk: Desk, caplog: pytest.LogCaptureFixture
):
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    path = f"/agent/rooms/{id}/messages?after=0&wait=50&reader=bob"
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", path) as wait:
            await desk.until_waiting(id, "bob")
            wait.hang_up()
            await wait.until_ended()
        info = (await desk.http.get(f"/agent/rooms/{id}/info")).json()

    assert not any(one["waiting"] for one in info["members"])
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_stopping_the_server_ends_all_waits_and_refuses_new_ones_for_now(desk: Desk):
    id = (await desk.room())["roomId"]

    async def stop() -> None:
        drain(desk.app)

    page = await while_waiting(desk, id, stop())
    with anyio.fail_after(20):
        later = await desk.http.get("/agent/updates", params={"rooms": f"{id}:0", "wait": 50})

    assert (page["status"], page["messages"], page["nextCursor"]) == (200, [], 0)
    assert (later.status_code, later.json()["code"]) == (503, "draining")
    assert later.headers["Retry-After"] == "1"


# ---- updates of many rooms ----------------------------------------------------------------------


async def test_updates_answer_only_the_rooms_with_something_new(desk: Desk):
    ids = [(await desk.room(name))["roomId"] for name in ("a", "b", "c")]
    await desk.say(ids[0], "alice", "old")
    await desk.say(ids[1], "alice", "new")
    rooms = f"{ids[0]}:1,{ids[1]}:0,{ids[2]}"
    found = (await desk.http.get("/agent/updates", params={"rooms": rooms})).json()

    assert [one["roomId"] for one in found["rooms"]] == [ids[1]]
    assert found["rooms"][0]["messages"][0]["content"] == "new"


async def test_updates_wait_for_the_first_of_many_rooms(desk: Desk):
    ids = [(await desk.room(name))["roomId"] for name in ("a", "b")]
    await desk.join(ids[1], "bob")
    query = f"rooms={ids[0]}:0,{ids[1]}:0&wait=50&reader=bob"
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/updates?{query}") as wait:
            await desk.until_waiting(ids[1], "bob")
            await desk.say(ids[0], "alice", "woke you")
            await wait.until("woke you")

    assert wait.status == 200


async def test_updates_name_a_room_that_is_gone_and_one_whose_cursor_is_ahead(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    rooms = f"{NOBODY}:3,{id}:9"
    found = (await desk.http.get("/agent/updates", params={"rooms": rooms, "wait": 5})).json()

    assert [(one["lifecycle"], one["lastSeq"]) for one in found["rooms"]] == [
        (None, 0),
        ("open", 1),
    ]


async def test_updates_tell_that_a_room_was_opened(desk: Desk):
    number = (await desk.http.get("/agent/rooms")).json()["directory"]
    query = f"directory={number}&wait=50"
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/updates?{query}") as wait:
            await desk.room()
            await wait.until("directory")

    assert f'"directory":{number}' not in wait.body.decode()


async def test_updates_that_run_out_are_empty(desk: Desk):
    id = (await desk.room())["roomId"]
    found = await desk.http.get("/agent/updates", params={"rooms": f"{id}:0", "wait": "0.01"})

    assert found.json()["rooms"] == []
