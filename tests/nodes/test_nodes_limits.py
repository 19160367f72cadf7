"""What one caller may do, and who he is, is the same on all nodes at every moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from node_apps import HANGS_S, App, nodes_on

from room_mcp.store.interface import TextLeft

pytestmark = pytest.mark.anyio
Keyed = dict[str, str]


@pytest.fixture
async def nodes(database: str, tmp_path: Path) -> AsyncGenerator[Sequence[App]]:
    async with nodes_on(database, tmp_path, posts_per_s=4, waits=2, rooms=3) as nodes:
        yield nodes


def statuses(answers: Sequence[httpx2.Response]) -> dict[int, int]:
    """How many answers there are of each status."""
    return dict(Counter(one.status_code for one in answers))


async def test_the_posts_of_a_key_are_counted_together(nodes: Sequence[App]):
    ann = await nodes[0].key("ann")
    room = await nodes[0].room(ann)

    def said(node: App, n: int) -> Any:
        return node.say(room, "ann", f"no {n}", by=ann)

    answers = await asyncio.gather(*(said(nodes[n % 2], n) for n in range(50)))
    nodes[0].clock.pass_s(1)
    later = await asyncio.gather(*(said(nodes[n % 2], n) for n in range(10)))

    assert statuses(answers) == {201: 20, 429: 30}
    assert statuses(later) == {201: 4, 429: 6}


async def test_the_waits_of_a_key_are_counted_together(nodes: Sequence[App]):
    one, other = nodes
    ann = await one.key("ann")
    room = await one.room(ann)
    answers: list[httpx2.Response] = []

    async def wait(node: App, name: str) -> None:
        answers.append(await node.wait(room, name, 0, by=ann))

    for name in ("ann/1", "ann/2"):
        await one.do("POST", f"/agent/rooms/{room}/join", {"agentName": name}, by=ann)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, one, "ann/1")
        tasks.start_soon(wait, other, "ann/2")
        await other.until_waiting(room, "ann/1", by=ann)
        await one.until_waiting(room, "ann/2", by=ann)
        refused = [await node.wait(room, "", 0, by=ann) for node in nodes]
        await one.say(room, "ann", "go on", by=ann)

    assert statuses(refused) == {429: 2}
    assert statuses(answers) == {200: 2}


async def test_the_rooms_of_a_key_are_counted_together(nodes: Sequence[App]):
    ann = await nodes[0].key("ann")

    def opened(n: int) -> Any:
        return nodes[n % 2].ask("POST", "/agent/rooms", {"name": f"room {n}"}, by=ann)

    answers = await asyncio.gather(*(opened(n) for n in range(8)))

    assert statuses(answers) == {201: 3, 403: 5}


async def test_a_revoked_key_lets_nobody_in_on_any_node(nodes: Sequence[App]):
    one = nodes[0]
    root, ann = await one.key("root", admin=True), await one.key("ann")
    before = [await node.ask("GET", "/agent/me", by=ann) for node in nodes]
    id = before[0].json()["key"]["id"]

    await one.do("POST", f"/agent/keys/{id}/revoke", by=root)
    after = [await node.ask("GET", "/agent/me", by=ann) for node in nodes]

    assert [one.status_code for one in (*before, *after)] == [200, 200, 401, 401]


async def test_a_revoked_key_ends_a_wait_on_another_node(nodes: Sequence[App]):
    one, other = nodes
    root, ann, bob = await one.key("root", admin=True), await one.key("ann"), await one.key("bob")
    id = (await one.do("GET", "/agent/me", by=ann))["key"]["id"]
    room = await one.room(bob)
    await one.do("POST", f"/agent/rooms/{room}/join", {"agentName": "ann"}, by=ann)
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        answers.append(await one.wait(room, "ann", 0, by=ann))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await other.until_waiting(room, "ann", by=bob)
        await other.do("POST", f"/agent/keys/{id}/revoke", by=root)
        await other.say(room, "bob", "not for her any more", by=bob)

    assert answers[0].status_code == 401
    assert "not for her" not in answers[0].text


async def test_a_name_is_one_members_on_all_nodes(nodes: Sequence[App]):
    one, other = nodes
    ann, bob = await one.key("ann"), await one.key("bob")
    room = await one.room(ann)
    secret = await one.room(ann, access="keyed")
    await one.do("POST", f"/agent/rooms/{room}/join", {"agentName": "ann"}, by=ann)

    taken = await other.say(room, "ann", "not hers", by=bob)
    hers = await other.say(room, "ann", "hers", by=ann)
    unseen = await other.ask("GET", f"/agent/rooms/{secret}/messages", by=bob, after=0)
    seen = await other.ask("GET", f"/agent/rooms/{secret}/messages", by=ann, after=0)

    assert (taken.status_code, taken.json()["code"]) == (403, "name_protected")
    assert [one.status_code for one in (hers, unseen, seen)] == [201, 404, 200]


async def test_who_is_admitted_on_one_node_stops_waiting_on_another(nodes: Sequence[App]):
    one, other = nodes
    ann, bob = await one.key("ann"), await one.key("bob")
    room = await one.room(ann, access="approval")
    asked = await one.do("POST", f"/agent/rooms/{room}/join", {"agentName": "bob"}, by=bob)
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        at = f"/agent/rooms/{room}/messages"
        query = {"after": 0, "wait": 50, "reader": "bob", "pending": 1}
        answers.append(await one.ask("GET", at, by=bob, **query))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await _until_waits(one)
        await other.do("POST", f"/agent/rooms/{room}/admit", {"name": "bob"}, by=ann)

    assert asked["pending"] is True
    assert answers[0].status_code == 200
    assert (await one.say(room, "bob", "in", by=bob)).status_code == 201


async def _until_waits(node: App) -> None:
    with anyio.fail_after(HANGS_S):
        while not node.app.state.services.rooms.waits.open:
            await anyio.lowlevel.checkpoint()


async def test_retention_on_all_nodes_at_once_removes_each_room_once(database: str, tmp_path: Path):
    async with nodes_on(database, tmp_path, retention_days=1) as nodes:
        ann = await nodes[0].key("ann", admin=True)
        rooms = [await nodes[n % 2].room(ann) for n in range(6)]
        for id in rooms[:4]:
            ends = {"sender": "ann", "conclusion": "done"}
            await nodes[0].do("POST", f"/agent/rooms/{id}/close", ends, by=ann)
        nodes[0].clock.now += timedelta(days=1, hours=1)
        await nodes[0].say(rooms[5], "ann", "still in use", by=ann)

        retentions = [node.app.state.services.retention for node in nodes]
        ends = await asyncio.gather(*(one.round() for one in retentions), return_exceptions=True)
        await retentions[0].round()
        found = [await nodes[1].ask("GET", f"/agent/rooms/{id}/info", by=ann) for id in rooms]
        audit = (await nodes[0].do("GET", "/agent/audit", by=ann, limit=500))["entries"]

    assert [one.status_code for one in found] == [404] * 4 + [200] * 2
    # A node tells, and tries again, what another one is about to do: write tables anew.
    assert all(isinstance(end, TextLeft) for end in ends if end is not None)
    removed = [one for one in audit if one["act"] == "retention"]
    assert sorted(one["roomId"] for one in removed) == sorted(rooms[:4])
