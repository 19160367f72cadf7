"""Sending messages: types, receivers, retries and batches."""

from __future__ import annotations

import pytest
from rest_desk import NOBODY, Desk, must_be_problem

pytestmark = pytest.mark.anyio


async def test_a_post_answers_the_message_with_its_place(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    posted = await desk.post(id, "alice", "@bob look", to="carol", type="question")
    told = posted.json()
    placed = await desk.http.get(posted.headers["Location"])

    assert (told["seq"], told["roomId"], told["senderType"]) == (1, id, "agent")
    assert (told["mentions"], told["to"], told["wakes"]) == (["bob"], ["carol"], ["bob"])
    assert (told["strangers"], told["idempotent"]) == (["carol"], False)
    assert placed.json()["messages"][0]["id"] == told["id"]


@pytest.mark.parametrize("claim", ["human", "system"])
async def test_a_claim_to_be_a_person_or_the_room_is_stored_as_an_agent(desk: Desk, claim: str):
    id = (await desk.room())["roomId"]
    posted = await desk.say(id, "alice", senderType=claim)

    assert posted["senderType"] == "agent"


async def test_a_type_in_the_field_and_another_inside_the_content_are_refused(desk: Desk):
    id = (await desk.room())["roomId"]
    posted = await desk.post(id, "alice", {"type": "answer"}, type="question")

    assert must_be_problem(posted)["code"] == "malformed"


async def test_only_the_room_itself_sends_its_own_types(desk: Desk):
    id = (await desk.room())["roomId"]
    refused = [
        await desk.post(id, "alice", type="room.closed"),
        await desk.post(id, "alice", {"type": "room.closed"}),
    ]

    assert [one.status_code for one in refused] == [400, 400]


async def test_a_post_after_somebody_else_spoke_is_refused_when_asked_to_be(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "bob")
    late = await desk.post(id, "alice", ifLastSeq=0)
    in_time = await desk.post(id, "alice", ifLastSeq=1)

    assert late.status_code == 412
    assert must_be_problem(late)["lastSeq"] == 1
    assert in_time.status_code == 201


async def test_the_source_case_review_complete_ends_a_demo_room(desk: Desk):
    id = (await desk.http.post("/agent/demo/room", json={"name": "review"})).json()["roomId"]
    verdict = {"type": "review_complete", "verdict": "approved", "summary": "All good."}
    ended = await desk.say(id, "rex", verdict)
    polite = await desk.post(id, "ada", "Perfect. Whenever you're ready!")
    told = must_be_problem(polite)

    assert (ended["closed"], ended["outcome"]) == (True, "approved")
    assert (polite.status_code, told["code"]) == (409, "room_closed")
    assert (told["outcome"], told["closingSeq"], told["conclusion"]) == ("approved", 1, "All good.")
    assert "send nothing more" in told["advice"]


# ---- retries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "header"),
    [("k-1", None), (None, "k-1"), (None, '"k-1"'), ("k-1", '"k-1"')],
    ids=["body", "bare header", "quoted header", "both"],
)
async def test_a_retry_with_its_key_answers_the_first_message(
    desk: Desk, body: str | None, header: str | None
):
    id = (await desk.room())["roomId"]
    fields = {"idempotencyKey": body} if body else {}
    headers = {"Idempotency-Key": header} if header else {}
    first = await desk.post(id, "alice", "once", headers=headers, **fields)
    again = await desk.post(id, "alice", "once", headers=headers, **fields)

    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["idempotent"] is True
    assert (await desk.read(id))["lastSeq"] == 1


async def test_two_different_keys_in_one_request_are_refused(desk: Desk):
    id = (await desk.room())["roomId"]
    posted = await desk.post(id, "alice", headers={"Idempotency-Key": "a"}, idempotencyKey="b")

    assert posted.status_code == 400
    assert (await desk.read(id))["lastSeq"] == 0


@pytest.mark.parametrize("other", [{"content": "x"}, {"type": "question"}, {"to": ["bob"]}])
async def test_the_same_key_for_another_message_is_refused(desk: Desk, other: dict[str, object]):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", idempotencyKey="k")
    reused = await desk.post(id, "alice", **{"content": "hello", "idempotencyKey": "k", **other})

    assert reused.status_code == 422
    assert must_be_problem(reused)["code"] == "key_reused"


