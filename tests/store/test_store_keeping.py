"""What a store promises about rooms that are kept for long: names, the archive, what is stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from damaging import damage
from engines import ALL, only
from store_talk import NOON, OWNER, Decide, closes, contents, key, new_room, nothing, says, stamp

from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


def renames(name: str) -> Decide:
    ids = stamp()
    return lambda room, _: room.rename(name, "ann", proof=OWNER, stamp=ids)


def archives(*, undo: bool = False) -> Decide:
    ids = stamp()
    return lambda room, _: room.archive(proof=OWNER, stamp=ids, undo=undo)


def reopens() -> Decide:
    ids = stamp()
    return lambda room, past: room.reopen("ann", proof=OWNER, stamp=ids, past=past, kind="human")


async def ended(store: Store, name: str) -> str:
    room_id = await new_room(store, "hello", name=name)
    await store.act(room_id, closes())
    return room_id


async def names(store: Store, **wanted: Any) -> list[str]:
    return [one.room.name for one in await store.directory(**wanted)]


async def stale(store: Store, **wanted: Any) -> list[str]:
    return [one.room.name for one in await store.stale(**wanted)]


async def changed_at(store: Store, room_id: str, **wanted: Any) -> datetime:
    listed = await store.directory(**wanted)
    return next(one.updated_at for one in listed if one.room.id == room_id)


# ---- another name -------------------------------------------------------------------------------


async def test_a_renamed_room_is_found_by_its_new_name_only(store: Store, other: Store):
    room_id = await new_room(store, "hello", name="draft")
    await other.room(room_id)
    before = await other.directory_version()

    await store.act(room_id, renames("Zürich"))

    assert (await other.room(room_id)).name == "Zürich"
    assert (await names(other, query="züri"), await names(other, query="draft")) == (["Zürich"], [])
    assert await other.directory_version() > before
    assert (await contents(other, room_id))[1] == {"by": "ann", "from": "draft", "to": "Zürich"}


async def test_a_new_room_takes_the_place_of_an_open_one_by_its_new_name(store: Store):
    room_id = await new_room(store, name="draft")
    await store.act(room_id, renames("final"))

    like = await store.room(room_id)
    again, created = await store.create(replace(like, id="another"), reuse=True)
    old, is_new = await store.create(replace(like, id="old", name="draft"), reuse=True)

    assert (again.id, created) == (room_id, False)
    assert (old.id, is_new) == ("old", True)


# ---- the archive --------------------------------------------------------------------------------


async def test_an_archived_room_is_in_no_list_but_that_of_the_archive(store: Store, other: Store):
    kept, away = await ended(store, "kept"), await ended(store, "away")
    before = await other.directory_version()

    done = await store.act(away, archives())

    assert (await names(other), await names(other, archived=True)) == (["kept"], ["away"])
    assert await names(other, query="kept", archived=True) == []
    assert (done.room.archived_at, (await other.room(away)).archived_at) == (NOON, NOON)
    assert await other.directory_version() > before
    assert not (await other.room(kept)).is_archived


async def test_a_room_comes_back_from_the_archive(store: Store, other: Store):
    room_id = await ended(store, "review")
    await store.act(room_id, archives())
    await store.act(room_id, archives(undo=True))

    assert (await names(other), await names(other, archived=True)) == (["review"], [])
    assert (await other.room(room_id)).archived_at is None


async def test_a_reopened_room_is_in_the_archive_no_more(store: Store, other: Store):
    room_id = await ended(store, "review")
    await store.act(room_id, archives())
    await store.act(room_id, reopens())
    await store.act(room_id, closes())

    assert (await names(other), await names(other, archived=True)) == (["review"], [])


@only("sqlite")
@pytest.mark.parametrize("posts", [True, False])
async def test_what_an_earlier_version_reopened_is_in_the_archive_no_more(
    store: Store, path: Path, posts: bool
):
    room_id = await ended(store, "review")
    await store.act(room_id, reopens())
    damage(path, "UPDATE rooms SET rev = rev + 1, archived_at = 42")

    assert (await store.room(room_id)).archived_at is None
    if posts:
        await store.act(room_id, says("go on"))
        left = apsw.Connection(str(path)).execute("SELECT archived_at FROM rooms").fetchall()
        assert left == [(None,)]
    await store.act(room_id, closes())
    assert (await names(store), await names(store, archived=True)) == (["review"], [])


# ---- what nobody changed for long ---------------------------------------------------------------


async def test_rooms_last_changed_before_a_time_are_stale_the_oldest_first(store: Store):
    first, second = await ended(store, "first"), await ended(store, "second")
    await ended(store, "third")
    await store.act(first, archives())

    late = await changed_at(store, first, archived=True) + timedelta(microseconds=1)

    assert await stale(store, before=late) == ["second", "third", "first"]
    assert await stale(store, before=await changed_at(store, second)) == []
    assert await stale(store, before=late, limit=1) == ["second"]


async def test_rooms_beyond_a_number_are_stale(store: Store):
    for name in ("first", "second", "third"):
        await ended(store, name)

    assert await stale(store, beyond=1) == ["first", "second"]
    assert await stale(store, beyond=3) == []
    assert await stale(store) == []


async def test_rooms_that_go_on_are_stale_only_if_that_is_asked_for(store: Store):
    await new_room(store, name="open")
    await ended(store, "closed")

    assert await stale(store, beyond=0) == ["closed"]
    assert await stale(store, beyond=0, ended_only=False) == ["open", "closed"]
    assert await stale(store, beyond=1, ended_only=False) == ["open"]


async def test_deleted_rooms_are_not_stale(store: Store):
    await store.delete(await ended(store, "gone"), nothing)

    assert await stale(store, beyond=0, ended_only=False) == []


# ---- texts that are removed ---------------------------------------------------------------------


async def test_a_key_no_longer_tells_which_text_it_stood_for(store: Store, other: Store):
    room_id = await new_room(store)
    await store.act(room_id, says("hello"), key=key(fingerprint=b"one"))
    await store.act(room_id, closes())

    await store.erase(room_id, nothing)

    again = await other.act(room_id, says("hello"), key=key(fingerprint=b"another"))
    assert (again.replayed, again.messages[0].seq, again.messages[0].content) == (True, 1, None)


async def test_an_ended_room_keeps_neither_purpose_nor_conclusion(store: Store, other: Store):
    room_id = await new_room(store, "hello", purpose="secret purpose")
    await store.act(room_id, closes())

    room = await store.erase(room_id, nothing)

    assert (room.purpose, room.closing and room.closing.conclusion) == ("", "")
    assert await names(other, query="secret") == []


async def test_to_scrub_twice_does_no_harm(store: Store, other: Store):
    room_id = await new_room(store, "hello")
    await store.erase(room_id, nothing)

    await store.scrub()
    await other.scrub()

    assert await contents(other, room_id) == [None]
