"""What a store promises about opening, closing, and all that it knows after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from engines import ALL, Engine
from store_talk import NOON, a_room, by_ann, contents, joins, key, new_room, nothing, says

from room_mcp.rooms.refusals import QuotaExceeded
from room_mcp.store.auditing import Entry
from room_mcp.store.callers import Invitation, ServerKey
from room_mcp.store.interface import Done, Reading, Store, StoreBusy, StoreUnavailable
from room_mcp.store.limiting import Quota, Rate

pytestmark = pytest.mark.anyio
ENGINES = ALL


async def test_opening_again_is_allowed(store: Store):
    epoch = store.epoch

    await asyncio.gather(store.open(), store.open())

    assert store.epoch == epoch


async def test_a_store_can_be_opened_after_it_was_closed(store: Store):
    room_id = await new_room(store, "kept")
    await store.aclose()
    await store.aclose()

    await store.open()

    assert await contents(store, room_id) == ["kept"]


async def test_every_process_knows_the_same_epoch(
    engine: Engine, store: Store, other: Store, tmp_path_factory: pytest.TempPathFactory
):
    elsewhere = type(engine)(tmp_path_factory.mktemp("elsewhere")).store()
    await elsewhere.open()

    assert len(store.epoch) == 8
    assert store.epoch == other.epoch
    assert store.epoch != elsewhere.epoch
    await elsewhere.aclose()


async def test_a_store_that_is_not_open_says_so(engine: Engine):
    store = engine.store()

    for call in (store.room("x"), store.act("x", nothing), store.directory(), store.audit()):
        with pytest.raises(StoreUnavailable, match="not open"):
            await call
    with pytest.raises(StoreUnavailable, match="not open"):
        store.mark_read("x", "ann", Reading())


async def test_many_stores_that_open_a_new_place_at_once_agree(engine: Engine):
    stores = [engine.store() for _ in range(8)]

    await asyncio.gather(*(store.open() for store in stores))

    assert len({store.epoch for store in stores}) == 1
    for store in stores:
        await store.aclose()


def a_key(name: str) -> ServerKey:
    return ServerKey("rks_1", "hash", name, "agent", False, NOON)


async def all_there_is(store: Store, room_ids: Sequence[str]) -> list[object]:
    """Everything that a store can be asked for about these rooms."""
    found: list[object] = [store.epoch, store.secret]
    for room_id in room_ids:
        found += [await store.read(room_id, after=0), await store.readings(room_id)]
    return [
        *found,
        await store.heads(room_ids),
        await store.directory(listed_only=False),
        await store.directory_version(),
        await store.search("hello", room_ids=room_ids),
        await store.audit(),
        await store.server_keys(),
        sorted(await store.rooms_of("addr:1")),
    ]


async def test_after_a_restart_everything_is_as_it_was(engine: Engine, store: Store):
    quota, entry = Quota("addr:1", 2), by_ann("create")
    chained, _ = await store.create(a_room("one", chain=""), quota=quota, entry=entry)
    erased, _ = await store.create(a_room("two", listed=False), quota=quota, entry=entry)
    gone = await new_room(store, "hello", name="three")
    for room_id in (chained.id, erased.id):
        await store.act(room_id, says("hello"), key=key())
        await store.act(room_id, joins("bob"))
    store.mark_read(chained.id, "ann", Reading(1, 1, NOON, NOON))
    await store.erase(erased.id, nothing)
    await store.delete(gone, nothing)
    await store.add_key(a_key("ann"))
    store.note_refusal(Entry(NOON, "join", "name_taken", name="rex"))
    before = await all_there_is(store, [chained.id, erased.id])
    await store.aclose()

    again = engine.store()
    await again.open()

    assert await all_there_is(again, [chained.id, erased.id]) == before
    assert (await again.act(chained.id, says("hello"), key=key())).replayed
    with pytest.raises(QuotaExceeded):
        await again.create(a_room(), quota=quota)
    with pytest.raises(ValueError, match="exists already"):
        await again.create(replace(a_room(), id=gone))
    await again.aclose()


async def test_after_a_restart_rates_slots_and_invitations_are_as_they_were(
    engine: Engine, store: Store
):
    rate, soon = Rate(4, timedelta(seconds=1)), NOON + timedelta(minutes=1)
    slots = {"limit": 4, "opened": 0, "at": NOON, "until": soon}
    await store.take("ann", "posts", rate, needed=3, at=NOON)
    await store.take_slots("ann", "waits", "one", needed=4, **slots)
    await store.add_invitation(Invitation("code", "rex", "agent", NOON, soon))
    await store.aclose()

    again = engine.store()
    await again.open()

    assert (await again.take("ann", "posts", rate, needed=2, at=NOON)).number == 0
    assert (await again.take("ann", "posts", rate, needed=1, at=NOON)).number == 1
    assert await again.take_slots("ann", "waits", "two", needed=1, **slots) == 0
    assert await again.redeem("code", NOON, lambda of: a_key(of.name)) == a_key("rex")
    await again.aclose()


async def test_what_is_going_on_when_the_store_closes_is_done_or_refused(
    engine: Engine, store: Store
):
    room_id = await new_room(store)

    posts = [asyncio.ensure_future(store.act(room_id, says(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await store.aclose()
    done = await asyncio.gather(*posts, return_exceptions=True)

    again = engine.store()
    await again.open()
    acknowledged = [one.messages[0].content for one in done if isinstance(one, Done)]
    assert {type(one) for one in done} <= {Done, StoreBusy, StoreUnavailable}
    assert sorted(await contents(again, room_id)) == sorted(acknowledged)
    await again.aclose()
