"""Reading: cursors, `since`, filters, and how far each member has got."""

from __future__ import annotations

import anyio
import pytest
from rest_desk import NOBODY, Desk, exchange, must_be_problem

pytestmark = pytest.mark.anyio


async def told(desk: Desk, *contents: str, sender: str = "alice") -> str:
    """A room in which `bob` is and `sender` said these."""
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    for content in contents:
        await desk.say(id, sender, content)
    return id


def contents(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["content"] for one in page["messages"]]


# ---- cursors ------------------------------------------------------------------------------------


async def test_pages_follow_each_other_without_gap_or_double(desk: Desk):
    id = await told(desk, "1", "2", "3", "4", "5")
    first = await desk.read(id, after=0, limit=2)
    second = await desk.read(id, after=first["nextCursor"], limit=2)
    third = await desk.read(id, after=second["nextCursor"], limit=2)
    end = await desk.read(id, after=third["nextCursor"], limit=2)

    assert [contents(one) for one in (first, second, third, end)] == [
        ["1", "2"],
        ["3", "4"],
        ["5"],
        [],
    ]
    assert [one["hasMore"] for one in (first, second, third, end)] == [True, True, False, False]
    assert end["nextCursor"] == 5


async def test_without_a_cursor_the_newest_messages_are_answered(desk: Desk):
    id = await told(desk, "1", "2", "3")
    newest = await desk.read(id, limit=2)
    older = await desk.read(id, before=2)

    assert (contents(newest), newest["nextCursor"]) == (["2", "3"], 3)
    assert (contents(older), older["nextCursor"]) == (["1"], 1)


async def test_nothing_older_than_the_first_message_leaves_the_cursor_at_the_start(desk: Desk):
    id = await told(desk, "1", "2")
    nothing = await desk.read(id, before=1)

    assert (nothing["messages"], nothing["nextCursor"]) == ([], 0)


async def test_a_cursor_ahead_of_the_room_is_refused(desk: Desk):
    id = await told(desk, "1")
    ahead = [
        await desk.http.get(f"/agent/rooms/{id}/{call}", params={"after": 2})
        for call in ("messages", "history", "stream")
    ]

    assert [one.status_code for one in ahead] == [409, 409, 409]
    assert must_be_problem(ahead[0])["code"] == "cursor_ahead"
    assert must_be_problem(ahead[0])["lastSeq"] == 1


@pytest.mark.parametrize(
    ("asked", "limit"), [("0", 1), ("-5", 1), ("7", 7), ("501", 500), ("9" * 40, 500)]
)
async def test_a_limit_is_clamped_and_echoed(desk: Desk, asked: str, limit: int):
    id = await told(desk, "1")
    page = await desk.read(id, limit=asked)

    assert page["limit"] == limit


async def test_filters_leave_out_others_and_still_move_the_cursor(desk: Desk):
    id = await told(desk, "1", "2")
    await desk.say(id, "bob", "3", type="question")
    by_sender = await desk.read(id, after=0, sender="ALICE")
    by_type = await desk.read(id, after=0, type="question")

    assert (contents(by_sender), by_sender["nextCursor"]) == (["1", "2"], 3)
    assert contents(by_type) == ["3"]


# ---- since --------------------------------------------------------------------------------------


async def test_since_means_a_seq_a_message_or_a_time(desk: Desk):
    id = await told(desk, "1", "2", "3")
    one = (await desk.read(id))["messages"][0]
    found = {
        since: contents(await desk.read(id, since=since))
        for since in (
            "0",
            "2",
            one["id"],
            "2020-01-01",
            "2020-01-01T00:00:00Z",
            "1600000000",
            "1600000000000",
            "1600000000.5",
            "9999-12-31T23:59:59Z",
            "4000000000",
            "4000000000000",
        )
    }

    assert found == {
        "0": ["1", "2", "3"],
        "2": ["3"],
        one["id"]: ["2", "3"],
        "2020-01-01": ["1", "2", "3"],
        "2020-01-01T00:00:00Z": ["1", "2", "3"],
        "1600000000": ["1", "2", "3"],
        "1600000000000": ["1", "2", "3"],
        "1600000000.5": ["1", "2", "3"],
        "9999-12-31T23:59:59Z": [],
        "4000000000": [],
        "4000000000000": [],
    }


