"""What a store promises about erasing and deleting: what is removed is gone."""

from __future__ import annotations

import pytest
from engines import ALL
from store_talk import (
    closes,
    contents,
    key,
    new_room,
    nothing,
    says,
)

from room_mcp.rooms.refusals import RoomClosed, RoomNotFound
from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


async def test_erasing_removes_texts_and_keeps_numbers_and_keys(store: Store, other: Store):
    room_id = await new_room(store, "secret")
    await store.act(room_id, says("hello"), key=key())

    room = await store.erase(room_id, nothing)

    assert (room.size_bytes, room.erasures, room.last_seq) == (0, 1, 2)
    assert await other.room(room_id) == room
    assert await contents(other, room_id) == [None, None]
    assert await store.search("secret", room_ids=[room_id]) == []
    assert (await other.act(room_id, says("hello"), key=key())).replayed


async def test_erasing_applies_the_step_and_keeps_its_messages(store: Store):
    room_id = await new_room(store, "secret")

    room = await store.erase(room_id, says({"by": "ann"}, type="erased"))

    assert room.last_seq == 2
    assert await contents(store, room_id) == [None, {"by": "ann"}]


async def test_erasing_may_be_refused(store: Store):
    room_id = await new_room(store, "kept")
    await store.act(room_id, closes())

    with pytest.raises(RoomClosed):
        await store.erase(room_id, says("no"))

    assert (await contents(store, room_id))[0] == "kept"


async def test_a_deleted_room_is_gone_for_everybody(store: Store, other: Store):
    room_id = await new_room(store, "hello")
    await other.room(room_id)

    await store.delete(room_id, nothing)

    for one in (store, other):
        with pytest.raises(RoomNotFound):
            await one.room(room_id)
        with pytest.raises(RoomNotFound):
            await one.read(room_id)
        with pytest.raises(RoomNotFound):
            await one.readings(room_id)
        with pytest.raises(RoomNotFound):
            await one.act(room_id, says("hello"))
        with pytest.raises(RoomNotFound):
            await one.delete(room_id, nothing)
        assert await one.directory() == []
        assert await one.search("hello", room_ids=[room_id]) == []
        assert (await one.heads([room_id]))[room_id].room is None


async def test_deleting_may_be_refused(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, closes())

    with pytest.raises(RoomClosed):
        await store.delete(room_id, says("no"))

    assert (await store.room(room_id)).id == room_id
