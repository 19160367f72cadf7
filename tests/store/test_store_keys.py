"""What a store promises about idempotency keys: one key, one message, as long as the room."""

from __future__ import annotations

import asyncio

import pytest
from engines import ALL, Engine
from store_talk import (
    closes,
    contents,
    key,
    new_room,
    nothing,
    says,
)

from room_mcp.rooms import Refusal
from room_mcp.rooms.refusals import KeyReused, RoomClosed, RoomNotFound
from room_mcp.store.interface import Act, Done, Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


async def test_a_key_stands_for_one_message(store: Store, other: Store):
    room_id = await new_room(store)
    first = await store.act(room_id, says("hello"), key=key())

    again = await other.act(room_id, says("hello"), key=key())

    assert again == Done(first.room, first.messages, replayed=True)
    assert await contents(store, room_id) == ["hello"]


async def test_a_replay_comes_with_the_room_as_it_is_now(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key())
    await store.act(room_id, says("more"))

    assert (await store.act(room_id, says("hello"), key=key())).room.last_seq == 2


async def test_a_key_is_replayed_after_the_room_was_closed(store: Store):
    room_id = await new_room(store)
    first = await store.act(room_id, says("hello"), key=key())
    await store.act(room_id, closes())

    again = await store.act(room_id, says("hello"), key=key())

    assert again.replayed
    assert again.messages == first.messages


async def test_a_key_is_replayed_after_the_store_was_opened_anew(engine: Engine, store: Store):
    room_id = await new_room(store)
    first = await store.act(room_id, says("hello"), key=key())
    await store.aclose()
    again = engine.store()
    await again.open()

    replay = await again.act(room_id, says("hello"), key=key())

    assert replay.messages == first.messages
    await again.aclose()


async def test_one_key_sent_fifty_times_at_once_is_one_message(store: Store, other: Store):
    room_id = await new_room(store)

    dones = await asyncio.gather(
        *(one.act(room_id, says("hello"), key=key()) for one in (store, other) * 25)
    )

    assert sum(not done.replayed for done in dones) == 1
    assert len({done.messages for done in dones}) == 1
    assert await contents(store, room_id) == ["hello"]


async def test_a_key_for_another_message_is_refused(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key(fingerprint=b"one"))

    with pytest.raises(KeyReused):
        await store.act(room_id, says("bye"), key=key(fingerprint=b"two"))

    assert await contents(store, room_id) == ["hello"]


async def test_a_key_belongs_to_its_sender_however_the_name_is_spelt(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key(sender="ann"))

    other_sender = await store.act(room_id, says("hello", "bob"), key=key(sender="bob"))
    same_sender = await store.act(room_id, says("hello"), key=key(sender="ANN"))

    assert not other_sender.replayed
    assert same_sender.replayed


async def test_a_key_that_is_refused_is_refused_after_the_room_was_closed(
    store: Store, other: Store
):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key())
    await store.act(room_id, closes())

    with pytest.raises(KeyReused):
        await other.act(room_id, says("bye"), key=key(fingerprint=b"two"))
    with pytest.raises(RoomClosed):
        await other.act(room_id, says("hello"), key=key("k2"))


async def test_a_key_of_an_erased_message_answers_whatever_comes_under_it(
    store: Store, other: Store
):
    room_id = await new_room(store)
    first = await store.act(room_id, says("secret"), key=key())
    await store.erase(room_id, nothing)

    again = await other.act(room_id, says("bye"), key=key(fingerprint=b"two"))

    assert again.replayed
    assert [(one.seq, one.content) for one in again.messages] == [(1, None)]
    assert again.messages[0].id == first.messages[0].id


async def test_a_key_does_not_outlive_its_room(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key())
    await store.delete(room_id, nothing)

    with pytest.raises(RoomNotFound):
        await store.act(room_id, says("hello"), key=key())


async def test_a_key_belongs_to_its_room(store: Store):
    one, two = await new_room(store), await new_room(store)
    await store.act(one, says("hello"), key=key())

    assert not (await store.act(two, says("hello"), key=key())).replayed


async def test_a_key_of_a_refused_act_is_free(store: Store):
    room_id = await new_room(store, "first")
    with pytest.raises(Refusal):
        await store.act(room_id, says("late", if_last_seq=0), key=key())

    assert not (await store.act(room_id, says("now"), key=key(fingerprint=b"two"))).replayed


async def test_keys_work_inside_a_batch(store: Store):
    room_id = await new_room(store)

    first, again, reused = await store.act_all(
        room_id,
        [
            Act(says("hello"), key()),
            Act(says("hello"), key()),
            Act(says("bye"), key(fingerprint=b"two")),
        ],
    )

    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert again.replayed
    assert again.messages == first.messages
    assert isinstance(reused, KeyReused)
