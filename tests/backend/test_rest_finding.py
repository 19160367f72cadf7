"""The directory, what is unread and expected, the search, and reminders."""

from __future__ import annotations

import anyio
import pytest
from rest_desk import NOBODY, Desk

pytestmark = pytest.mark.anyio


async def test_rooms_are_listed_by_their_latest_change_in_pages(desk: Desk):
    ids = [(await desk.room(f"room {n}"))["roomId"] for n in range(5)]
    await desk.say(ids[0], "alice")
    pages = [(await desk.http.get("/agent/rooms", params={"limit": 2})).json()]
    while cursor := pages[-1]["nextCursor"]:
        query = {"limit": 2, "before": cursor}
        pages.append((await desk.http.get("/agent/rooms", params=query)).json())

    found = [room["id"] for page in pages for room in page["rooms"]]
    assert found == [ids[0], ids[4], ids[3], ids[2], ids[1]]


async def test_rooms_that_changed_in_one_moment_all_stand_on_some_page(desk: Desk):
    ids = [(await desk.room(f"room {n}"))["roomId"] for n in range(6)]
    async with anyio.create_task_group() as tasks:  # they share a commit, and its millisecond
        for id in ids:
            tasks.start_soon(desk.say, id, "alice")
    pages = [(await desk.http.get("/agent/rooms", params={"limit": 2})).json()]
    while cursor := pages[-1]["nextCursor"]:
        query = {"limit": 2, "before": cursor}
        pages.append((await desk.http.get("/agent/rooms", params=query)).json())

    assert {room["id"] for page in pages for room in page["rooms"]} == set(ids)


async def test_rooms_are_found_by_a_part_of_name_or_purpose(desk: Desk):
    id = (await desk.room("API Review", purpose="Check the pagination."))["roomId"]
    await desk.room("other")
    found = [
        [
            room["id"]
            for room in (await desk.http.get(f"/agent/rooms?query={query}")).json()["rooms"]
        ]
        for query in ("api", "PAGINATION", id[:8])
    ]

    assert found == [[id], [id], [id]]


