"""What a store promises about acts: order, numbers, refusals, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from engines import ALL, ONE_PROCESS, only
from store_talk import (
    BUDGET_OF_40,
    NOON,
    a_room,
    closes,
    contents,
    joins,
    key,
    leaves,
    new_room,
    pauses,
    says,
)

from room_mcp.rooms import Admission, Contract, Past, Refusal, Room, Step
from room_mcp.rooms.refusals import RoomClosed, RoomNotFound
from room_mcp.store.interface import Act, Done, Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


async def test_a_room_comes_back_as_it_was_created(store: Store, other: Store):
    room = a_room(purpose="PR 12 – Ärger", listed=False, max_bytes=512, owner_key_hash="ab")

    assert await store.create(room) == (room, True)
    assert await other.room(room.id) == room


async def test_a_room_with_everything_in_it_comes_back_from_the_file(store: Store, other: Store):
    room_id = await new_room(store)
    await store.act(room_id, joins("bob"))
    await store.act(room_id, says("Why?", type="question", to=("bob",)))
    await store.act(room_id, leaves("bob"))
    done = await store.act(room_id, says({"outcome": "yes"}, type="decision"))

    assert done.room.closing is not None
    assert await other.room(room_id) == done.room


async def test_an_id_is_given_only_once(store: Store):
    room, _ = await store.create(a_room())

    with pytest.raises(ValueError, match="exists already"):
        await store.create(room)


async def test_reuse_takes_the_open_listed_room_of_that_name(store: Store):
    first, _ = await store.create(a_room("Review"))

    assert await store.create(a_room("review"), reuse=True) == (first, False)


async def test_reuse_takes_a_paused_room(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, pauses())

    taken, is_new = await store.create(a_room(), reuse=True)

    assert (taken.id, is_new) == (room_id, False)


async def test_reuse_passes_over_closed_and_unlisted_rooms(store: Store):
    await store.create(a_room(listed=False))
    closed = await new_room(store)
    await store.act(closed, closes())
    room = a_room()

    assert await store.create(room, reuse=True) == (room, True)


async def test_a_room_is_opened_again_by_a_name_that_looks_like_its_own(store: Store):
    made, _ = await store.create(a_room("api"))

    again, is_new = await store.create(a_room("арі"), reuse=True)

    assert (again.id, is_new) == (made.id, False)


async def test_reuse_takes_the_unlisted_room_of_the_same_server_key(store: Store, other: Store):
    mine = a_room(listed=False, admission=Admission(owner="rks_1"))
    await store.create(mine)
    strange = a_room(admission=Admission(owner="rks_2"))

    again = await other.create(replace(mine, id="another"), reuse=True)

    assert again == (mine, False)
    assert await other.create(strange, reuse=True) == (strange, True)


async def test_reuse_takes_the_room_that_was_last_changed(store: Store):
    first, second = await new_room(store), await new_room(store)
    await store.act(first, says("hello"))

    taken, _ = await store.create(a_room(), reuse=True)

    assert taken.id == first
    assert second != first


async def test_without_reuse_two_rooms_may_have_one_name(store: Store):
    first, _ = await store.create(a_room())
    second, is_new = await store.create(a_room())

    assert is_new
    assert second.id != first.id


async def test_two_stores_that_reuse_one_name_at_once_share_one_room(store: Store, other: Store):
    made = await asyncio.gather(*(one.create(a_room(), reuse=True) for one in (store, other) * 10))

    assert len({room.id for room, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


async def test_an_act_gives_back_the_room_and_its_messages(store: Store):
    room_id = await new_room(store)

    done = await store.act(room_id, says({"text": "grüße", "n": [1, None, 1.5]}))

    assert done.room.last_seq == 1
    assert done == Done(await store.room(room_id), (await store.read(room_id)).messages)


async def test_content_comes_back_exactly_as_sent(store: Store, other: Store):
    sent = {"b": "\u0000 \u2028 😀 東京", "a": 2**53, "x": {"": [True, None, -0.0, 1e-300]}}
    room_id = await new_room(store)
    await store.act(room_id, says(sent))

    (found,) = await contents(other, room_id)

    assert found == sent
    assert list(found) == ["b", "a", "x"]


def nested(depth: int) -> dict[str, Any]:
    return {"in": nested(depth - 1)} if depth else {"end": [[]]}


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "\0 alone, and \0 again",
        "\r\n\t \u2028 \ufeff \U0010ffff \x7f",
        "e\u0301 is not \u00e9, nor is Ａ an A",
        {"": {"": ""}, "\0": "\0", "__proto__": [], "1": 1},
        {"n": [10**400, -(2**63) - 1, 2**64, 0.1 + 0.2, 5e-324, 1.0]},
        nested(200),
        "x" * 1_000_000,
    ],
    ids=["empty", "nul", "signs", "forms", "keys", "numbers", "deep", "long"],
)
async def test_what_is_said_comes_back_sign_by_sign(store: Store, other: Store, sent: Any):
    room_id = await new_room(store)

    done = await store.act(room_id, says(sent), key=key())
    replay = await other.act(room_id, says(sent), key=key())

    assert await contents(other, room_id) == [sent]
    assert (done.messages, repr(replay.messages[0].content)) == (replay.messages, repr(sent))


async def test_nobody_changes_what_was_said_by_changing_what_he_sent_or_read(store: Store):
    room_id = await new_room(store)
    sent = {"list": [1]}
    await store.act(room_id, says(sent))

    sent["list"].append(2)
    (read,) = await contents(store, room_id)
    read["list"].append(3)

    assert await contents(store, room_id) == [{"list": [1]}]


async def test_a_clock_that_goes_back_turns_back_neither_numbers_nor_times(
    store: Store, other: Store
):
    room_id = await new_room(store)
    for one, hours in ((store, 0), (other, -24), (store, -1), (other, 1), (store, 0)):
        await one.act(room_id, says("x", at=NOON + timedelta(hours=hours)))

    messages = (await store.read(room_id, after=0)).messages

    later = NOON + timedelta(hours=1)
    assert [one.seq for one in messages] == [1, 2, 3, 4, 5]
    assert [one.at for one in messages] == [NOON, NOON, NOON, later, later]
    assert await other.seq_at(room_id, at=NOON, message_id=None) == 3


async def test_acts_in_an_unknown_room_are_refused(store: Store):
    with pytest.raises(RoomNotFound):
        await store.act("nowhere", says("hello"))


async def test_no_refusal_names_the_room_id(store: Store):
    with pytest.raises(RoomNotFound) as refused:
        await store.act("secret-room-id", says("hello"))

    assert "secret" not in str(refused.value) + str(refused.value.__cause__)


async def test_a_refusal_changes_nothing(store: Store):
    room_id = await new_room(store, "first")
    before = await store.room(room_id)

    with pytest.raises(Refusal):
        await store.act(room_id, says("late", if_last_seq=0))

    assert await store.room(room_id) == before
    assert await contents(store, room_id) == ["first"]


@only(*ONE_PROCESS)
async def test_a_mistake_in_decide_reaches_its_caller_and_nobody_else(store: Store):
    room_id = await new_room(store)

    def mistaken(room: Room, past: Past) -> Step:
        raise ZeroDivisionError("mine")

    results = await asyncio.gather(
        store.act(room_id, says("before")),
        store.act(room_id, mistaken),
        store.act(room_id, says("after")),
        return_exceptions=True,
    )

    assert isinstance(results[1], ZeroDivisionError)
    assert await contents(store, room_id) == ["before", "after"]


@only(*ONE_PROCESS)
@pytest.mark.parametrize("wrong", [{"content": "lone \ud800"}, {"content": "", "type": "\ud800"}])
async def test_what_cannot_be_written_fails_its_own_act_only(store: Store, wrong: dict[str, str]):
    room_id = await new_room(store)

    results = await asyncio.gather(
        store.act(room_id, says("before")),
        store.act(room_id, says(**wrong)),
        store.act(room_id, says("after")),
        return_exceptions=True,
    )

    assert [type(one) for one in results] == [Done, UnicodeEncodeError, Done]
    assert await contents(store, room_id) == ["before", "after"]


async def test_a_step_that_skips_a_number_is_not_stored(store: Store):
    room_id = await new_room(store, "one")

    def skipping(room: Room, past: Past) -> Step:
        _, (message,), _ = says("two")(room, past)
        return Step(room, (message,))

    with pytest.raises(ValueError, match="gaps"):
        await store.act(room_id, skipping)

    assert await contents(store, room_id) == ["one"]


async def test_acts_at_the_same_time_are_numbered_without_gaps(store: Store, other: Store):
    room_id = await new_room(store)

    dones = await asyncio.gather(
        *(
            one.act(room_id, says(f"{n}", f"agent-{n % 7}"))
            for one in (store, other)
            for n in range(100)
        )
    )

    page = await store.read(room_id, after=0, limit=500)
    assert [message.seq for message in page.messages] == list(range(1, 201))
    assert {done.messages[0] for done in dones} == set(page.messages)


async def test_a_store_decides_on_what_another_store_did_just_before(store: Store, other: Store):
    room_id = await new_room(store)

    for number, one in enumerate((store, other) * 3):
        await one.act(room_id, says(f"{number}", if_last_seq=number))

    assert await contents(store, room_id) == ["0", "1", "2", "3", "4", "5"]


async def test_a_store_decides_by_the_contract_that_another_store_has_given_a_room(
    store: Store, other: Store
):
    room_id = await new_room(store)
    await other.act(room_id, says("hello"))
    seen: list[Contract] = []

    def give(room: Room, past: Past) -> Step:
        return Step(replace(room, contract=BUDGET_OF_40))

    def look(room: Room, past: Past) -> Step:
        seen.append(room.contract)
        return Step(room)

    await store.act(room_id, give)
    await store.act(room_id, says("hello"))
    await other.act(room_id, look)

    assert seen[-1] == BUDGET_OF_40


@only(*ONE_PROCESS)
async def test_acts_of_one_caller_keep_their_order(store: Store):
    room_id = await new_room(store)

    await asyncio.gather(*(store.act(room_id, says(n)) for n in map(str, range(50))))

    assert await contents(store, room_id) == [str(n) for n in range(50)]


@only(*ONE_PROCESS)
async def test_acts_that_wait_together_see_each_other(store: Store):
    room_id = await new_room(store)

    results = await asyncio.gather(
        store.act(room_id, says("the end", type="decision")),
        store.act(room_id, says("one more")),
        return_exceptions=True,
    )

    assert isinstance(results[1], RoomClosed)


@only(*ONE_PROCESS)
async def test_an_answer_knows_the_author_of_a_message_in_the_same_transaction(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, joins("bob"))

    _, answered = await asyncio.gather(
        store.act(room_id, says("Shall I?", "bob")),
        store.act(room_id, says("Yes.", type="answer", reply_to=1)),
    )

    assert answered.messages[0].wakes == ("bob",)


async def test_an_answer_knows_the_author_of_an_old_message(store: Store, other: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("Shall I?", "bob"))

    answered = await other.act(room_id, says("Yes.", type="answer", reply_to=1))

    assert answered.messages[0].wakes == ("bob",)


async def test_a_batch_is_decided_in_order_and_goes_on_after_a_refusal(store: Store):
    room_id = await new_room(store)

    results = await store.act_all(
        room_id,
        [Act(says("one")), Act(says("two", if_last_seq=0)), Act(says("three", if_last_seq=1))],
    )

    assert [type(one).__name__ for one in results] == ["Done", "SeqMismatch", "Done"]
    assert await contents(store, room_id) == ["one", "three"]


async def test_a_batch_of_more_than_a_transaction_takes_is_done(store: Store):
    room_id = await new_room(store)

    results = await store.act_all(room_id, [Act(says(str(n))) for n in range(300)])

    assert len(results) == 300
    assert (await store.room(room_id)).last_seq == 300


async def test_an_empty_batch_is_nothing(store: Store):
    assert await store.act_all(await new_room(store), []) == []


# ---- giving up and being cancelled --------------------------------------------------------------


async def test_an_act_whose_caller_is_cancelled_at_once_does_not_happen(store: Store):
    room_id = await new_room(store)

    task = asyncio.ensure_future(store.act(room_id, says("hello")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.act(room_id, says("next"))

    assert (await contents(store, room_id))[-1] == "next"