async def test_since_works_in_the_history_too(desk: Desk):
    id = await told(desk, "1", "2", "3")
    history = await desk.http.get(f"/agent/rooms/{id}/history", params={"since": "1"})

    assert contents(history.json()) == ["2", "3"]


@pytest.mark.parametrize("since", ["", "yesterday", "-1", "nan", "inf", "1e99", NOBODY])
async def test_a_since_that_means_nothing_is_refused(desk: Desk, since: str):
    id = await told(desk, "1")
    page = await desk.http.get(f"/agent/rooms/{id}/messages", params={"since": since})

    assert (page.status_code, must_be_problem(page)["code"]) == (400, "malformed")


# ---- how far a member has read ------------------------------------------------------------------


async def test_a_reader_goes_on_where_his_last_answer_ended(desk: Desk):
    id = await told(desk, "1", "2", "3")
    first = await desk.read(id, reader="bob", limit=2)
    second = await desk.read(id, reader="bob")
    third = await desk.read(id, reader="bob")

    assert [contents(one) for one in (first, second, third)] == [["1", "2"], ["3"], []]
    assert [(one["readTo"], one["shownTo"]) for one in (first, second, third)] == [
        (0, 0),
        (2, 2),
        (3, 3),
    ]


async def test_joining_starts_at_the_newest_message_and_shows_the_newest_twenty(desk: Desk):
    id = await told(desk, *map(str, range(25)))
    joined = await desk.join(id, "carol")
    page = await desk.read(id, reader="carol")

    assert contents(joined) == [str(n) for n in range(5, 25)]
    assert (page["messages"], page["readTo"]) == ([], 25)


async def test_an_answer_that_never_left_is_shown_again(desk: Desk):
    id = await told(desk, "1", "2")
    path = f"/agent/rooms/{id}/messages?reader=bob"
    async with exchange(desk.app, "GET", path, stalled=True) as lost:
        again = await desk.read(id, reader="bob")
        lost.hang_up()

    assert contents(again) == ["1", "2"]
    assert (again["readTo"], again["shownTo"]) == (0, 0)


async def test_an_answer_to_somebody_who_hung_up_is_shown_again(desk: Desk):
    id = await told(desk, "1", "2")
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/rooms/{id}/messages?reader=bob") as lost:
            lost.hang_up()
            await lost.until_ended()
    again = await desk.read(id, reader="bob")

    assert contents(again) == ["1", "2"]
    assert (again["readTo"], again["shownTo"]) == (0, 0)


async def test_parallel_calls_do_not_acknowledge_each_other(desk: Desk):
    id = await told(desk, "1")
    path = f"/agent/rooms/{id}/messages?reader=bob&after=1&wait=50"
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", path) as waiting:
            await desk.until_waiting(id, "bob")
            async with exchange(
                desk.app, "GET", f"/agent/rooms/{id}/messages?reader=bob&after=1", stalled=True
            ) as other:
                await desk.say(id, "alice", "2")
                await waiting.until('"nextCursor":2')
                other.take()
                await other.until_ended()
        info = (await desk.http.get(f"/agent/rooms/{id}/info")).json()
        later = await desk.read(id, reader="bob")

    assert next(one["readTo"] for one in info["members"] if one["name"] == "bob") == 1
    assert (later["readTo"], later["shownTo"]) == (2, 2)


async def test_after_says_what_was_read_and_what_was_only_shown_comes_again(desk: Desk):
    id = await told(desk, "1", "2", "3")
    await desk.read(id, reader="bob")
    again = await desk.read(id, reader="bob", after=1)

    assert contents(again) == ["2", "3"]
    assert (again["readTo"], again["shownTo"]) == (1, 3)


async def test_ack_says_what_was_read_without_moving_the_page(desk: Desk):
    id = await told(desk, "1", "2", "3")
    page = await desk.read(id, reader="bob", ack=2)

    assert (contents(page), page["readTo"]) == (["3"], 2)


async def test_an_ack_beyond_the_room_counts_as_its_end(desk: Desk):
    id = await told(desk, "1")
    page = await desk.read(id, reader="bob", ack=1_000)

    assert page["readTo"] == 1


