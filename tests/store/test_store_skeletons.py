"""A store of the time when names were compared by case and width alone."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest
from earlier_files import take_back
from store_talk import a_room, joins, key, says

from room_mcp.rooms import skeleton
from room_mcp.rooms.names import folded
from room_mcp.store.codec import room_from, state_from
from room_mcp.store.interface import Act, Store
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio

LOOK_ALIKES = ("сlaude", "claudе")  # each with one letter in Cyrillic


async def a_store(path: Path, *names: str, room: str) -> str:
    """The id of a room with these members, each of whom has posted under the key k1."""
    store = open_store(path)
    await store.open()
    made, _ = await store.create(a_room(room))
    for name in names:
        await store.act(made.id, joins(name))
        await store.act_all(made.id, [Act(says("hi", name), key("k1", sender=name))])
    await store.aclose()
    return made.id


def make_old(path: Path, *renamed: tuple[str, str]) -> None:
    """Write the names as they were compared before; `renamed` are members that join by name."""
    db = apsw.Connection(str(path))
    for no, state in db.execute("SELECT no, state FROM rooms").fetchall():
        kept = json.loads(state)
        for one, other in renamed:
            kept["members"][folded(other)] = [other, *kept["members"].pop(one)[1:]]
        kept["members"] = {folded(one[0]): one for one in kept["members"].values()}
        db.execute(
            "UPDATE rooms SET name_key = ?, state = ? WHERE no = ?",
            (folded(kept["name"]), json.dumps(kept), no),
        )
    for old, new in renamed:
        db.execute("UPDATE members SET name = ?2 WHERE name = ?1", (old, new))
        db.execute("UPDATE keys SET sender = ?2 WHERE sender = ?1", (old, folded(new)))
    for no, name in db.execute("SELECT room_no, name FROM members").fetchall():
        now = (no, skeleton(name), folded(name))
        db.execute(
            "UPDATE members SET skeleton = ?3 WHERE room_no = ?1 AND name = ?4", (*now, name)
        )
        if name not in dict(renamed).values():
            db.execute("UPDATE keys SET sender = ?3 WHERE room_no = ?1 AND sender = ?2", now)
    db.close()
    take_back(path, 3)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    db = apsw.Connection(str(path))
    found = db.execute(sql).fetchall()
    db.close()
    return found


async def opened(path: Path) -> Store:
    store = open_store(path)
    await store.open()
    return store


async def test_old_names_are_found_by_what_they_look_like(path: Path):
    room_id = await a_store(path, "сlaude", "Ёжик", "bob", room="арі")
    make_old(path)

    store = await opened(path)
    mine = await store.directory(member="claude", listed_only=False)
    found = (await store.room(room_id)).member("claude")
    await store.aclose()

    assert [one.room.id for one in mine] == [room_id]
    assert found is not None
    assert found.name == "сlaude"
    assert rows(path, "SELECT name_key FROM rooms") == [("api",)]
    assert rows(path, "SELECT skeleton FROM members ORDER BY 1") == [
        ("bob",),
        ("claude",),
        (skeleton("Ёжик"),),
    ]


async def test_an_old_idempotency_key_still_stands_for_the_first_message(path: Path):
    room_id = await a_store(path, "сlaude", room="review")
    make_old(path)

    store = await opened(path)
    again = await store.act_all(room_id, [Act(says("hi", "сlaude"), key("k1", sender="сlaude"))])
    await store.aclose()

    assert [one.replayed for one in again] == [True]


async def test_of_two_old_members_that_look_alike_each_keeps_what_is_his(path: Path):
    room_id = await a_store(path, "ann", "bea", room="review")
    make_old(path, ("ann", LOOK_ALIKES[0]), ("bea", LOOK_ALIKES[1]))

    store = await opened(path)
    room = await store.room(room_id)
    await store.aclose()

    first, second = sorted(LOOK_ALIKES)
    kept = {"claude": first, second: second}
    assert {key: one.name for key, one in room.members.items()} == kept
    assert dict(rows(path, "SELECT skeleton, name FROM members")) == kept


async def test_a_name_in_ascii_keeps_its_place_before_an_old_look_alike(path: Path):
    room_id = await a_store(path, "claude", "bea", room="review")
    make_old(path, ("bea", "сlaude"))

    store = await opened(path)
    room = await store.room(room_id)
    await store.aclose()

    assert {key: one.name for key, one in room.members.items()} == {
        "claude": "claude",
        "сlaude": "сlaude",
    }


async def test_a_room_reads_the_same_after_it_was_written_by_the_new_form(path: Path):
    room_id = await a_store(path, "ann", "bea", room="review")
    make_old(path, ("ann", LOOK_ALIKES[0]), ("bea", LOOK_ALIKES[1]))

    store = await opened(path)
    room = await store.room(room_id)
    await store.aclose()

    assert room_from(room.id, state_from(room), None).members == room.members
