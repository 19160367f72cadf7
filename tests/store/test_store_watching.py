"""What a store promises to those who wait: nobody sleeps through a change."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from engines import ALL, Engine, PollingSqlite
from store_talk import a_room, caught_up, closes, new_room, nothing, says

from room_mcp.store.interface import Store
from room_mcp.store.sqlite import signals, wakeups
from room_mcp.store.sqlite.signals import PollingSignal

pytestmark = pytest.mark.anyio
# Not two nodes in turn: the one is told what the other did before, and may wake for it.
ENGINES = (*(name for name in ALL if name != "postgres-shared"), "sqlite-polling")

LONG_S = 20.0  # something hangs
SHORT_S = 0.15  # longer than any signal takes, for what must not happen


@pytest.fixture(autouse=True)
def hearing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way in which SQLite hears of other processes has to do without the other one."""
    monkeypatch.setattr(signals, "SAFETY_POLL_S", 60)
    if isinstance(engine, PollingSqlite):
        monkeypatch.setattr(wakeups, "signal_for", PollingSignal)


async def test_a_watcher_wakes_for_an_act_of_its_own_store(store: Store):
    room_id = await new_room(store)

    async with store.watch([room_id]) as watch:
        await store.act(room_id, says("hello"))

        assert await watch.wait(LONG_S)
        assert not await watch.wait(SHORT_S)


async def test_a_watcher_wakes_while_it_waits(store: Store):
    room_id = await new_room(store)

    async with store.watch([room_id]) as watch:
        waiting = asyncio.ensure_future(watch.wait(LONG_S))
        await store.act(room_id, says("hello"))

        assert await waiting


async def test_a_watcher_wakes_for_an_act_of_another_store(store: Store, other: Store):
    room_id = await new_room(store)

    async with other.watch([room_id]) as watch:
        await store.act(room_id, says("hello"))

        assert await watch.wait(LONG_S)
        assert (await other.room(room_id)).last_seq == 1


async def test_no_change_between_registering_and_waiting_is_missed(store: Store, other: Store):
    room_id = await new_room(store)

    for seq in range(1, 30):
        async with other.watch([room_id]) as watch:
            await store.act(room_id, says("hello"))
            assert await watch.wait(LONG_S)
            assert (await other.room(room_id)).last_seq == seq


async def test_a_reader_that_follows_sees_every_message_of_both_stores(store: Store, other: Store):
    room_id = await new_room(store)

    async def post(one: Store, name: str) -> None:
        for number in range(40):
            await one.act(room_id, says(str(number), name))

    seen: list[int] = []
    with anyio.fail_after(10):
        async with other.watch([room_id]) as watch, anyio.create_task_group() as tasks:
            tasks.start_soon(post, store, "ann")
            tasks.start_soon(post, other, "bob")
            while len(seen) < 80:
                page = await other.read(room_id, after=len(seen))
                seen += [message.seq for message in page.messages]
                if not page.messages:
                    assert await watch.wait(LONG_S)

    assert seen == list(range(1, 81))


async def test_an_act_of_ones_own_hides_no_act_of_another_store(store: Store, other: Store):
    room_id, elsewhere = await new_room(store), await new_room(store)

    async with other.watch([room_id]) as watch:
        for _ in range(20):
            await asyncio.gather(
                store.act(room_id, says("hello")), other.act(elsewhere, says("hello"))
            )
            assert await watch.wait(LONG_S)


async def test_watchers_of_other_rooms_sleep_on(store: Store, other: Store):
    room_id, elsewhere = await new_room(store), await new_room(store)
    await caught_up(other, store)

    async with other.watch([elsewhere]) as watch, other.watch([room_id]) as woken:
        await store.act(room_id, says("hello"))
        await other.act(room_id, says("hello"))
        assert await woken.wait(LONG_S)

        assert not await watch.wait(SHORT_S)


async def test_a_watcher_of_many_rooms_wakes_for_each(store: Store, other: Store):
    rooms = [await new_room(store) for _ in range(3)]

    async with other.watch(rooms) as watch:
        for room_id in rooms:
            await store.act(room_id, says("hello"))
            assert await watch.wait(LONG_S)


