"""Server keys: whom they stand for, and servers that let nobody in without one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from rest_desk import Desk, a_desk, must_be_problem

from room_mcp.backend.gate import Door
from room_mcp.backend.service import utc_now
from room_mcp.rooms.refusals import NotAMember

pytestmark = pytest.mark.anyio


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncGenerator[Desk]:
    """A server that wants keys, with demo rooms for everybody."""
    door = Door(requires_key=True, has_demo=True, lists_rooms=False)
    async with a_desk(tmp_path, door=door) as desk:
        yield desk


async def test_without_a_key_there_is_the_demo_and_the_description(closed: Desk):
    answers = {
        path: (await closed.http.get(path)).status_code
        for path in ("/healthz", "/llms.txt", "/openapi.json", "/docs", "/agent/rooms", "/")
    }
    made = await closed.http.post("/agent/rooms", json={"name": "x"})
    demo = await closed.http.post("/agent/demo/room", json={"name": "x"})
    id = demo.json()["id"]

    assert [path for path, status in answers.items() if status == 200] == [
        *("/healthz", "/llms.txt", "/openapi.json", "/docs")
    ]
    assert made.status_code == 401
    assert made.headers["www-authenticate"].startswith("Bearer")
    assert must_be_problem(made)["code"] == "key_required"
    assert (await closed.post(id, "bob")).status_code == 201


async def test_a_room_that_is_no_demo_does_not_exist_without_a_key(closed: Desk):
    ann = await closed.key("ann")
    made = await closed.http.post("/agent/rooms", json={"name": "x"}, headers=ann)
    id = made.json()["id"]
    codes = {
        must_be_problem(one)["code"]
        for one in (
            await closed.post(id, "bob"),
            await closed.http.get(f"/agent/rooms/{id}/messages"),
            await closed.http.post(f"/agent/rooms/{id}/join", json={"agentName": "bob"}),
            await closed.http.post(f"/agent/rooms/{id}/close", json={}),
        )
    }

    assert codes == {"room_not_found"}


async def test_a_wrong_or_revoked_key_lets_nobody_in_not_even_where_none_is_needed(desk: Desk):
    ann = await desk.key("ann")
    (key,) = await desk.store.server_keys()
    before = await desk.http.get("/agent/rooms", headers=ann)
    await desk.store.revoke_key(key.id, utc_now())
    after = await desk.http.get("/agent/rooms", headers=ann)
    wrong = await desk.http.get(
        "/agent/rooms", headers={"Authorization": ann["Authorization"][:-1] + "_"}
    )

    assert (before.status_code, after.status_code, wrong.status_code) == (200, 401, 401)
    assert must_be_problem(after)["code"] == "key_invalid"


async def test_a_key_speaks_under_its_own_names_alone_and_nobody_else_under_them(desk: Desk):
    ann, bob = await desk.key("ann"), await desk.key("bob")
    id = (await desk.room())["roomId"]
    mine = await desk.post(id, "ann/claude", headers=ann)
    other = await desk.post(id, "carl", headers=ann)
    stolen = [await desk.post(id, "ann/claude", headers=key) for key in ({}, bob)]

    assert mine.status_code == 201
    assert must_be_problem(other)["code"] == "name_not_yours"
    assert {one.status_code for one in stolen} == {403}


async def test_who_joins_with_a_server_key_gets_no_member_key(desk: Desk):
    ann = await desk.key("ann")
    id = (await desk.room())["roomId"]
    joined = await desk.http.post(
        f"/agent/rooms/{id}/join", json={"agentName": "ann", "protect": True}, headers=ann
    )

    assert joined.json()["agentKey"] is None
    assert joined.json()["room"]["members"][0]["protected"] is True


async def test_only_the_key_of_a_person_speaks_as_one(desk: Desk):
    agent, person = await desk.key("ann"), await desk.key("zoe", kind="human")
    id = (await desk.room())["roomId"]
    types = [
        (await desk.post(id, name, senderType=claim, headers=key)).json()["senderType"]
        for name, claim, key in (
            ("ann", "human", agent),
            ("zoe", "human", person),
            ("zoe", "system", person),
            ("zoe/claude", None, person),
        )
    ]

    assert types == ["agent", "human", "agent", "agent"]


async def test_the_owner_by_key_and_the_admin_keep_a_room_in_order(desk: Desk):
    ann, bob, root = await desk.key("ann"), await desk.key("bob"), await desk.key("r", admin=True)
    made = await desk.http.post("/agent/rooms", json={"name": "x"}, headers=ann)
    path = f"/agent/rooms/{made.json()['id']}/pause"
    statuses = [
        (await desk.http.post(path, json={}, headers=key)).status_code for key in (bob, ann, root)
    ]

    assert statuses == [403, 200, 200]


async def test_unlisted_rooms_are_found_by_those_whose_they_are(closed: Desk):
    ann, bob, root = (
        await closed.key("ann"),
        await closed.key("bob"),
        await closed.key("r", admin=True),
    )
    made = await closed.http.post("/agent/rooms", json={"name": "x"}, headers=ann)
    seen = [
        [one["id"] for one in (await closed.http.get("/agent/rooms", headers=key)).json()["rooms"]]
        for key in (ann, bob, root)
    ]
    await closed.http.post(
        f"/agent/rooms/{made.json()['id']}/join", json={"agentName": "bob"}, headers=bob
    )
    later = (await closed.http.get("/agent/rooms", headers=bob)).json()["rooms"]

    id = made.json()["id"]
    assert seen == [[id], [], [id]]
    assert [one["id"] for one in later] == [id]


async def test_a_room_of_the_same_key_is_used_again_by_name(closed: Desk):
    ann, bob = await closed.key("ann"), await closed.key("bob")
    new = {"name": "x", "reuse": True}
    first, again, others = [
        (await closed.http.post("/agent/rooms", json=new, headers=key)).json()
        for key in (ann, ann, bob)
    ]

    assert (again["id"], again["created"]) == (first["id"], False)
    assert others["id"] != first["id"]


async def test_a_key_that_is_revoked_during_a_wait_gets_nothing_of_it(desk: Desk):
    ann = await desk.key("ann")
    (key,) = await desk.store.server_keys()
    id = (await desk.room())["roomId"]
    await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "ann"}, headers=ann)
    waited: list[httpx2.Response] = []

    async def wait() -> None:
        query = {"reader": "ann", "wait": 50}
        waited.append(await desk.http.get(f"/agent/rooms/{id}/messages", params=query, headers=ann))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await desk.until_waiting(id, "ann")
            await desk.store.revoke_key(key.id, utc_now())
            await desk.say(id, "bob", "secret")

    assert waited[0].status_code == 401
    assert "secret" not in waited[0].text


async def test_a_body_that_ends_after_its_key_was_revoked_does_nothing(desk: Desk):
    root = await desk.key("root", admin=True)
    (key,) = await desk.store.server_keys()

    async def slowly() -> AsyncGenerator[bytes]:
        yield b'{"name":'
        await desk.store.revoke_key(key.id, utc_now())
        yield b'"mallory"}'

    headers = {**root, "Content-Type": "application/json"}
    made = await desk.http.post("/agent/keys", content=slowly(), headers=headers)

    assert made.status_code == 401
    assert [one.name for one in await desk.store.server_keys()] == ["root"]


async def test_an_export_stops_when_its_reader_is_sent_away(desk: Desk):
    made = (await desk.http.post("/agent/rooms", json={"name": "x", "access": "keyed"})).json()
    bob = await desk.key("bob")
    await desk.http.post(f"/agent/rooms/{made['id']}/join", json={"agentName": "bob"}, headers=bob)
    for number in range(3):
        batch = [{"sender": "bob", "content": f"{number} {one}"} for one in range(100)]
        path = f"/agent/rooms/{made['id']}/messages/batch"
        await desk.http.post(path, json={"messages": batch}, headers=bob)
    follower = desk.app.state.services.follower
    parts = follower.jsonl(made["id"], _once())

    assert len([part async for part in parts]) == 100


def _once() -> Any:
    """May go on, and then no more."""
    asked: list[object] = []

    async def may_go_on(room: object) -> None:
        asked.append(room)
        if len(asked) > 1:
            raise NotAMember("gone")

    return may_go_on


async def test_the_last_use_of_a_key_is_noted(desk: Desk):
    ann = await desk.key("ann")
    await desk.http.get("/agent/rooms", headers=ann)

    with anyio.fail_after(20):
        while (await desk.store.server_keys())[0].used_at is None:
            await anyio.lowlevel.checkpoint()
