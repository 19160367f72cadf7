"""A disk that fails: everybody is told the truth about what was stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from failing_disk import FailingDisk, failing_disk
from store_talk import contents, key, new_room, nothing, says

from room_mcp.store.interface import OutcomeUnknown, Reading, Store, StoreUnavailable
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as disk:
        yield disk


async def test_on_a_full_disk_nothing_is_stored_and_the_sentence_says_so(
    disk: FailingDisk, store: Store
):
    room_id = await new_room(store, "before")
    disk.trouble = "full"

    results = await asyncio.gather(
        *(store.act(room_id, says("lost")) for _ in range(3)), return_exceptions=True
    )

    assert [type(one) for one in results] == [StoreUnavailable] * 3
    assert "is full; nothing was stored" in str(results[0])
    assert "Free some space" in str(results[0])
    assert await contents(store, room_id) == ["before"]


async def test_after_the_disk_has_space_again_the_numbers_go_on(disk: FailingDisk, store: Store):
    room_id = await new_room(store, "before")
    disk.trouble = "full"
    with pytest.raises(StoreUnavailable):
        await store.act(room_id, says("lost"), key=key())
    disk.trouble = ""

    done = await store.act(room_id, says("after"), key=key())

    assert not done.replayed
    assert done.messages[0].seq == 2
    assert await contents(store, room_id) == ["before", "after"]


async def test_on_a_disk_that_turns_read_only_nothing_is_stored_and_all_is_read(
    disk: FailingDisk, store: Store
):
    room_id = await new_room(store, "before")
    disk.trouble = "read-only"

    with pytest.raises(StoreUnavailable, match="reported an error"):
        await store.act(room_id, says("during"), key=key())
    assert await contents(store, room_id) == ["before"]

    disk.trouble = ""
    assert not (await store.act(room_id, says("during"), key=key())).replayed
    assert await contents(store, room_id) == ["before", "during"]


async def test_when_the_commit_itself_fails_the_outcome_is_unknown(disk: FailingDisk, store: Store):
    room_id = await new_room(store)
    disk.trouble = "sync"

    with pytest.raises(OutcomeUnknown, match="same idempotency key"):
        await store.act(room_id, says("perhaps"), key=key())

    disk.trouble = ""
    await store.act(room_id, says("perhaps"), key=key())
    assert await contents(store, room_id) == ["perhaps"]


async def test_a_refusal_is_a_refusal_on_a_full_disk_too(disk: FailingDisk, store: Store):
    disk.trouble = "full"

    with pytest.raises(Exception, match="No room has this id"):
        await store.act("nowhere", says("hello"))


async def test_marks_wait_for_a_disk_with_space(disk: FailingDisk, store: Store, other: Store):
    room_id = await new_room(store, "one")
    disk.trouble = "full"
    store.mark_read(room_id, "ann", Reading(1, 1))
    with pytest.raises(StoreUnavailable):
        await store.erase(room_id, nothing)
    disk.trouble = ""

    await store.act(room_id, says("two"))

    assert (await other.readings(room_id))["ann"] == Reading(1, 1)


async def test_opening_on_a_full_disk_says_so(disk: FailingDisk, path):
    disk.trouble = "full"
    store = open_store(path)

    with pytest.raises(StoreUnavailable, match="is full"):
        await store.open()

    disk.trouble = ""
    await store.open()
    assert await store.directory() == []
    await store.aclose()
