"""Rooms that somebody else holds for long hold up no others."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from database_talk import held, waiting
from engines import Postgres
from store_talk import NOON, contents, joins, key, new_room, says

from room_mcp.store.auditing import Entry
from room_mcp.store.interface import Store, StoreBusy, StoreError

pytestmark = pytest.mark.anyio
ENGINES = ("postgres",)

GUARD_S = 20  # something hangs
REFUSED = Entry(NOON, "read", "room_not_found", subject="ann")


async def test_others_go_on_while_a_room_is_held(engine: Postgres, store: Store):
    stuck, free = [await new_room(store, name=name) for name in ("stuck", "free")]
    async with held(engine.address, stuck):
        waiting = asyncio.create_task(store.act(stuck, says("late")))
        with anyio.fail_after(GUARD_S):
            for text in ("beside it", "after it"):
                await store.act(free, says(text))

        assert not waiting.done()
        assert await contents(store, free) == ["beside it", "after it"]
    await waiting

    assert await contents(store, stuck) == ["late"]


async def test_what_comes_for_a_held_room_is_done_in_order(engine: Postgres, store: Store):
    stuck, free = [await new_room(store, name=name) for name in ("stuck", "free")]
    waiting: list[asyncio.Task[object]] = []
    async with held(engine.address, stuck):
        for number in range(6):
            act = store.act(stuck, says(str(number)), key=key(str(number)))
            waiting.append(asyncio.create_task(act))
            if number % 2:
                await store.act(free, says("meanwhile"))
    await asyncio.gather(*waiting)
    await store.act(stuck, says("at last"))

    assert await contents(store, stuck) == [*map(str, range(6)), "at last"]


async def test_what_went_along_with_an_act_that_is_held_up_is_not_lost(
    engine: Postgres, store: Store
):
    stuck = await new_room(store)
    await store.act(stuck, joins("bob"))
    async with held(engine.address, stuck) as holder:
        store.note_refusal(REFUSED)
        act = asyncio.create_task(store.act(stuck, says("late")))
        await waiting(holder, 1)
        with anyio.fail_after(GUARD_S):
            audited = await store.audit()
    await act

    assert [one.entry for one in audited.entries] == [REFUSED]


async def test_one_held_room_holds_up_no_other_that_was_held(engine: Postgres, store: Store):
    rooms = [await new_room(store, name=name) for name in ("long", "short")]
    async with held(engine.address, rooms[0]):
        async with held(engine.address, rooms[1]):
            acts = [asyncio.create_task(store.act(room, says("late"))) for room in rooms]
            await store.act(await new_room(store, name="free"), says("meanwhile"))
        with anyio.fail_after(GUARD_S):
            await acts[1]

        assert not acts[0].done()
    await acts[0]

    assert [await contents(store, room) for room in rooms] == [["late"]] * 2


async def test_who_has_waited_long_enough_for_a_held_room_is_told(engine: Postgres, store: Store):
    stuck = await new_room(store)
    async with held(engine.address, stuck):
        acts = (store.act(stuck, says(str(n)), timeout_s=0.1) for n in range(3))
        with anyio.fail_after(GUARD_S):
            told = await asyncio.gather(*acts, return_exceptions=True)

    assert [type(one) for one in told] == [StoreBusy] * 3
    assert await contents(store, stuck) == []


async def test_who_waits_for_a_held_room_is_told_when_the_store_closes(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.store.CLOSE_WAIT_S", 0.7)  # one is tried by then
    rooms = [await new_room(store, name=f"room {n}") for n in range(3)]
    async with held(engine.address, *rooms) as holder:
        acts = [
            asyncio.create_task(store.act(room, says("late"), timeout_s=3 * GUARD_S))
            for room in rooms
        ]
        await waiting(holder, 1)
        await store.aclose()
        with anyio.fail_after(GUARD_S):
            told = await asyncio.gather(*acts, return_exceptions=True)

    assert all(isinstance(one, StoreError) for one in told)