async def test_the_same_key_of_another_sender_or_room_is_another_key(desk: Desk):
    ids = [(await desk.room(name))["roomId"] for name in ("a", "b")]
    said = [
        await desk.say(ids[0], "alice", "1", idempotencyKey="k"),
        await desk.say(ids[0], "bob", "2", idempotencyKey="k"),
        await desk.say(ids[1], "alice", "3", idempotencyKey="k"),
    ]

    assert [one["idempotent"] for one in said] == [False, False, False]


async def test_a_retry_after_the_end_still_gets_its_first_answer(desk: Desk):
    id = (await desk.room())["roomId"]
    ended = await desk.say(id, "alice", "We ship.", type="decision", idempotencyKey="k")
    again = await desk.post(id, "alice", "We ship.", type="decision", idempotencyKey="k")

    assert again.status_code == 201
    assert again.json()["id"] == ended["id"]
    assert again.json()["closed"] is True


# ---- batches ------------------------------------------------------------------------------------


async def test_a_batch_is_stored_in_order_and_refused_items_stop_nothing(desk: Desk):
    id = (await desk.room())["roomId"]
    items = [
        {"sender": "alice", "content": "one", "idempotencyKey": "k"},
        {"sender": "", "content": "no name"},
        {"sender": "alice", "content": "no such seq", "replyTo": 9},
        {"sender": "alice", "content": "one", "idempotencyKey": "k"},
        {"sender": "bob", "content": "two", "replyTo": 1},
    ]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": items})
    results = done.json()["results"]

    assert [one["status"] for one in results] == [201, 400, 400, 201, 201]
    assert [one["seq"] for one in results] == [1, None, None, 1, 2]
    assert [one["idempotent"] for one in results] == [False, None, None, True, False]
    assert results[1]["code"] == "malformed"
    assert done.json()["lastSeq"] == 2


async def test_what_follows_the_end_in_a_batch_is_refused(desk: Desk):
    id = (await desk.room())["roomId"]
    items = [
        {"sender": "alice", "content": "done", "type": "decision"},
        {"sender": "bob", "content": "Thanks!"},
    ]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": items})

    assert [one["status"] for one in done.json()["results"]] == [201, 409]
    assert done.json()["results"][1]["code"] == "room_closed"


async def test_each_item_of_a_batch_may_bring_its_own_key(desk: Desk):
    id = (await desk.room())["roomId"]
    keys = {name: (await desk.join(id, name, protect=True))["agentKey"] for name in ("a1", "b1")}
    items = [
        {"sender": "a1", "content": "x", "agentKey": keys["a1"]},
        {"sender": "b1", "content": "x", "agentKey": keys["b1"]},
        {"sender": "b1", "content": "x", "agentKey": keys["a1"]},
    ]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": items})

    assert [one["status"] for one in done.json()["results"]] == [201, 201, 403]


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_one_to_a_hundred_messages(desk: Desk, count: int):
    id = (await desk.room())["roomId"]
    items = [{"sender": "alice", "content": "x"}] * count
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": items})

    assert done.status_code == 400


async def test_a_batch_for_an_unknown_room_is_told_so(desk: Desk):
    items = [{"sender": "", "content": "x"}]
    done = await desk.http.post(f"/agent/rooms/{NOBODY}/messages/batch", json={"messages": items})

    assert done.status_code == 404


# ---- space --------------------------------------------------------------------------------------


async def test_a_full_room_takes_only_what_ends_it(desk: Desk):
    made = (await desk.http.post("/agent/demo/room", json={"name": "small"})).json()
    id = made["roomId"]
    await desk.say(id, "alice", "x" * 3_900)
    full = await desk.post(id, "alice", "y" * 200)
    ended = await desk.post(id, "alice", "z" * 200, type="decision")

    assert full.status_code == 409
    assert must_be_problem(full)["code"] == "room_full"
    assert (ended.status_code, ended.json()["closed"]) == (201, True)


async def test_a_message_beyond_64_kib_is_too_large(desk: Desk):
    id = (await desk.room())["roomId"]
    fits = await desk.post(id, "alice", "x" * (64 * 1024 - 2))
    too_large = await desk.post(id, "alice", "x" * (64 * 1024 - 1))

    assert fits.status_code == 201
    assert too_large.status_code == 413
    assert must_be_problem(too_large)["code"] == "too_large"