async def test_closed_rooms_can_be_left_out_and_say_how_they_ended(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", {"type": "decision", "outcome": "ship", "summary": "Go."})
    with_closed = (await desk.http.get("/agent/rooms")).json()["rooms"]
    without = (await desk.http.get("/agent/rooms?closed=0")).json()["rooms"]

    assert (with_closed[0]["outcome"], with_closed[0]["conclusion"]) == ("ship", "Go.")
    assert without == []


async def test_a_member_sees_what_is_unread_and_what_is_expected_of_him(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    await desk.say(id, "alice", "one")
    await desk.say(id, "alice", "Is it done?", type="question", to="bob")
    await desk.say(id, "bob", "mine")
    seen = (await desk.http.get("/agent/rooms?member=bob&mine=1")).json()["rooms"][0]
    known = (await desk.http.get(f"/agent/rooms?member=bob&read={id}:2")).json()["rooms"][0]

    assert seen["unread"] == 2
    assert [(one["seq"], one["answerType"]) for one in seen["expected"]] == [(2, "answer")]
    assert known["unread"] == 0


async def test_an_open_room_of_the_name_is_answered_when_asked_to_reuse(desk: Desk):
    first = await desk.room("standup")
    again = await desk.http.post("/agent/rooms", json={"name": "standup", "reuse": True})
    other = await desk.http.post("/agent/rooms", json={"name": "standup"})

    assert (again.status_code, other.status_code) == (200, 201)
    assert (again.json()["id"], again.json()["created"]) == (first["id"], False)
    assert again.json()["ownerKey"] is None
    assert other.json()["id"] != first["id"]


async def test_an_unknown_template_is_refused_with_the_known_ones(desk: Desk):
    made = await desk.http.post("/agent/rooms", json={"name": "x", "template": "haiku"})

    assert made.status_code == 400
    assert "open" in made.json()["advice"]


async def test_messages_are_found_by_all_their_words(desk: Desk):
    ids = [(await desk.room(name))["roomId"] for name in ("a", "b")]
    hidden = (await desk.room("c", listed=False))["roomId"]
    for id in (*ids, hidden):
        await desk.say(id, "alice", f"the token expiry of {id}")
    one = (await desk.http.get(f"/agent/rooms/{ids[0]}/search?q=EXPIRY+token")).json()["hits"]
    all = (await desk.http.get("/agent/search?q=expiry")).json()["hits"]
    named = (await desk.http.get(f"/agent/search?q=expiry&ids={hidden}")).json()["hits"]
    none = (await desk.http.get("/agent/search?q=expiry+unicorn")).json()["hits"]

    assert [hit["roomId"] for hit in one] == [ids[0]]
    assert {hit["roomId"] for hit in all} == set(ids)
    assert [hit["roomId"] for hit in named] == [hidden]
    assert none == []


@pytest.mark.parametrize("query", ["", "%20", "x" * 201])
async def test_a_search_needs_words(desk: Desk, query: str):
    found = await desk.http.get(f"/agent/search?q={query}")

    assert found.status_code == 400


@pytest.mark.parametrize("query", ["!!!", '"', "a* OR b", "(", "NEAR(", "🙂"])
async def test_a_search_for_signs_finds_nothing_and_breaks_nothing(desk: Desk, query: str):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "words")
    found = await desk.http.get("/agent/search", params={"q": query})

    assert found.json()["hits"] == []


async def test_info_tells_members_open_work_and_what_ends_the_room(desk: Desk):
    id = (await desk.room(purpose="Fix it.", sender="ada"))["roomId"]
    await desk.say(id, "alice", "Fix #2", type="request", to="bob")
    await desk.join(id, "bob")
    await desk.http.post(f"/agent/rooms/{id}/leave", json={"sender": "alice"})
    info = (await desk.http.get(f"/agent/rooms/{id}/info")).json()

    assert (info["purpose"], info["createdBy"], info["lifecycle"]) == ("Fix it.", "ada", "open")
    assert info["terminalTypes"] == ["review_complete", "decision"]
    assert [(one["name"], one["active"]) for one in info["members"]] == [
        ("alice", False),
        ("bob", True),
    ]
    assert [(one["of"], one["answerType"]) for one in info["expected"]] == [(["bob"], "result")]


async def test_leaving_says_at_which_number(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    left = await desk.http.post(f"/agent/rooms/{id}/leave", json={"agentName": "alice"})
    again = await desk.http.post(f"/agent/rooms/{id}/leave", json={"agentName": "alice"})

    assert left.json() == {"roomId": id, "agentName": "alice", "lastSeq": 1}
    assert again.status_code == 403


async def test_a_reminder_counts_what_others_said(desk: Desk):
    id = (await desk.room("hunt"))["roomId"]
    await desk.join(id, "bob")
    await desk.say(id, "alice")
    await desk.say(id, "bob")
    beat = await desk.http.post(f"/agent/rooms/{id}/heartbeat", json={"sender": "bob"})

    assert beat.json()["unread"] == 1
    assert "'hunt'" in beat.json()["reminder"]
    assert "alice" in beat.json()["reminder"]


async def test_a_heartbeat_of_nobody_is_told_what_is_missing(desk: Desk):
    id = (await desk.room())["roomId"]
    beat = await desk.http.post(f"/agent/rooms/{id}/heartbeat", json={})

    assert beat.status_code == 400


async def test_the_server_says_that_it_lives_and_is_ready(desk: Desk):
    answers = [await desk.http.get(path) for path in ("/healthz", "/readyz")]

    assert [one.json()["status"] for one in answers] == ["ok", "ok"]


@pytest.mark.parametrize("id", [NOBODY, "no-id", "%00", "x" * 5_000, "🙂"])
async def test_an_unknown_room_is_not_found(desk: Desk, id: str):
    answers = [
        await desk.http.get(f"/agent/rooms/{id}/info"),
        await desk.post(id, "alice"),
        await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "a"}),
    ]

    assert [one.status_code for one in answers] == [404, 404, 404]
