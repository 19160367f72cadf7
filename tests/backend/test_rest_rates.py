"""Limits of callers: how often, how many at once, how many rooms; what refused ones are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import httpx2
import pytest
from limited_desk import PUBLIC, a_limited_desk, limited_desks
from rest_desk import Desk, exchange

from room_mcp.store.sqlite.file_lock import FileLock

pytestmark = pytest.mark.anyio

HELLO = {"sender": "ann", "content": "hello"}
DAY_S = 24 * 60 * 60


def statuses(answers: list[httpx2.Response]) -> dict[int, int]:
    """How many answers there are of each status."""
    found: dict[int, int] = {}
    for answer in answers:
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


async def posts(desk: Desk, room_id: str, count: int) -> list[httpx2.Response]:
    """The answers to so many posts that are made at once."""
    return await asyncio.gather(*(desk.post(room_id, "ann", f"no {n}") for n in range(count)))


async def wait_for_nothing(desk: Desk, room_id: str, wait_s: float) -> httpx2.Response:
    room = f"/agent/rooms/{room_id}/messages"
    return await desk.http.get(room, params={"after": 0, "wait": wait_s})


# ---- posts ---------------------------------------------------------------------------------------


async def test_posts_at_once_stop_at_the_burst(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=4) as desk:
        room = await desk.room()

        answers = await posts(desk, room["id"], 100)

        assert statuses(answers) == {201: 20, 429: 80}
        assert (await desk.read(room["id"], after=0))["lastSeq"] == 20


async def test_the_burst_is_one_for_all_processes_of_a_store(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, posts_per_s=4) as (one, other):
        room = await one.room()

        answers = await asyncio.gather(posts(one, room["id"], 50), posts(other, room["id"], 50))

        assert statuses([*answers[0], *answers[1]]) == {201: 20, 429: 80}


async def test_a_refused_caller_gets_through_when_he_was_told_to_try_again(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=4) as desk:
        room = await desk.room()
        refused = (await posts(desk, room["id"], 21))[-1]

        desk.clock.pass_s(int(refused.headers["retry-after"]))

        assert statuses(await posts(desk, room["id"], 5)) == {201: 4, 429: 1}


async def test_a_refusal_says_what_the_limit_is_and_when_to_try_again(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=4) as desk:
        room = await desk.room()

        refused = (await posts(desk, room["id"], 21))[-1]

        assert refused.json()["code"] == "rate_limited"
        assert refused.json()["detail"] == (
            "You send too much: at most 20 at once, and 4 a second for long."
        )
        assert refused.json()["advice"] == (
            "Try again in 1 second. Send fewer messages, or several in one batch."
        )
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit-policy"] == '"posts";q=20;w=5'
        assert refused.headers["ratelimit"] == '"posts";r=0;t=1'


async def test_an_answer_to_a_post_says_what_is_left(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=4) as desk:
        room = await desk.room()

        first = await desk.post(room["id"], "ann")
        second = await desk.post(room["id"], "ann")

        assert first.headers["ratelimit-policy"] == '"posts";q=20;w=5'
        assert first.headers["ratelimit"] == '"posts";r=19;t=1'
        assert second.headers["ratelimit"].startswith('"posts";r=18;')


async def test_each_message_of_a_batch_counts(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=4) as desk:
        room = await desk.room()
        batch = f"/agent/rooms/{room['id']}/messages/batch"

        first = await desk.http.post(batch, json={"messages": [HELLO] * 15})
        second = await desk.http.post(batch, json={"messages": [HELLO] * 6})

        assert (first.status_code, second.status_code) == (200, 429)
        assert (await desk.read(room["id"], after=0))["lastSeq"] == 15


async def test_a_batch_gets_through_when_it_was_told_to_try_again(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1) as desk:
        room = await desk.room()
        batch = f"/agent/rooms/{room['id']}/messages/batch"
        await posts(desk, room["id"], 4)
        refused = await desk.http.post(batch, json={"messages": [HELLO] * 5})

        desk.clock.pass_s(int(refused.headers["retry-after"]))
        again = await desk.http.post(batch, json={"messages": [HELLO] * 5})

        assert (refused.status_code, again.status_code) == (429, 200)


async def test_a_batch_that_could_never_be_taken_is_too_large(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1) as desk:
        room = await desk.room()
        batch = f"/agent/rooms/{room['id']}/messages/batch"

        refused = await desk.http.post(batch, json={"messages": [HELLO] * 6})

        assert refused.status_code == 413
        assert refused.json()["advice"] == "Send at most 5 in one request."


async def test_refused_posts_count_too(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1) as desk:
        room = await desk.room()
        path = f"/agent/rooms/{room['id']}/messages"

        answers = [await desk.http.post(path, json={"nonsense": 1}) for _ in range(6)]

        assert statuses(answers) == {400: 5, 429: 1}


async def test_a_clock_that_was_set_back_keeps_nobody_out_for_long(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1) as desk:
        room = await desk.room()
        await posts(desk, room["id"], 5)
        desk.clock.pass_s(-DAY_S)
        refused = await desk.post(room["id"], "ann")

        desk.clock.pass_s(5)
        again = await posts(desk, room["id"], 6)

        assert refused.status_code == 429
        assert statuses(again) == {201: 5, 429: 1}


async def test_the_process_itself_has_no_limits(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1, waits=1, rooms=1) as desk:
        own = desk.at("127.0.0.1", trusted=True)
        room = await own.room()
        await own.room("another")

        answers = await posts(own, room["id"], 20)

        assert statuses(answers) == {201: 20}
        assert "ratelimit" not in answers[0].headers


async def test_an_open_server_has_no_limits_of_its_own(tmp_path: Path):
    async with a_limited_desk(tmp_path) as desk:
        room = await desk.room()

        answers = await posts(desk, room["id"], 150)

        assert statuses(answers) == {201: 150}
        assert "ratelimit" not in answers[0].headers


# ---- who is counted ------------------------------------------------------------------------------


async def test_addresses_are_counted_apart_and_a_network_of_one_house_together(tmp_path: Path):
    async with a_limited_desk(tmp_path, posts_per_s=1) as desk:
        room = await desk.room()
        await posts(desk.at("2001:db8:1:1::1"), room["id"], 5)

        same_house = await desk.at("2001:db8:1:1::2").post(room["id"], "ann")
        next_door = await desk.at("2001:db8:1:2::1").post(room["id"], "ann")

        assert (same_house.status_code, next_door.status_code) == (429, 201)


async def test_keys_are_counted_by_whom_they_stand_for(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC, posts_per_s=1) as desk:
        ann, ann_too, rex = await desk.key("ann"), await desk.key("ann"), await desk.key("rex")
        made = await desk.http.post("/agent/rooms", json={"name": "plans"}, headers=ann)
        path = f"/agent/rooms/{made.json()['id']}/messages"
        for _ in range(5):
            await desk.http.post(path, json=HELLO, headers=ann)

        hers = await desk.http.post(path, json=HELLO, headers=ann_too)
        his = await desk.http.post(path, json={**HELLO, "sender": "rex"}, headers=rex)

        assert (hers.status_code, his.status_code) == (429, 201)


async def test_wrong_keys_are_refused_otherwise_after_ten_a_minute(tmp_path: Path):
    wrong = {"Authorization": "Bearer rks_wrong"}
    async with a_limited_desk(tmp_path, door=PUBLIC) as desk:
        right = await desk.key("ann")

        answers = [await desk.http.get("/agent/rooms", headers=wrong) for _ in range(11)]
        let_in = await desk.http.get("/agent/rooms", headers=right)
        elsewhere = await desk.at("203.0.113.7").http.get("/agent/rooms", headers=wrong)

        assert statuses(answers) == {401: 10, 429: 1}
        assert answers[-1].headers["retry-after"] == "6"
        assert (let_in.status_code, elsewhere.status_code) == (200, 401)


async def test_codes_are_tried_ten_times_a_minute(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC) as desk:
        tries = [
            await desk.http.post("/agent/invitations/redeem", json={"code": "rkc_wrong"})
            for _ in range(11)
        ]

        assert [one.status_code for one in tries].count(429) == 1
        assert tries[-1].status_code == 429


# ---- reads ---------------------------------------------------------------------------------------


async def test_reads_have_a_rate_of_their_own(tmp_path: Path):
    async with a_limited_desk(tmp_path, reads_per_s=1) as desk:
        room = await desk.room()

        reads = [await desk.http.get(f"/agent/rooms/{room['id']}/info") for _ in range(6)]

        assert statuses(reads) == {200: 5, 429: 1}
        assert (await desk.post(room["id"], "ann")).status_code == 201


async def test_health_is_told_however_often_one_asks(tmp_path: Path):
    async with a_limited_desk(tmp_path, reads_per_s=1) as desk:
        health = [await desk.http.get("/healthz") for _ in range(20)]

        assert statuses(health) == {200: 20}


async def test_while_the_store_cannot_be_written_the_process_counts_by_itself(tmp_path: Path):
    async with a_limited_desk(tmp_path, reads_per_s=2) as desk:
        room = await desk.room()
        lock = FileLock(tmp_path / "rooms.db.lock")
        lock.acquire()

        reads = [await desk.http.get(f"/agent/rooms/{room['id']}/info") for _ in range(11)]
        lock.close()

        assert statuses(reads) == {200: 10, 429: 1}


# ---- waits ---------------------------------------------------------------------------------------


async def test_waits_at_once_are_limited_over_all_processes(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, waits=2) as (one, other):
        room = (await one.room())["id"]
        path = f"/agent/rooms/{room}/messages?wait=50&reader="
        await one.join(room, "ann")
        await one.join(room, "rex")
        async with (
            exchange(one.app, "GET", f"{path}ann"),
            exchange(other.app, "GET", f"{path}rex"),
        ):
            with anyio.fail_after(10):
                await one.until_waiting(room, "ann")
                await other.until_waiting(room, "rex")
            refused = await wait_for_nothing(one, room, 50)

        assert refused.json()["detail"] == (
            "You have 2 waits and streams open, as many as you may at once."
        )
        assert refused.headers["ratelimit-policy"] == '"waits";q=2;qu="concurrent-requests"'
        assert refused.headers["ratelimit"] == '"waits";r=0;t=5'
        assert refused.headers["retry-after"] == "5"


async def test_a_wait_that_has_ended_makes_way_for_another(tmp_path: Path):
    async with a_limited_desk(tmp_path, waits=1) as desk:
        room = (await desk.room())["id"]

        ended = [await wait_for_nothing(desk, room, 0.001) for _ in range(5)]

        assert statuses(ended) == {200: 5}


async def test_a_stream_counts_as_a_wait_until_it_ends(tmp_path: Path):
    async with a_limited_desk(tmp_path, waits=1) as desk:
        room = (await desk.room())["id"]
        await desk.say(room, "ann")
        async with exchange(desk.app, "GET", f"/agent/rooms/{room}/stream") as stream:
            with anyio.fail_after(20):
                await stream.until("hello")
            during = await wait_for_nothing(desk, room, 1)
            stream.hang_up()
            with anyio.fail_after(20):
                await stream.until_ended()

        after = await wait_for_nothing(desk, room, 1)

        assert (during.status_code, after.status_code) == (429, 200)


async def test_a_long_stream_keeps_its_slot(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, waits=1) as (one, other):
        room = (await one.room())["id"]
        await one.say(room, "ann", "first")
        async with exchange(one.app, "GET", f"/agent/rooms/{room}/stream") as stream:
            with anyio.fail_after(20):
                await stream.until("first")
                for text in ("second", "third", "fourth"):
                    one.clock.pass_s(80)
                    await one.say(room, "ann", text)
                    await stream.until(text)
            refused = await wait_for_nothing(other, room, 1)

        assert refused.status_code == 429


async def test_slots_that_nobody_uses_any_more_are_there_for_other_processes(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, waits=1) as (one, other):
        room = (await one.room())["id"]
        await one.say(room, "ann")
        await wait_for_nothing(one, room, 1)
        kept = await wait_for_nothing(other, room, 1)

        with anyio.fail_after(10):
            while (await wait_for_nothing(other, room, 1)).status_code == 429:
                pass

        assert kept.status_code == 429


async def test_a_process_that_ends_gives_its_slots_back(tmp_path: Path):
    async with a_limited_desk(tmp_path, waits=1) as other:
        room = (await other.room())["id"]
        await other.say(room, "ann")
        async with a_limited_desk(tmp_path, waits=1) as one:
            await wait_for_nothing(one, room, 1)

        assert (await wait_for_nothing(other, room, 1)).status_code == 200


# ---- rooms ---------------------------------------------------------------------------------------


async def test_a_stranger_has_three_demo_rooms_however_he_asks(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, door=PUBLIC) as (one, other):
        made = await asyncio.gather(
            *(
                desk.http.post("/agent/demo/room", json={"name": f"try {n}"})
                for n, desk in enumerate((one, other) * 5)
            )
        )

        refused = next(one for one in made if one.status_code == 403)
        assert statuses(made) == {201: 3, 403: 7}
        assert refused.json()["code"] == "quota_exceeded"


async def test_a_demo_room_of_strangers_closes_after_a_day_of_silence(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC) as desk:
        made = (await desk.http.post("/agent/demo/room", json={"name": "try"})).json()
        desk.clock.pass_s(DAY_S)

        info = (await desk.http.get(f"/agent/rooms/{made['id']}/info")).json()

        assert info["lifecycle"] == "closed"
        assert made["maxBytes"] == 4_000


async def test_demo_rooms_whose_time_is_over_make_way_for_others(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC) as desk:
        for number in range(3):
            await desk.http.post("/agent/demo/room", json={"name": f"try {number}"})
        full = await desk.http.post("/agent/demo/room", json={"name": "one more"})

        desk.clock.pass_s(DAY_S)
        made = await desk.http.post("/agent/demo/room", json={"name": "one more"})

        assert (full.status_code, made.status_code) == (403, 201)


async def test_a_key_may_have_as_many_rooms_as_is_set(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC, rooms=2) as desk:
        ann, rex = await desk.key("ann"), await desk.key("rex")
        for number in range(2):
            await desk.http.post("/agent/rooms", json={"name": f"no {number}"}, headers=ann)

        hers = await desk.http.post("/agent/rooms", json={"name": "no 3"}, headers=ann)
        his = await desk.http.post("/agent/rooms", json={"name": "no 3"}, headers=rex)

        assert (hers.status_code, his.status_code) == (403, 201)


async def test_rooms_are_opened_ten_times_a_minute(tmp_path: Path):
    async with a_limited_desk(tmp_path, door=PUBLIC) as desk:
        ann = await desk.key("ann")

        made = [
            await desk.http.post("/agent/rooms", json={"name": f"no {n}"}, headers=ann)
            for n in range(11)
        ]

        assert statuses(made) == {201: 10, 429: 1}
        assert made[-1].headers["ratelimit-policy"] == '"rooms";q=10;w=60'
        assert made[-1].json()["detail"] == (
            "You open too many rooms: at most 10 at once, and 10 a minute for long."
        )
