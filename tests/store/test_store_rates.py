"""What a store promises about limits: they hold for all processes on it together."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from engines import ALL
from hypothesis import given
from hypothesis import strategies as st
from store_talk import BUDGET_OF_40, NOON, a_room, closes, contents, new_room, nothing, says

from room_mcp.rooms import Refusal
from room_mcp.rooms.refusals import BudgetSpent, QuotaExceeded, RoomFull
from room_mcp.store.interface import Store
from room_mcp.store.limiting import Quota, Rate, slots

pytestmark = pytest.mark.anyio
ENGINES = ALL

TWENTY_A_SECOND = Rate(100, timedelta(milliseconds=50))
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


async def all_of(store: Store, rate: Rate, at: datetime, *, subject: str = "ann") -> int:
    """How many one gets by taking until there are none."""
    got = 0
    while taken := (await store.take(subject, "posts", rate, needed=1, at=at)).number:
        got += taken
    return got


async def wait_slots(
    store: Store,
    holder: str,
    needed: int,
    *,
    opened: int = 0,
    limit: int = 30,
    at: datetime = NOON,
    subject: str = "ann",
) -> int:
    return await store.take_slots(
        subject,
        "waits",
        holder,
        limit=limit,
        opened=opened,
        needed=needed,
        at=at,
        until=at + MINUTE,
    )


# ---- rates ---------------------------------------------------------------------------------------


async def test_a_burst_is_shared_by_all_stores_on_a_file(store: Store, other: Store):
    got = await asyncio.gather(
        *(all_of(one, TWENTY_A_SECOND, NOON) for one in (store, other, store, other))
    )

    assert sum(got) == 100


async def test_after_the_burst_there_is_what_time_earns_again(store: Store):
    await all_of(store, TWENTY_A_SECOND, NOON)

    assert await all_of(store, TWENTY_A_SECOND, NOON + SECOND) == 20
    assert await all_of(store, TWENTY_A_SECOND, NOON + 1000 * SECOND) == 100


async def test_a_process_takes_several_at_once_while_there_are_plenty(store: Store):
    taken = await store.take("ann", "posts", TWENTY_A_SECOND, needed=1, at=NOON)

    assert taken.number == 20


async def test_a_process_takes_no_more_than_a_second_earns_again(store: Store):
    ten_a_minute = Rate(10, timedelta(seconds=6))

    taken = await store.take("ann", "rooms", ten_a_minute, needed=1, at=NOON)

    assert taken.number == 1


async def test_the_last_ones_are_taken_one_by_one(store: Store):
    await store.take("ann", "posts", TWENTY_A_SECOND, needed=96, at=NOON)

    taken = await store.take("ann", "posts", TWENTY_A_SECOND, needed=1, at=NOON)

    assert taken.number == 1


async def test_too_few_are_not_taken_at_all(store: Store):
    await store.take("ann", "posts", TWENTY_A_SECOND, needed=96, at=NOON)

    taken = await store.take("ann", "posts", TWENTY_A_SECOND, needed=5, at=NOON)

    assert taken.number == 0
    assert TWENTY_A_SECOND.until_free(taken.due_at, NOON, 5) == timedelta(milliseconds=50)
    assert await all_of(store, TWENTY_A_SECOND, NOON) == 4


async def test_each_caller_has_a_rate_of_his_own(store: Store):
    await all_of(store, TWENTY_A_SECOND, NOON)

    assert await all_of(store, TWENTY_A_SECOND, NOON, subject="rex") == 100


async def test_a_clock_that_was_set_back_keeps_nobody_out_for_long(store: Store):
    await all_of(store, TWENTY_A_SECOND, NOON + timedelta(days=1))

    assert await all_of(store, TWENTY_A_SECOND, NOON) == 0
    assert await all_of(store, TWENTY_A_SECOND, NOON + 5 * SECOND) == 100


@given(
    burst=st.integers(1, 50),
    every_ms=st.integers(1, 2_000),
    takes=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 10)), max_size=40),
)
def test_no_window_holds_more_than_a_burst_and_what_it_earns(
    burst: int, every_ms: int, takes: list[tuple[int, int]]
):
    rate = Rate(burst, timedelta(milliseconds=every_ms))
    due_at, now, taken = NOON, NOON, [(NOON, 0)]
    for pause_ms, count in takes:
        now += timedelta(milliseconds=pause_ms)
        if rate.free(due_at, now) >= count:
            due_at = rate.taken(due_at, now, count)
            taken.append((now, count))

    for first, (start_at, _) in enumerate(taken):
        for last, (end_at, _) in enumerate(taken[first:], first):
            inside = sum(count for _, count in taken[first : last + 1])
            assert inside <= burst + (end_at - start_at) // rate.every


# ---- slots ---------------------------------------------------------------------------------------


async def test_slots_are_shared_by_all_stores_on_a_file(store: Store, other: Store):
    assert await wait_slots(store, "one", 20) == 21
    assert await wait_slots(other, "two", 20) == 9
    assert await wait_slots(store, "one", 25, opened=21) == 21
    assert await wait_slots(store, "one", 5, subject="rex") == 8


async def test_slots_that_were_given_back_are_free_for_others(store: Store, other: Store):
    await wait_slots(store, "one", 30)
    store.give_slots_back("ann", "waits", "one", left=10)

    await wait_slots(store, "one", 1, subject="rex")  # the writer does all in order

    assert await wait_slots(other, "two", 30) == 20


async def test_a_process_that_ends_gives_all_its_slots_back(store: Store, other: Store):
    await wait_slots(store, "one", 30)
    await wait_slots(store, "one", 30, subject="rex")

    await store.give_all_slots_back("one")

    assert await wait_slots(other, "two", 30) == 30
    assert await wait_slots(other, "two", 30, subject="rex") == 30


async def test_what_is_open_stays_counted_after_others_came(store: Store, other: Store):
    await wait_slots(store, "one", 30)
    later = NOON + 2 * MINUTE
    assert await wait_slots(other, "two", 30, at=later) == 30

    assert await wait_slots(store, "one", 30, opened=30, at=later) == 30
    assert await wait_slots(other, "two", 31, opened=0, at=later) == 0


@given(
    limit=st.integers(0, 300),
    others=st.integers(0, 300),
    needed=st.integers(0, 300),
)
def test_slots_never_exceed_the_limit_by_what_is_not_open(limit: int, others: int, needed: int):
    got = slots(limit=limit, others=others, opened=0, needed=needed)

    assert got + others <= max(limit, others)
    assert got >= min(needed, limit - others)


# ---- quotas --------------------------------------------------------------------------------------


async def test_rooms_that_are_made_at_once_stay_within_the_quota(store: Store, other: Store):
    quota = Quota("addr:1", 3)

    made = await asyncio.gather(
        *(one.create(a_room(), quota=quota) for one in (store, other) * 5), return_exceptions=True
    )

    refused = [one for one in made if isinstance(one, QuotaExceeded)]
    assert len(refused) == 7
    assert len(await store.rooms_of("addr:1")) == 3


async def test_a_room_that_has_ended_or_is_gone_counts_no_longer(store: Store):
    quota = Quota("addr:1", 2)
    first, _ = await store.create(a_room(), quota=quota)
    second, _ = await store.create(a_room(), quota=quota)
    with pytest.raises(QuotaExceeded):
        await store.create(a_room(), quota=quota)

    await store.act(first.id, closes())
    third, _ = await store.create(a_room(), quota=quota)
    await store.delete(second.id, nothing)
    fourth, _ = await store.create(a_room(), quota=quota)

    assert set(await store.rooms_of("addr:1")) == {third.id, fourth.id}


async def test_a_room_that_is_found_again_takes_nothing_of_the_quota(store: Store):
    quota = Quota("addr:1", 1)
    room, _ = await store.create(a_room("plans"), quota=quota)

    again, created = await store.create(a_room("plans"), reuse=True, quota=quota)

    assert (again.id, created) == (room.id, False)


async def hundred_at_once(room_id: str, *stores: Store, text: str = "hello") -> list[Refusal]:
    """What was refused of a hundred posts that the stores were asked for at once."""
    posts = (one.act(room_id, says(text)) for one in stores * (100 // len(stores)))
    done = await asyncio.gather(*posts, return_exceptions=True)
    refused = [one for one in done if isinstance(one, Refusal)]
    assert len(refused) + (await stores[0].room(room_id)).last_seq == 100
    return refused


async def test_the_bytes_of_a_room_are_used_up_to_the_last_message_and_not_beyond(
    store: Store, other: Store
):
    room_id = await new_room(store, max_bytes=52 * 10_002 + 10_001)

    refused = await hundred_at_once(room_id, store, other, text="x" * 10_000)  # and the quotes

    assert {type(one) for one in refused} == {RoomFull}
    assert (await store.room(room_id)).size_bytes == 52 * 10_002
    assert len(refused) == 48


async def test_the_messages_of_a_budget_are_used_up_to_the_last_and_not_beyond(
    store: Store, other: Store
):
    room_id = await new_room(store, contract=BUDGET_OF_40)

    refused = await hundred_at_once(room_id, store, other)

    assert {type(one) for one in refused} == {BudgetSpent}
    assert len(refused) == 60
    assert len(await contents(other, room_id)) == 40
