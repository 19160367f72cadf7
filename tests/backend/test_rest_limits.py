"""Budgets, deadlines and the guard, as callers of the REST backend meet them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from rest_desk import Desk, a_desk, exchange, must_be_problem

pytestmark = pytest.mark.anyio

NDJSON = {"Accept": "application/x-ndjson"}
POLITE = "Perfect. Whenever you are ready!"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


async def test_a_spent_budget_leaves_a_reserve_for_the_verdict(desk: Desk):
    id = (await desk.room(budget={"messages": 2}))["roomId"]
    left = [(await desk.say(id, "ann", f"fact {n}"))["standing"]["budgetLeft"] for n in (1, 2)]
    refused = must_be_problem(await desk.post(id, "ann", "fact 3"))
    ended = await desk.say(id, "ann", {"type": "decision", "outcome": "ship"})

    assert left == [1, 0]
    assert (refused["status"], refused["code"]) == (409, "budget_spent")
    assert "decision" in refused["advice"]
    assert (ended["closed"], ended["outcome"]) == (True, "ship")


async def test_the_sender_is_told_when_the_budget_runs_low(desk: Desk):
    id = (await desk.room(budget={"messages": 10}))["roomId"]
    told = [(await desk.say(id, "ann", f"fact {n}"))["notices"] for n in range(10)]

    assert [at + 1 for at, notices in enumerate(told) if notices] == [8, 9]
    assert "2 of 10 messages" in told[7][0]


async def test_an_idle_room_is_found_closed_by_whoever_comes_next(tmp_path: Path):
    clock = Clock()
    async with a_desk(tmp_path, clock=clock) as desk:
        id = (await desk.room(budget={"idle_s": 60}))["roomId"]
        await desk.say(id, "ann")
        clock.move(59)
        in_time = await desk.say(id, "ann", "still 1 thing")
        clock.move(60)
        late = must_be_problem(await desk.post(id, "ann", "and 2"))
        page = await desk.read(id, after=in_time["seq"])

    assert (late["code"], late["outcome"], late["reason"]) == ("room_closed", "idle", "idle")
    assert [one["type"] for one in page["messages"]] == ["room.closed"]


async def test_reading_a_room_whose_time_is_over_closes_it(tmp_path: Path):
    clock = Clock()
    async with a_desk(tmp_path, clock=clock) as desk:
        id = (await desk.room(budget={"lifetime_s": 60, "on_budget": "no_verdict"}))["roomId"]
        clock.move(60)
        page = await desk.read(id, after=0)
        rooms = (await desk.http.get("/agent/rooms")).json()["rooms"]

    assert (page["closed"], page["outcome"]) == (True, "no_verdict")
    assert rooms[0]["lifecycle"] == "closed"


async def test_a_wait_ends_when_the_room_runs_out_of_time(desk: Desk):
    id = (await desk.room(budget={"lifetime_s": 1}))["roomId"]
    with anyio.fail_after(10):
        page = await desk.read(id, after=0, wait=50)

    assert (page["closed"], page["outcome"]) == (True, "expired")


async def test_a_stream_ends_when_the_room_runs_out_of_time(desk: Desk):
    id = (await desk.room(budget={"lifetime_s": 1}))["roomId"]
    with anyio.fail_after(10):
        async with exchange(desk.app, "GET", f"/agent/rooms/{id}/stream", headers=NDJSON) as stream:
            await stream.until("room.closed")

    assert stream.lines[-1]["content"]["reason"] == "lifetime"


async def test_a_room_whose_time_is_over_is_not_opened_again_by_its_name(tmp_path: Path):
    clock = Clock()
    async with a_desk(tmp_path, clock=clock) as desk:
        old = await desk.room(budget={"idle_s": 60})
        clock.move(60)
        new = await desk.room(reuse=True)

    assert new["created"]
    assert new["roomId"] != old["roomId"]


async def test_a_list_of_open_rooms_holds_none_whose_time_is_over(tmp_path: Path):
    clock = Clock()
    async with a_desk(tmp_path, clock=clock) as desk:
        await desk.room(budget={"idle_s": 60})
        clock.move(60)
        listed = (await desk.http.get("/agent/rooms", params={"closed": "0"})).json()

    assert listed["rooms"] == []


async def test_whose_messages_all_come_in_one_batch_is_not_refused_for_looping(desk: Desk):
    id = (await desk.room())["roomId"]
    posts = [{"sender": name, "content": POLITE} for name in ("ann", "bob") * 10]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": posts})
    later = must_be_problem(await desk.post(id, "ann", POLITE))

    assert {one["status"] for one in done.json()["results"]} == {201}
    assert later["code"] == "hushed"


async def test_a_politeness_loop_is_noticed_then_quiet_then_hushed(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "ann")
    await desk.join(id, "bob")
    said = [await desk.say(id, name, POLITE) for name in ("ann", "bob") * 4]
    said.append(await desk.say(id, "ann", POLITE))
    hushed = must_be_problem(await desk.post(id, "bob", POLITE))
    fact = await desk.say(id, "bob", "The test in auth/session.py fails: 401 instead of 200.")
    end = await desk.say(id, "ann", {"type": "decision", "outcome": "mend"})

    noticed = [one["seq"] for one in said if one["notices"]]
    assert noticed[0] == 5
    assert [one["seq"] for one in said if not one["wakes"]] == [7, 8, 9]
    assert (hushed["status"], hushed["code"]) == (409, "hushed")
    assert fact["wakes"] == ["ann"]
    assert fact["standing"]["score"] < 4
    assert end["closed"]


async def test_with_the_guard_off_nothing_is_scored(desk: Desk):
    id = (await desk.room(guard=False))["roomId"]
    said = [await desk.say(id, "ann", POLITE) for _ in range(15)]

    assert {one["standing"]["score"] for one in said} == {0.0}
    assert [one["notices"] for one in said] == [[]] * 15


async def test_a_room_that_wants_it_is_closed_as_stalled(desk: Desk):
    id = (await desk.room(guard={"on_stall": "close"}))["roomId"]
    said = [await desk.say(id, name, POLITE) for name in ("ann", "bob") * 5]

    assert [one["closed"] for one in said] == [False] * 9 + [True]
    assert said[-1]["outcome"] == "stalled"


async def test_a_retry_is_answered_with_the_standing_of_now(desk: Desk):
    id = (await desk.room())["roomId"]
    first = await desk.say(id, "ann", POLITE, idempotencyKey="k")
    for _ in range(4):
        await desk.say(id, "ann", POLITE)
    again = await desk.say(id, "ann", POLITE, idempotencyKey="k")

    assert again["seq"] == first["seq"]
    assert again["standing"]["score"] == 4.0


# ---- what a URL may ask -------------------------------------------------------------------------

TOO_LONG = "x" * 201
LONG_QUERIES = [
    *(("/agent/rooms", name) for name in ("query", "member", "before", "limit", "closed", "mine")),
    *(
        ("messages", name)
        for name in ("after", "before", "limit", "wait", "since", "sender", "type", "reader", "ack")
    ),
    *(("history", name) for name in ("after", "before", "limit", "since")),
    *(("/agent/updates", name) for name in ("directory", "wait", "reader")),
    ("search", "q"),
    ("/agent/search", "q"),
    ("export", "format"),
    ("stream", "after"),
]


@pytest.mark.parametrize(("call", "name"), LONG_QUERIES)
async def test_a_parameter_that_is_too_long_is_refused_by_name(desk: Desk, call: str, name: str):
    id = (await desk.room())["roomId"]
    path = call if call.startswith("/") else f"/agent/rooms/{id}/{call}"
    answer = await desk.http.get(path, params={name: TOO_LONG})
    told = must_be_problem(answer)

    assert (answer.status_code, told["code"]) == (400, "malformed")
    assert told["detail"] == f"The parameter {name!r} has more than 200 characters."


@pytest.mark.parametrize(
    ("path", "name"), [("rooms", "ids"), ("rooms", "read"), ("updates", "rooms"), ("search", "ids")]
)
async def test_a_list_that_is_too_long_is_refused_by_name(desk: Desk, path: str, name: str):
    query = {"q": "x", name: "x" * 12_801} if path == "search" else {name: "x" * 12_801}
    answer = await desk.http.get(f"/agent/{path}", params=query)

    assert answer.status_code == 400
    assert repr(name) in must_be_problem(answer)["detail"]


async def test_200_rooms_fit_into_one_list(desk: Desk):
    rooms = ",".join(f"{n:08}-0000-4000-8000-000000000000:{2**53}" for n in range(200))
    answer = await desk.http.get("/agent/updates", params={"rooms": rooms})

    assert (answer.status_code, len(answer.json()["rooms"])) == (200, 200)


async def test_a_parameter_that_is_given_twice_is_refused(desk: Desk):
    answer = await desk.http.get("/agent/rooms?closed=0&closed=1")

    assert answer.status_code == 400
    assert "'closed' is given twice" in must_be_problem(answer)["detail"]


# ---- what a body may hold -----------------------------------------------------------------------


async def test_a_packed_body_is_refused(desk: Desk):
    headers = {"Content-Encoding": "gzip"}
    packed = await desk.http.post("/agent/demo/room", json={"name": "x"}, headers=headers)
    plain = await desk.http.post(
        "/agent/demo/room", json={"name": "x"}, headers={"Content-Encoding": "identity"}
    )

    assert (packed.status_code, must_be_problem(packed)["code"]) == (415, "not_json")
    assert plain.status_code == 201


@pytest.mark.parametrize("body", [b'{"name":"x","name":"y"}', b'{"name":"x","n":{"a":1,"a":1}}'])
async def test_a_field_twice_is_refused(desk: Desk, body: bytes):
    headers = {"Content-Type": "application/json"}
    answer = await desk.http.post("/agent/demo/room", content=body, headers=headers)

    assert (answer.status_code, must_be_problem(answer)["code"]) == (400, "malformed")
    assert "twice" in answer.json()["detail"]


async def test_texts_may_hold_as_many_commas_and_quotes_as_they_like(desk: Desk):
    id = (await desk.room())["roomId"]
    posts = [{"sender": "ann", "content": ',[{\\"' * 8_000} for _ in range(30)]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": posts})

    assert {one["status"] for one in done.json()["results"]} == {201}


async def test_a_batch_of_too_many_values_is_refused(desk: Desk):
    id = (await desk.room())["roomId"]
    post = {"sender": "ann", "content": {"of": [1] * 20_000}}
    few = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": [post] * 9})
    many = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": [post] * 10})

    assert few.status_code == 200
    assert (many.status_code, must_be_problem(many)["code"]) == (413, "too_large")
