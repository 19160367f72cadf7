"""What a store promises about how far members have read."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from engines import ALL, Engine
from store_talk import NOON, caught_up, joins, new_room, nothing, says

from room_mcp.store.interface import Reading, Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


async def reading_arrives(store: Store, room_id: str, name: str, reading: Reading) -> None:
    with anyio.fail_after(20):
        while (await store.readings(room_id)).get(name) != reading:
            await anyio.lowlevel.checkpoint()


async def test_whoever_joins_has_read_nothing(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, joins("bob"))

    assert await store.readings(room_id) == {"bob": Reading()}


async def test_a_mark_is_seen_at_once(store: Store):
    room_id = await new_room(store, "one", "two")

    store.mark_read(room_id, "ANN", Reading(2, 1, NOON, NOON))

    assert await store.readings(room_id) == {"ann": Reading(2, 1, NOON, NOON)}


async def test_a_mark_reaches_another_store_without_an_act(store: Store, other: Store):
    room_id = await new_room(store, "one", "two")

    store.mark_read(room_id, "ann", Reading(2, 1, NOON))

    await reading_arrives(other, room_id, "ann", Reading(2, 1, NOON))


async def test_a_mark_goes_with_the_next_act(store: Store, other: Store):
    room_id = await new_room(store, "one")

    store.mark_read(room_id, "ann", Reading(1, 1, NOON))
    await store.act(room_id, says("two"))

    assert (await other.readings(room_id))["ann"] == Reading(1, 1, NOON)


async def test_marks_never_go_back(store: Store, other: Store):
    room_id = await new_room(store, "one", "two", "three")
    store.mark_read(room_id, "ann", Reading(3, 2, NOON))
    store.mark_read(room_id, "ann", Reading(1, 3))
    await reading_arrives(other, room_id, "ann", Reading(3, 3, NOON))

    other.mark_read(room_id, "ann", Reading(2, 1))

    assert (await other.readings(room_id))["ann"] == Reading(3, 3, NOON)
    await other.act(room_id, says("four"))
    assert (await store.readings(room_id))["ann"] == Reading(3, 3, NOON)


async def test_the_newest_wait_counts_and_none_ends_it(store: Store, other: Store):
    room_id = await new_room(store, "one")
    soon = NOON + timedelta(seconds=50)

    store.mark_read(room_id, "ann", Reading(waiting_until=soon))
    await store.act(room_id, says("two"))
    waiting = await other.readings(room_id)
    store.mark_read(room_id, "ann", Reading())
    await store.act(room_id, says("three"))

    assert waiting["ann"].waiting_until == soon
    assert (await other.readings(room_id))["ann"].waiting_until is None


async def test_a_mark_is_written_once(store: Store, other: Store):
    room_id = await new_room(store, "one")
    store.mark_read(room_id, "ann", Reading(waiting_until=NOON))
    await store.act(room_id, says("two"))
    other.mark_read(room_id, "ann", Reading())
    await other.act(room_id, says("three"))

    await store.act(room_id, says("four"))

    assert (await store.readings(room_id))["ann"].waiting_until is None


async def test_marks_of_strangers_are_ignored(store: Store):
    room_id = await new_room(store, "one")

    store.mark_read(room_id, "stranger", Reading(1, 1))
    store.mark_read(room_id, "lone \ud800", Reading(1, 1))
    store.mark_read("nowhere", "ann", Reading(1, 1))
    await store.act(room_id, says("two"))

    assert await store.readings(room_id) == {"ann": Reading()}


async def test_marks_are_written_at_close(engine: Engine, store: Store):
    room_id = await new_room(store, "one")
    store.mark_read(room_id, "ann", Reading(1, 1, NOON))

    await store.aclose()

    again = engine.store()
    await again.open()
    assert (await again.readings(room_id))["ann"] == Reading(1, 1, NOON)
    await again.aclose()


async def test_a_mark_wakes_nobody(store: Store, other: Store):
    room_id = await new_room(store, "one")
    await caught_up(other, store)
    await caught_up(store, other)

    async with store.watch([room_id]) as here, other.watch([room_id]) as there:
        store.mark_read(room_id, "ann", Reading(1, 1))
        await reading_arrives(other, room_id, "ann", Reading(1, 1))

        assert not await here.wait(0.1)
        assert not await there.wait(0)


async def test_a_mark_changes_neither_room_nor_directory(store: Store, other: Store):
    room_id = await new_room(store, "one")
    before = await store.room(room_id), await store.directory_version(), await store.directory()

    store.mark_read(room_id, "ann", Reading(1, 1))
    await reading_arrives(other, room_id, "ann", Reading(1, 1))

    assert before == (
        await other.room(room_id),
        await other.directory_version(),
        await other.directory(),
    )


async def test_erasing_keeps_the_marks(store: Store, other: Store):
    room_id = await new_room(store, "one")
    store.mark_read(room_id, "ann", Reading(1, 1))
    await reading_arrives(other, room_id, "ann", Reading(1, 1))

    await store.erase(room_id, nothing)

    assert (await store.readings(room_id))["ann"] == Reading(1, 1)
