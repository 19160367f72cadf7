"""Writing to a database that others write to as well, over connections that may be lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta

import anyio
import asyncpg
import pytest
from cutting import Cutting
from database_talk import connected, held, left_open, waiting
from engines import Postgres
from postgres_databases import empty_database
from store_talk import (
    NOON,
    Decide,
    a_room,
    closes,
    contents,
    joins,
    key,
    new_room,
    nothing,
    says,
)

from room_mcp.rooms import Message, Past, Room, Step
from room_mcp.rooms.refusals import RoomNotFound
from room_mcp.store.auditing import Entry
from room_mcp.store.interface import Act, OutcomeUnknown, Reading, Store, StoreBusy, StoreError
from room_mcp.store.limiting import Rate
from room_mcp.store.opening import open_store
from room_mcp.store.postgres import PostgresStore, batch, schema
from room_mcp.store.postgres.batch import AHEAD_MESSAGES

pytestmark = pytest.mark.anyio
ENGINES = ("postgres",)

GUARD_S = 20  # something hangs


@pytest.fixture
async def network(engine: Postgres) -> AsyncIterator[Cutting]:
    async with Cutting(engine.address) as network:
        yield network


@pytest.fixture
async def cut_off(network: Cutting) -> AsyncIterator[Store]:
    """A store whose connections can be cut."""
    store = open_store(network.url)
    await store.open()
    yield store
    await store.aclose()


# ---- commits whose answer is lost ---------------------------------------------------------------


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("under", [key(), None])
async def test_a_message_is_there_once_though_its_commit_was_cut(
    network: Cutting, cut_off: Store, arrives: bool, under
):
    room = await new_room(cut_off)
    network.cut_next(arrives=arrives)

    with anyio.fail_after(GUARD_S):
        done = await cut_off.act(room, says("once"), key=under)

    assert network.cuts == 1
    assert [message.seq for message in done.messages] == [1]
    assert not done.replayed
    assert await contents(cut_off, room) == ["once"]


async def test_all_acts_of_a_cut_commit_are_there_once_though_the_room_of_one_is_deleted(
    network: Cutting, cut_off: Store, store: Store
):
    rooms = [await new_room(cut_off, name=f"room {n}") for n in range(2)]
    await cut_off.act(rooms[0], nothing)  # now there is a connection
    network.lets_in.clear()
    network.cut_next(arrives=True)

    acts = asyncio.gather(*(cut_off.act(room, says("once")) for room in rooms))
    await network.has_cut.wait()
    await store.delete(rooms[0], nothing)
    network.lets_in.set()
    told = await acts

    assert [done.messages[0].seq for done in told] == [1, 1]
    assert await contents(store, rooms[1]) == ["once"]


async def test_an_act_beside_a_held_room_is_there_once_though_its_commit_comes_late(
    engine: Postgres, network: Cutting, cut_off: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.database.COMMIT_S", 0.1)
    rooms = [await new_room(cut_off, name=f"room {n}") for n in range(2)]
    await cut_off.act(rooms[0], nothing)
    async with connected(engine.address) as watcher, held(engine.address, rooms[0]):
        network.delays_commits = True
        acts = [asyncio.create_task(cut_off.act(room, says("once"))) for room in rooms]
        await network.has_delayed.wait()
        await waiting(watcher, 1)  # for the room whose commit is on its way
        network.goes_on.set()
        await acts[1]
    await acts[0]

    assert [await contents(cut_off, room) for room in rooms] == [["once"]] * 2


async def test_what_became_of_a_cut_commit_is_unknown_when_its_room_is_deleted(
    network: Cutting, cut_off: Store, store: Store
):
    room = await new_room(cut_off)
    await cut_off.act(room, nothing)
    network.lets_in.clear()
    network.cut_next(arrives=True)

    act = asyncio.create_task(cut_off.act(room, says("once")))
    await network.has_cut.wait()
    await store.delete(room, nothing)
    network.lets_in.set()

    with pytest.raises(OutcomeUnknown):
        await act


async def test_what_cannot_be_written_is_not_told_as_unknown_though_a_commit_before_was_cut(
    engine: Postgres, network: Cutting, cut_off: Store
):
    room = await new_room(cut_off)
    await cut_off.act(room, nothing)
    network.lets_in.clear()
    network.cut_next(arrives=False)

    act = asyncio.create_task(cut_off.act(room, says("never"), key=key()))
    await network.has_cut.wait()
    async with connected(engine.address) as master:
        await master.execute("ALTER TABLE keys RENAME TO gone")
        network.lets_in.set()
        with pytest.raises(StoreError) as told:
            await act
        await master.execute("ALTER TABLE gone RENAME TO keys")

    assert not isinstance(told.value, OutcomeUnknown)
    assert await contents(cut_off, room) == []


@pytest.mark.parametrize("arrives", [True, False])
async def test_all_acts_of_a_commit_that_was_cut_are_there_once(
    network: Cutting, cut_off: Store, arrives: bool
):
    rooms = [await new_room(cut_off, name=f"room {n}") for n in range(3)]
    network.cut_next(arrives=arrives)

    with anyio.fail_after(GUARD_S):
        done = await asyncio.gather(*(cut_off.act(id, says(id)) for id in rooms * 2))

    assert sorted(one.messages[0].seq for one in done) == [1, 1, 1, 2, 2, 2]
    assert [await contents(cut_off, id) for id in rooms] == [[id, id] for id in rooms]


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_change_without_messages_is_made_once_though_its_commit_was_cut(
    network: Cutting, cut_off: Store, store: Store, arrives: bool
):
    room = await new_room(cut_off)
    network.cut_next(arrives=arrives)

    with anyio.fail_after(GUARD_S):
        await cut_off.act(room, joins("bob"), entry=Entry(NOON, "join", name="bob"))

    assert network.cuts == 1
    assert set((await store.room(room)).members) == {"bob"}
    assert [one.entry.act for one in (await store.audit()).entries] == ["join"]


async def test_others_may_go_on_before_a_cut_commit_is_found(
    network: Cutting, cut_off: Store, store: Store, monkeypatch: pytest.MonkeyPatch
):
    room = await new_room(cut_off)
    network.cut_next(arrives=True)
    acting = asyncio.create_task(cut_off.act(room, says("first")))
    with anyio.fail_after(GUARD_S):
        while not await contents(store, room):
            continue
        await store.act(room, says("second"))
        done = await acting

    assert [message.seq for message in done.messages] == [1]
    assert await contents(cut_off, room) == ["first", "second"]


@pytest.mark.parametrize("arrives", [True, False])
async def test_whether_a_room_was_made_is_told_as_unknown(
    network: Cutting, cut_off: Store, store: Store, arrives: bool
):
    room = a_room()
    network.cut_next(arrives=arrives)

    with pytest.raises(OutcomeUnknown) as told:
        await cut_off.create(room)

    assert "same idempotency key" in told.value.advice
    assert len(await store.directory()) == arrives


async def test_a_question_has_no_outcome_that_may_be_unknown(network: Cutting, cut_off: Store):
    room = await new_room(cut_off)
    network.cut_next(arrives=True)

    listed = await cut_off.directory()

    assert [one.room.id for one in listed] == [room]


async def test_what_is_noted_is_written_though_its_commit_was_cut(
    network: Cutting, cut_off: Store, store: Store
):
    room = await new_room(cut_off)
    await cut_off.act(room, joins("bob"))
    network.cut_next(arrives=False)
    cut_off.mark_read(room, "bob", Reading(3, 2))

    with anyio.fail_after(GUARD_S):
        while (await store.readings(room))["bob"] != Reading(3, 2):
            continue

    assert network.cuts == 1


REFUSED = Entry(NOON, "read", "room_not_found", subject="ann")


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_refusal_is_in_the_audit_once_though_its_commit_was_cut(
    network: Cutting, cut_off: Store, store: Store, arrives: bool
):
    network.cut_next(arrives=arrives)
    cut_off.note_refusal(REFUSED)

    await cut_off.audit()
    cut_off.note_refusal(replace(REFUSED, subject="bob"))
    await cut_off.audit()

    assert network.cuts == 1
    assert [one.entry.subject for one in (await store.audit()).entries] == ["ann", "bob"]


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("act", [nothing, joins("bob")])
async def test_a_refusal_is_in_the_audit_once_though_the_commit_it_goes_with_was_cut(
    network: Cutting, cut_off: Store, store: Store, arrives: bool, act: Decide
):
    room = await new_room(cut_off)
    network.cut_next(arrives=arrives)
    cut_off.note_refusal(REFUSED)

    await cut_off.act(room, act)
    await cut_off.audit()

    assert network.cuts == 1
    assert [one.entry for one in (await store.audit()).entries] == [REFUSED]


async def test_a_refusal_is_in_the_audit_once_though_what_was_done_beside_it_is_unknown(
    network: Cutting, cut_off: Store, store: Store
):
    network.cut_next(arrives=True)
    cut_off.note_refusal(REFUSED)

    with pytest.raises(OutcomeUnknown):
        await cut_off.create(a_room())
    await cut_off.audit()

    assert [one.entry for one in (await store.audit()).entries] == [REFUSED]


# ---- after a commit ------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [RuntimeError, OSError])
@pytest.mark.parametrize("what", ["measures.committed", "_watchers.wake", "_cache.put"])
async def test_what_fails_after_a_commit_is_no_failure_of_what_was_committed(
    store: Store,
    other: Store,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    failure: type[Exception],
):
    rooms = [await new_room(store, name=f"room {n}") for n in range(2)]

    def fail(*_: object, **__: object) -> None:
        raise failure("It broke.")

    part, call = what.split(".")
    with monkeypatch.context() as broken:
        broken.setattr(getattr(store, part), call, fail)
        done = await asyncio.gather(*(store.act(id, says("once")) for id in rooms))
        made, is_new = await store.create(a_room("new"))

    assert [len(one.messages) for one in done] == [1, 1]
    assert [await contents(other, id) for id in rooms] == [["once"], ["once"]]
    assert is_new
    assert len(await other.directory()) == 3
    await store.act(made.id, says("on"))


# ---- together -----------------------------------------------------------------------------------


async def test_acts_that_come_together_share_a_commit(store: Store):
    room = await new_room(store)

    await asyncio.gather(*(store.act(room, says(str(n)), key=key(str(n))) for n in range(64)))

    spread = store.measures.commit_acts.spreads()[()]
    assert (sum(spread.counts), spread.total) == (2, 65)  # with the one that made the room
    assert len(await contents(store, room)) == 64


async def test_two_nodes_take_turns_in_a_hot_room(store: Store, other: Store):
    room = await new_room(store)
    is_over = False

    async def flood() -> int:
        sent = 0
        while not is_over:
            await asyncio.gather(*(other.act(room, says("flood")) for _ in range(8)))
            sent += 8
        return sent

    flooding = asyncio.create_task(flood())
    with anyio.fail_after(GUARD_S):
        for n in range(20):
            await store.act(room, says(f"slow {n}"))
        is_over = True
        sent = await flooding

    said = await everything(store, room)
    assert [one for one in said if one != "flood"] == [f"slow {n}" for n in range(20)]
    assert said.count("flood") == sent


async def everything(store: Store, room: str) -> list[str]:
    said: list[str] = []
    while True:
        page = await store.read(room, after=len(said), limit=500)
        said += [str(one.content) for one in page.messages]
        if not page.has_more:
            return said


async def test_who_waited_for_a_room_goes_on_from_what_was_left_to_him(
    engine: Postgres, store: Store, other: Store
):
    room = await new_room(store, "known")
    await other.room(room)
    async with held(engine.address, room) as holder:
        acting = [asyncio.create_task(one.act(room, says("next"))) for one in (store, other)]
        await waiting(holder, 2)

    done = await asyncio.gather(*acting)

    assert sorted(one.messages[0].seq for one in done) == [2, 3]
    assert await contents(store, room) == ["known", "next", "next"]


@pytest.mark.parametrize("count", [257, 2 * AHEAD_MESSAGES])
async def test_any_number_of_acts_may_come_at_once(store: Store, count: int):
    room = await new_room(store)
    acts = [Act(says(str(n)), key(str(n))) for n in range(count)]

    await store.act_all(room, acts)
    again = await store.act_all(room, acts)

    assert await everything(store, room) == [str(n) for n in range(count)]
    assert all(one.replayed for one in again)


async def test_what_cannot_be_written_leaves_the_others_alone(store: Store):
    rooms = [await new_room(store, name=f"room {n}") for n in range(2 * AHEAD_MESSAGES)]
    long_key = key("k" * 10_000 + "\0")
    acts = [store.act(id, says("well"), key=long_key if id == rooms[1] else None) for id in rooms]

    results = await asyncio.gather(*acts, return_exceptions=True)

    assert [isinstance(one, Exception) for one in results] == [id == rooms[1] for id in rooms]
    assert [await contents(store, id) for id in rooms[:3]] == [["well"], [], ["well"]]


async def test_what_cannot_be_made_a_row_leaves_the_others_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    def words_value(message: Message) -> str | None:
        if message.content == "bad":
            raise ZeroDivisionError
        return None

    room = await new_room(store)
    monkeypatch.setattr(batch, "words_value", words_value)
    acts = [store.act(room, says(text)) for text in ("one", "bad", "two")]

    results = await asyncio.gather(*acts, return_exceptions=True)

    assert [isinstance(one, ZeroDivisionError) for one in results] == [False, True, False]
    assert await everything(store, room) == ["one", "two"]


async def test_a_long_message_of_many_words_is_kept_and_found(store: Store):
    text = " ".join(f"wört{n:x}" for n in range(120_000))
    room = await new_room(store, text)

    hits = await store.search("wört2a", room_ids=[room])

    assert [hit.message.content for hit in hits] == [text]


async def test_many_heads_may_be_asked_for_at_once(store: Store):
    room = await new_room(store, "one")

    heads = await store.heads([room, *(f"no-{n}\0\ud800" for n in range(10_000))])

    assert len(heads) == 10_001
    assert [head.last_seq for head in heads.values() if head.room] == [1]


async def test_no_two_changes_on_any_node_have_the_same_time(store: Store, other: Store):
    rooms = [await new_room(store, name=f"room {n}") for n in range(20)]

    for _ in range(3):
        await asyncio.gather(*(one.act(id, says("hi")) for id in rooms for one in (store, other)))

    times = [one.updated_at for one in await store.directory()]
    assert len(set(times)) == len(rooms)


async def test_a_change_that_waited_for_a_room_has_a_later_time_than_the_one_before(
    engine: Postgres, store: Store
):
    room = await new_room(store)
    (before,) = await store.directory()
    async with held(engine.address, room) as holder:
        acting = asyncio.create_task(store.act(room, says("hi")))
        await waiting(holder, 1)
        # The clock of that node is ahead by a minute.
        await holder.execute("UPDATE rooms SET updated_at = updated_at + 60000000")
    await acting

    (after,) = await store.directory()
    assert after.updated_at > before.updated_at + timedelta(minutes=1)


async def test_a_change_has_the_time_at_which_it_got_its_room(engine: Postgres):
    now = [NOON]
    store = PostgresStore(engine.address, clock=lambda: now[0])
    await store.open()
    room = await new_room(store)
    async with held(engine.address, room) as holder:
        acting = asyncio.create_task(store.act(room, says("hi")))
        await waiting(holder, 1)
        now[0] = NOON + timedelta(minutes=1)
    await acting

    (changed,) = await store.directory()
    assert changed.updated_at >= now[0]
    await store.aclose()


# ---- who comes too late -------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["closed", "deleted"])
async def test_a_room_that_ends_meanwhile_is_not_taken_instead_of_a_new_one(
    engine: Postgres, store: Store, other: Store, ends: str
):
    room = await new_room(store)
    end = store.delete(room, nothing) if ends == "deleted" else store.act(room, closes())
    async with held(engine.address, room) as holder:
        ending = asyncio.create_task(end)
        await waiting(holder, 1)
        new = a_room()
        creating = asyncio.create_task(other.create(new, reuse=True))
        await waiting(holder, 2)
    await ending

    made, is_new = await creating

    assert (made.id, is_new) == (new.id, True)


async def test_an_act_that_waits_for_a_room_that_is_deleted_finds_none(
    engine: Postgres, store: Store, other: Store
):
    room = await new_room(store)
    async with held(engine.address, room) as holder:
        deleting = asyncio.create_task(store.delete(room, nothing))
        await waiting(holder, 1)
        acting = asyncio.create_task(other.act(room, says("late")))
        await waiting(holder, 2)
    await deleting

    with pytest.raises(RoomNotFound):
        await acting


async def test_slots_that_were_given_back_are_free_though_another_count_failed(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.transactions.COUNT_TIMEOUT_S", 0.1)
    until = NOON + timedelta(minutes=1)

    async def wait_slots(holder: str) -> int:
        return await store.take_slots(
            "rex", "waits", holder, limit=10, opened=0, needed=10, at=NOON, until=until
        )

    assert await wait_slots("one") == 10
    async with connected(engine.address) as master, master.transaction():
        await master.execute("LOCK TABLE rates, slots IN ACCESS EXCLUSIVE MODE")
        store.give_slots_back("rex", "waits", "one", left=0)
        with pytest.raises(StoreError):
            await store.take("max", "posts", Rate(10, timedelta(seconds=1)), needed=1, at=NOON)

    assert await wait_slots("two") == 10


# ---- cancelled, and closed ----------------------------------------------------------------------


async def test_who_is_cancelled_leaves_no_transaction_open(engine: Postgres, store: Store):
    rooms = [await new_room(store, "secret", name=f"room {n}") for n in range(2)]
    async with held(engine.address, *rooms) as holder:
        tasks = [asyncio.create_task(store.erase(id, nothing)) for id in rooms]
        await waiting(holder, 2)
        await holder.execute("LOCK TABLE contracts IN ACCESS EXCLUSIVE MODE")
        tasks += [asyncio.create_task(store.search("secret", room_ids=rooms)) for _ in range(3)]
        await waiting(holder, 5)
        for task in tasks:
            task.cancel()
            task.cancel()
        await asyncio.sleep(0)

    await asyncio.wait(tasks)

    assert all(task.cancelled() for task in tasks)
    assert await left_open(engine.address) == 0
    assert [await contents(store, id) for id in rooms] == [[None]] * 2


async def test_a_room_whose_maker_was_cancelled_wakes_who_watches_for_new_ones(store: Store):
    async with store.watch(directory=True) as watch:
        making = asyncio.create_task(store.create(a_room()))
        for _ in range(3):  # it has begun by then, and goes on
            await asyncio.sleep(0)
        making.cancel()

        assert await watch.wait(GUARD_S)

    assert len(await store.directory()) == 1


async def test_all_connections_in_use_is_told_with_what_to_do(
    engine: Postgres, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.connecting.BORROW_S", 0.1)
    store = open_store(f"{engine.address}?connection_limit=2")
    await store.open()
    room = await new_room(store, "one")
    async with connected(engine.address) as holder, holder.transaction():
        await holder.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        reading = [asyncio.create_task(store.read(room)) for _ in range(2)]
        await waiting(holder, 2)

        with pytest.raises(StoreBusy) as told:
            await store.room(room)

    assert "All 2 connections to postgresql://127.0.0.1" in told.value.detail
    assert "connection_limit" in told.value.advice
    assert [len(page.messages) for page in await asyncio.gather(*reading)] == [1, 1]
    await store.aclose()


async def test_a_store_that_closes_amid_its_work_tells_everybody(
    engine: Postgres, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.store.CLOSE_WAIT_S", 0.1)
    store = open_store(engine.address)
    await store.open()
    rooms = [await new_room(store, name=f"room {n}") for n in range(3)]
    async with connected(engine.address) as first, first.transaction():
        async with held(engine.address, rooms[1]) as second:
            bad = store.act(rooms[0], says("none"), key=key("\0"))
            acts = [bad, *(store.act(id, says("none")) for id in rooms[1:])]
            acting = asyncio.gather(*acts, return_exceptions=True)
            await waiting(first, 1)
            # It gets the room when the three have failed, and before each tries by itself.
            locking = asyncio.create_task(
                first.execute("SELECT FROM rooms WHERE id = $1 FOR UPDATE", rooms[0])
            )
            await waiting(second, 2)
        await locking
        await waiting(first, 1)

        with anyio.fail_after(GUARD_S):
            await store.aclose()
            told = await acting

    assert [type(one) for one in told] == [OutcomeUnknown, StoreBusy, StoreBusy]
    again = open_store(engine.address)
    await again.open()
    assert [await contents(again, id) for id in rooms] == [[], [], []]
    await again.aclose()


async def test_a_store_may_be_opened_again_while_it_closes(engine: Postgres):
    store = open_store(engine.address)
    await asyncio.gather(store.open(), store.open())
    room = await new_room(store)

    await asyncio.gather(store.aclose(), store.open())

    await store.act(room, says("again"))
    assert await contents(store, room) == ["again"]
    await store.aclose()


async def test_a_store_that_is_closed_says_so(engine: Postgres):
    store = open_store(engine.address)
    await store.open()
    await store.aclose()
    await store.aclose()

    for call in (store.directory(), store.act("any", nothing), store.scrub()):
        with pytest.raises(StoreError, match="The store is not open"):
            await call


# ---- a database that others change ---------------------------------------------------------------


async def test_tables_that_another_node_changes_meanwhile_fail_nobody():
    url = empty_database()
    store = open_store(url)
    await store.open()
    room = await new_room(store, "one")
    async with connected(url) as other:
        await other.execute("ALTER TABLE rooms ALTER last_seq TYPE integer")

    await store.act(room, says("two"))
    await store.erase(room, nothing)

    assert await contents(store, room) == [None, None]
    await store.aclose()


async def test_who_is_the_one_to_give_way_in_a_deadlock_tries_again(engine: Postgres, store: Store):
    room = await new_room(store)
    await store.act(room, joins("bob"))
    store.mark_read(room, "bob", Reading(1, 1))
    await store.act(room, nothing)  # takes it along
    async with asyncio.TaskGroup() as tasks, connected(engine.address) as holder:
        with suppress(asyncpg.DeadlockDetectedError):  # if this one has to
            async with holder.transaction():
                await holder.execute("SELECT FROM readings FOR UPDATE")
                tasks.create_task(store.delete(room, nothing))
                await waiting(holder, 1)
                await holder.execute("SELECT FROM rooms FOR UPDATE")

    assert await store.directory() == []


# ---- lost connections ---------------------------------------------------------------------------


async def test_who_waits_is_woken_when_all_connections_are_lost(
    engine: Postgres, store: Store, other: Store
):
    room = await new_room(store)
    async with store.watch([room]) as watch, connected(engine.address) as master:
        await master.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'room-mcp' AND datname = current_database()"
        )

        assert await watch.wait(GUARD_S)

    await asyncio.gather(*(one.act(room, says("on")) for one in (store, other)))
    assert await contents(store, room) == ["on", "on"]


async def test_where_no_notices_come_through_who_waits_for_no_room_disturbs_nobody(
    network: Cutting,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr("room_mcp.store.postgres.listening.LOOK_S", 0.05)
    network.loses_notices = True
    deaf = open_store(network.url)
    await deaf.open()
    room = await new_room(store)

    with anyio.fail_after(GUARD_S):
        async with deaf.watch([room, "no\0ne", "\ud800"]) as watch:
            assert await watch.wait(GUARD_S)  # whatever has changed before
            await store.act(room, says("hi"))
            assert await watch.wait(GUARD_S)
            while "do not come through" not in caplog.text:
                await watch.wait(0.01)

    await deaf.aclose()
    assert "was lost" not in caplog.text


async def test_a_connection_may_be_lost_before_any_statement_of_a_batch(
    engine: Postgres, store: Store
):
    rooms = [await new_room(store, "a", name=f"room {n}") for n in range(AHEAD_MESSAGES + 4)]
    cuts = 0
    async with connected(engine.address) as master:

        def cutting(room: Room, past: Past) -> Step:
            nonlocal cuts
            cuts += 1
            if cuts <= 3:
                lose(engine.address)
            past.author_of(1)
            return says("b")(room, past)

        for act in (says("b"), cutting):
            with anyio.fail_after(GUARD_S):
                await asyncio.gather(
                    *(store.act(id, act, key=key(f"{act}")) for id in reversed(rooms))
                )
        assert await master.fetchval("SELECT count(*) FROM keys") == 2 * len(rooms)

    assert [await contents(store, id) for id in rooms] == [["a", "b", "b"]] * len(rooms)


def lose(url: str) -> None:
    """Cut all connections of stores; at once, while a decision is made."""

    async def cut() -> None:
        async with connected(url) as master:
            await master.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'room-mcp' AND datname = current_database()"
            )

    thread = threading.Thread(target=asyncio.run, args=(cut(),))
    thread.start()
    thread.join()


# ---- a new database -----------------------------------------------------------------------------


async def test_nodes_that_open_a_new_database_at_once_share_what_one_makes():
    url = empty_database()
    stores = [open_store(url) for _ in range(8)]

    async with AsyncExitStack() as stack, connected(url) as other, asyncio.timeout(GUARD_S):
        for one in stores:
            stack.push_async_callback(one.aclose)
        async with asyncio.TaskGroup() as tasks, other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1)", schema.LOCK)
            for one in stores:
                tasks.create_task(one.open())
            await waiting(other, len(stores))  # all have found it empty

        assert len({one.epoch for one in stores}) == 1
        assert len({one.secret for one in stores}) == 1