async def test_reading_back_or_filtered_shows_nothing_for_good(desk: Desk):
    id = await told(desk, "1", "2", "3")
    await desk.read(id, reader="bob", before=3)
    await desk.read(id, reader="bob", type="note", after=0)
    page = await desk.read(id, reader="bob")

    assert contents(page) == ["1", "2", "3"]


async def test_only_a_member_can_be_the_reader(desk: Desk):
    id = await told(desk, "1")
    page = await desk.http.get(f"/agent/rooms/{id}/messages", params={"reader": "zoe"})

    assert (page.status_code, must_be_problem(page)["code"]) == (403, "not_a_member")


# ---- missed -------------------------------------------------------------------------------------


async def test_a_post_tells_its_sender_what_he_missed_and_it_counts_as_shown(desk: Desk):
    id = await told(desk, "1", "2")
    posted = await desk.say(id, "bob", "3")
    next_page = await desk.read(id, reader="bob")

    assert (contents({"messages": posted["missed"]}), posted["missedCount"]) == (["1", "2"], 2)
    assert (next_page["messages"], next_page["readTo"]) == ([], 3)


async def test_who_has_read_everything_missed_nothing(desk: Desk):
    id = await told(desk, "1")
    await desk.read(id, reader="bob")
    posted = await desk.say(id, "bob", "2")
    page = await desk.read(id, reader="bob")

    assert (posted["missed"], posted["missedCount"]) == ([], 0)
    assert page["readTo"] == 2


async def test_at_most_ten_missed_messages_are_shown_and_the_rest_is_read_by_cursor(desk: Desk):
    id = await told(desk, *map(str, range(1, 16)))
    posted = await desk.say(id, "bob", "16")
    rest = await desk.read(id, reader="bob")

    assert [one["seq"] for one in posted["missed"]] == list(range(1, 11))
    assert posted["missedCount"] == 15
    assert [one["seq"] for one in rest["messages"]] == list(range(11, 17))


async def test_at_most_8_kib_of_missed_messages_are_shown(desk: Desk):
    id = await told(desk, "x" * 5_000, "y" * 5_000)
    posted = await desk.say(id, "bob", "3")
    rest = await desk.read(id, reader="bob")

    assert [one["seq"] for one in posted["missed"]] == [1]
    assert posted["missedCount"] == 2
    assert [one["seq"] for one in rest["messages"]] == [2, 3]


async def test_what_a_lost_answer_to_a_post_showed_is_shown_again(desk: Desk):
    id = await told(desk, "1", "2")
    post = {"sender": "bob", "content": "3", "idempotencyKey": "k"}
    path = f"/agent/rooms/{id}/messages"
    with anyio.fail_after(20):
        async with exchange(desk.app, "POST", path, json_body=post, stalled=True) as lost:
            await desk.read(id, after=2, wait=50)
            lost.hang_up()
            retried = (await desk.http.post(path, json=post)).json()

    assert retried["idempotent"]
    assert contents({"messages": retried["missed"]}) == ["1", "2"]


async def test_a_retry_shows_what_was_said_since_and_skips_nothing(desk: Desk):
    id = await told(desk)
    await desk.say(id, "bob", "mine", idempotencyKey="k")
    await desk.say(id, "alice", "2")
    retried = await desk.say(id, "bob", "mine", idempotencyKey="k")
    await desk.say(id, "alice", "3")
    page = await desk.read(id, reader="bob")

    assert contents({"messages": retried["missed"]}) == ["2"]
    assert contents(page) == ["3"]


async def test_a_post_may_say_what_its_sender_has_read(desk: Desk):
    id = await told(desk, "1", "2", "3")
    posted = await desk.say(id, "bob", "4", ack=2)

    assert contents({"messages": posted["missed"]}) == ["3"]


async def test_who_left_and_comes_back_by_speaking_starts_at_the_newest(desk: Desk):
    id = await told(desk, "1")
    await desk.http.post(f"/agent/rooms/{id}/leave", json={"sender": "bob"})
    await desk.say(id, "alice", "2")
    posted = await desk.say(id, "bob", "3")

    assert posted["missed"] == []
