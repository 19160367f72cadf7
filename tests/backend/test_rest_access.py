"""Keyed and approval rooms, and what their owner decides about others."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from rest_desk import Desk, must_be_problem

pytestmark = pytest.mark.anyio


async def call(desk: Desk, room: dict[str, Any], act: str, **body: Any) -> httpx2.Response:
    """A call of the owner."""
    path = f"/agent/rooms/{room['id']}/{act}"
    return await desk.http.post(path, json={"ownerKey": room["ownerKey"], **body})


async def knock(desk: Desk, room: dict[str, Any], name: str) -> dict[str, str]:
    """Ask to come in; the header with the key that the answer gives."""
    asked = await desk.http.post(f"/agent/rooms/{room['id']}/join", json={"agentName": name})
    assert (asked.status_code, asked.json()["pending"]) == (202, True)
    return {"Room-Key": asked.json()["agentKey"]}


def reading(id: str) -> list[tuple[str, str]]:
    """The calls that tell something of a room."""
    room, owners = f"/agent/rooms/{id}", f"/api/rooms/{id}"
    return [
        *[("GET", f"{room}/{of}") for of in ("messages", "history", "info", "stream", "export")],
        *[("GET", f"{room}/search?q=hello"), ("POST", f"{room}/heartbeat")],
        *[("GET", owners), ("GET", f"{owners}/messages"), ("GET", f"{owners}/stream")],
    ]


@pytest.mark.parametrize("access", ["keyed", "approval"])
@pytest.mark.parametrize(("listed", "code"), [(True, "not_a_member"), (False, "room_not_found")])
async def test_strangers_read_nothing_of_a_room_that_is_not_open(
    desk: Desk, access: str, listed: bool, code: str
):
    room = await desk.room(access=access, listed=listed)
    answers = [
        await desk.http.request(method, path, **({"json": {}} if method == "POST" else {}))
        for method, path in reading(room["id"])
    ]

    assert {must_be_problem(one)["code"] for one in answers} == {code}


async def test_a_member_of_a_keyed_room_reads_and_posts_with_his_key(desk: Desk):
    room = await desk.room(access="keyed")
    key = {"Room-Key": (await desk.join(room["id"], "bob"))["agentKey"]}
    posted = await desk.post(room["id"], "bob", headers=key)
    read = await desk.http.get(f"/agent/rooms/{room['id']}/messages", headers=key)
    without = await desk.post(room["id"], "bob")

    assert (posted.status_code, len(read.json()["messages"])) == (201, 1)
    assert without.status_code == 403


async def test_the_directory_shows_of_it_how_to_ask_and_no_more(desk: Desk):
    room = await desk.room("secret", purpose="what for", access="keyed")
    key = {"Room-Key": (await desk.join(room["id"], "bob"))["agentKey"]}
    await desk.post(room["id"], "bob", headers=key)

    (row,) = (await desk.http.get("/agent/rooms")).json()["rooms"]
    assert (row["access"], row["purpose"]) == ("keyed", "what for")
    assert (row["messageCount"], row["lastSeq"], row["members"]) == (0, 0, [])
    (row,) = (await desk.http.get("/agent/rooms", headers=key)).json()["rooms"]
    assert (row["messageCount"], row["members"]) == (1, ["bob"])


async def test_one_request_about_many_rooms_carries_a_key_for_each(desk: Desk):
    rooms = [await desk.room(name, access="keyed") for name in ("one", "two")]
    keys = [(await desk.join(room["id"], "bob"))["agentKey"] for room in rooms]
    for room, key in zip(rooms, keys, strict=True):
        await desk.say(room["id"], "bob", agentKey=key)
    wanted = ",".join(f"{room['id']}:0" for room in rooms)
    both = await desk.http.get(
        "/agent/updates", params={"rooms": wanted}, headers={"Room-Key": ",".join(keys)}
    )
    none = await desk.http.get("/agent/updates", params={"rooms": wanted})

    assert [len(one["messages"]) for one in both.json()["rooms"]] == [1, 1]
    assert [one["lifecycle"] for one in none.json()["rooms"]] == [None, None]


async def test_admission_ends_the_wait_of_whoever_asked(desk: Desk):
    room = await desk.room(access="approval")
    key = await knock(desk, room, "bob")
    waited: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/agent/rooms/{room['id']}/messages"
        query = {"reader": "bob", "wait": 50}
        waited.append(await desk.http.get(path, params=query, headers=key))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            admitted = await call(desk, room, "admit", name="bob")

    assert admitted.status_code == 200
    assert (waited[0].status_code, waited[0].json()["pending"]) == (200, False)
    assert (await desk.post(room["id"], "bob", headers=key)).status_code == 201


async def test_until_then_an_answer_says_that_and_nothing_else(desk: Desk):
    room = await desk.room(access="approval")
    await desk.http.post(
        f"/api/rooms/{room['id']}/messages",
        json={"content": "secret", "agentKey": room["ownerKey"]},
    )
    key = await knock(desk, room, "bob")
    page = await desk.http.get(
        f"/agent/rooms/{room['id']}/messages", params={"reader": "bob"}, headers=key
    )
    other = await desk.http.get(f"/agent/rooms/{room['id']}/info", headers=key)

    assert (page.json()["pending"], page.json()["messages"]) == (True, [])
    assert page.json()["lastSeq"] == 0
    assert must_be_problem(other)["code"] == "not_yet_admitted"


async def test_only_the_owner_sees_who_waits(desk: Desk):
    room = await desk.room(access="approval")
    await knock(desk, room, "bob")
    path = f"/agent/rooms/{room['id']}/info"
    info = (await desk.http.get(path, headers={"Room-Key": room["ownerKey"]})).json()

    assert ([one["name"] for one in info["knocking"]], info["owned"]) == (["bob"], True)


async def test_declined_is_what_he_is_told_who_waits(desk: Desk):
    room = await desk.room(access="approval")
    key = await knock(desk, room, "bob")
    await call(desk, room, "decline", name="bob")
    path = f"/agent/rooms/{room['id']}"
    waited = await desk.http.get(
        f"{path}/messages", params={"reader": "bob", "wait": 50}, headers=key
    )
    again = await desk.http.post(f"{path}/join", json={"agentName": "bob"})

    assert waited.status_code == 403
    assert must_be_problem(again)["code"] == "barred"


async def test_a_removed_member_hears_it_at_once(desk: Desk):
    room = await desk.room()
    await desk.join(room["id"], "bob")
    waited: list[httpx2.Response] = []

    async def wait() -> None:
        path = f"/agent/rooms/{room['id']}/messages"
        waited.append(await desk.http.get(path, params={"reader": "bob", "wait": 50}))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await desk.until_waiting(room["id"], "bob")
            await call(desk, room, "remove", name="bob")

    assert must_be_problem(waited[0])["code"] == "barred"
    assert must_be_problem(await desk.post(room["id"], "bob"))["code"] == "barred"


async def test_a_muted_member_is_told_so_and_may_speak_again_later(desk: Desk):
    room = await desk.room()
    await desk.join(room["id"], "bob")
    info = (await call(desk, room, "mute", name="bob")).json()
    refused = await desk.post(room["id"], "bob")
    await call(desk, room, "mute", name="bob", muted=False)

    assert [one["muted"] for one in info["members"]] == [True]
    assert must_be_problem(refused)["code"] == "muted"
    assert (await desk.post(room["id"], "bob")).status_code == 201


@pytest.mark.parametrize("act", ["admit", "decline", "mute", "remove"])
async def test_nobody_but_the_owner_decides(desk: Desk, act: str):
    room = await desk.room()
    key = (await desk.join(room["id"], "bob"))["agentKey"]
    path = f"/agent/rooms/{room['id']}/{act}"
    answers = [
        await desk.http.post(path, json={"name": "bob", **more})
        for more in ({}, {"ownerKey": key}, {"ownerKey": "rk_wrong"})
    ]

    assert {must_be_problem(one)["code"] for one in answers} == {"not_the_owner"}


async def test_a_stream_ends_when_its_reader_is_sent_away(desk: Desk):
    room = await desk.room(access="keyed")
    key = {"Room-Key": (await desk.join(room["id"], "bob"))["agentKey"]}
    read: list[httpx2.Response] = []

    async def follow() -> None:
        read.append(await desk.http.get(f"/agent/rooms/{room['id']}/stream", headers=key))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await call(desk, room, "remove", name="bob")

    assert "event: message" not in read[0].text
