"""The origin's calls, made as its clients make them: only the base URL is ours."""

from __future__ import annotations

import pytest
from rest_desk import Desk

pytestmark = pytest.mark.anyio


async def test_its_first_client_opens_a_room_posts_and_reads_the_latest(desk: Desk):
    made = await desk.http.post("/agent/demo/room", json={"name": "demo"})
    id = made.json()["roomId"]
    said = {"sender": "agent-a", "content": "hello"}
    posted = await desk.http.post(f"/agent/rooms/{id}/messages", json=said)
    messages = await desk.http.get(f"/agent/rooms/{id}/messages")
    history = await desk.http.get(f"/agent/rooms/{id}/history")

    assert (made.status_code, posted.status_code) == (201, 201)
    assert messages.json()["messages"][-1]["content"] == "hello"
    assert history.json()["messages"][-1]["content"] == "hello"


async def test_a_demo_room_answers_all_that_its_clients_read(desk: Desk):
    made = (await desk.http.post("/agent/demo/room", json={"name": "demo"})).json()

    assert made["id"] == made["roomId"]
    assert made["name"] == "demo"
    assert (made["messageCount"], made["lastSeq"], made["maxBytes"]) == (0, 0, 4_000)
    assert made["createdAt"].endswith("Z")
    assert made["ownerKey"].startswith("rk_")
    assert made["epoch"]


async def test_join_and_then_post_without_the_key_goes_on_working(desk: Desk):
    id = (await desk.room())["roomId"]
    joined = await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "Reviewer"})
    posted = await desk.post(id, "Reviewer")

    assert joined.status_code == 200
    assert joined.json()["agentSessionId"] == joined.json()["agentKey"]
    assert posted.status_code == 201


async def test_a_heartbeat_needs_only_the_session_id(desk: Desk):
    id = (await desk.room(purpose="Find the leak."))["roomId"]
    await desk.join(id, "bob")
    session = (await desk.join(id, "alice"))["agentSessionId"]

    beat = await desk.http.post(f"/agent/rooms/{id}/heartbeat", json={"agentSessionId": session})

    assert beat.status_code == 200
    assert beat.json()["agentName"] == "alice"
    assert beat.json()["objective"] == "Find the leak."
    assert [one["name"] for one in beat.json()["here"]] == ["bob"]


async def test_its_owner_client_works_with_the_account_token_of_the_origin(desk: Desk):
    token = {"Authorization": "Bearer im_live_0123456789"}
    made = await desk.http.post("/api/rooms", json={"name": "ops"}, headers=token)
    id = made.json()["id"]
    path = f"/api/rooms/{id}/messages"
    first = await desk.http.post(path, json={"content": "one"}, headers=token)
    second = await desk.http.post(path, json={"content": "two"}, headers=token)
    listed = await desk.http.get("/api/rooms", headers=token)
    room = await desk.http.get(f"/api/rooms/{id}", headers=token)
    read = await desk.http.get(path, params={"since": 0}, headers=token)

    assert [one.status_code for one in (made, first, second)] == [201, 201, 201]
    assert [one["id"] for one in listed.json()["rooms"]] == [id]
    assert room.json()["messageCount"] == 2
    assert [one["content"] for one in read.json()["messages"]] == ["one", "two"]


async def test_content_comes_back_exactly_as_sent(desk: Desk):
    id = (await desk.room())["roomId"]
    body = {"type": "review_note", "n": [1, 2.5, None, True], "ü": {"deep": "\u2028 🙂 \r\n"}}
    posted = await desk.say(id, "alice", body)
    read = (await desk.read(id))["messages"][0]

    assert posted["content"] == read["content"] == body
    assert read["type"] == "review_note"


async def test_joining_and_leaving_are_no_messages(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "the latest")
    await desk.join(id, "bob")
    await desk.http.post(f"/agent/rooms/{id}/leave", json={"sender": "alice"})

    read = await desk.read(id)

    assert [one["content"] for one in read["messages"]] == ["the latest"]


async def test_history_is_the_whole_room_however_many_messages_it_has(desk: Desk):
    id = (await desk.room())["roomId"]
    for first in range(0, 700, 100):
        said = [{"sender": "alice", "content": str(n)} for n in range(first, first + 100)]
        await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": said})

    history = (await desk.http.get(f"/agent/rooms/{id}/history")).json()

    assert [one["seq"] for one in history["messages"]] == list(range(1, 701))
    assert (history["hasMore"], history["prevCursor"]) == (False, None)


async def test_history_of_a_large_room_keeps_the_latest_and_says_where_to_go_on(desk: Desk):
    id = (await desk.room())["roomId"]
    long = "x" * 60_000
    for _ in range(4):
        said = [{"sender": "alice", "content": long, "type": "progress"}] * 10
        await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": said})

    newest = (await desk.http.get(f"/agent/rooms/{id}/history")).json()
    older = await desk.http.get(
        f"/agent/rooms/{id}/history", params={"before": newest["prevCursor"]}
    )

    seqs = [one["seq"] for one in newest["messages"]]
    before = [one["seq"] for one in older.json()["messages"]]
    assert seqs[-1] == newest["lastSeq"] == 40
    assert newest["hasMore"]
    assert len(older.content) + 60_000 * len(seqs) > 1024 * 1024
    assert before[-1] == seqs[0] - 1


async def test_an_unlisted_room_is_found_by_its_id_alone(desk: Desk):
    id = (await desk.room("secret", listed=False))["roomId"]
    await desk.say(id, "alice")

    seen = [
        (await desk.http.get("/agent/rooms", params=query)).json()["rooms"]
        for query in ({}, {"query": "secret"}, {"mine": "1", "member": "alice"}, {"ids": id})
    ]

    assert [len(rooms) for rooms in seen] == [0, 0, 0, 1]