async def test_deleting_a_room_wakes_its_watchers(store: Store, other: Store):
    room_id = await new_room(store)

    async with other.watch([room_id]) as watch, store.watch([room_id]) as near:
        await store.delete(room_id, nothing)

        assert await watch.wait(LONG_S)
        assert await near.wait(LONG_S)


async def test_the_directory_wakes_for_rooms_that_open_and_close(store: Store, other: Store):
    async with other.watch(directory=True) as watch, store.watch(directory=True) as near:
        room, _ = await store.create(a_room())
        assert await watch.wait(LONG_S)
        assert await near.wait(LONG_S)
        await store.act(room.id, closes())
        assert await watch.wait(LONG_S)
        assert await near.wait(LONG_S)


async def test_the_directory_sleeps_through_messages(store: Store, other: Store):
    room_id = await new_room(store)
    await caught_up(other, store)

    async with other.watch([room_id]) as woken, other.watch(directory=True) as watch:
        await store.act(room_id, says("hello"))
        assert await woken.wait(LONG_S)

        assert not await watch.wait(SHORT_S)


async def test_a_refused_act_wakes_nobody(store: Store):
    room_id = await new_room(store, "one")

    async with store.watch([room_id]) as watch:
        await asyncio.gather(
            store.act(room_id, says("late", if_last_seq=0)), return_exceptions=True
        )

        assert not await watch.wait(SHORT_S)


async def test_a_wait_of_no_time_only_looks(store: Store):
    async with store.watch([await new_room(store)]) as watch:
        assert not await watch.wait(0)


async def test_a_cancelled_wait_can_be_begun_again(store: Store):
    room_id = await new_room(store)

    async with store.watch([room_id]) as watch:
        with anyio.move_on_after(0.01):
            await watch.wait(LONG_S)
        await store.act(room_id, says("hello"))

        assert await watch.wait(LONG_S)


async def test_a_wait_is_ended_from_outside(store: Store):
    async with store.watch() as watch:
        waiting = asyncio.ensure_future(watch.wait(LONG_S))
        await asyncio.sleep(0)
        watch.wake()

        assert await waiting
        assert not await watch.wait(0)


async def test_closing_a_store_leaves_those_asleep_who_wait_in_another(store: Store, other: Store):
    room_id = await new_room(store)

    async with store.watch([room_id]) as watch:
        await other.aclose()

        assert not await watch.wait(SHORT_S)


async def test_watching_can_stop_and_begin_again(store: Store, other: Store):
    room_id = await new_room(store)
    async with other.watch([room_id]):
        pass
    await store.act(room_id, says("unseen"))
    await caught_up(other, store)

    async with other.watch([room_id]) as watch:
        assert not await watch.wait(SHORT_S)
        await store.act(room_id, says("hello"))
        assert await watch.wait(LONG_S)


async def test_closing_the_store_ends_all_waits(store: Store):
    async with store.watch([await new_room(store)]) as watch:
        waiting = asyncio.ensure_future(watch.wait(LONG_S))
        await asyncio.sleep(0)
        with anyio.fail_after(1):
            await store.aclose()
            assert await waiting


async def test_a_thousand_watchers_wake_one_by_one(store: Store, other: Store):
    rooms = [room.id for room, _ in [await store.create(a_room()) for _ in range(20)]]

    async with anyio.create_task_group() as tasks:
        woken: list[str] = []
        all_woken = anyio.Event()

        async def follow(room_id: str, ready: anyio.Event) -> None:
            async with other.watch([room_id]) as watch:
                ready.set()
                if await watch.wait(LONG_S):
                    woken.append(room_id)
                    if len(woken) == 50:
                        all_woken.set()

        for number in range(1_000):
            ready = anyio.Event()
            tasks.start_soon(follow, rooms[number % 20], ready)
            await ready.wait()
        await store.act(rooms[7], says("hello"))
        with anyio.fail_after(20):
            await all_woken.wait()
        tasks.cancel_scope.cancel()

    assert woken == [rooms[7]] * 50
