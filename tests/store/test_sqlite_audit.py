"""The audit in SQLite's file: guarded by triggers, and made where it was not."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest
from store_talk import NOON, a_room, all_entries, by_ann, says

from room_mcp.rooms import Room
from room_mcp.store.auditing import JOIN, POST
from room_mcp.store.codec import state_from
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite import migrating, schema

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit WHERE no = 2",
        "UPDATE audit SET name = 'eve' WHERE no = 2",
        "INSERT OR REPLACE INTO audit SELECT 2, at, act, outcome, room_id, 'eve', key_id,"
        " subject, request, detail, link FROM audit WHERE no = 2",
        "INSERT INTO audit SELECT 1, at, act, outcome, room_id, 'eve', key_id,"
        " subject, request, detail, link FROM audit WHERE no = 2",
    ],
)
async def test_the_table_is_only_added_to(store: Store, path: Path, change: str):
    for name in ("create", "join", "leave"):
        await store.create(a_room(name), entry=by_ann(name))
    db = apsw.Connection(str(path))

    with pytest.raises(apsw.ConstraintError, match="only added to"):
        db.execute(change)

    db.close()


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET name = 'eve' WHERE no = 2", [2]),
        ("UPDATE audit SET at = at + 1 WHERE no = 2", [2]),
        ("UPDATE audit SET link = 'x' WHERE no = 2", [2, 3]),
        ("DELETE FROM audit WHERE no = 2", [3]),
    ],
)
async def test_whoever_changes_the_file_breaks_a_link(
    store: Store, path: Path, change: str, broken: list[int]
):
    for name in ("create", "join", "leave"):
        await store.create(a_room(name), entry=by_ann(name))
    db = apsw.Connection(str(path))
    db.execute("DROP TRIGGER audit_stays; DROP TRIGGER audit_is_as_it_was")

    db.execute(change)

    db.close()
    assert [one.no for one in await all_entries(store) if not one.is_intact] == broken


async def test_the_number_of_an_entry_that_was_taken_away_is_not_given_again(
    store: Store, path: Path
):
    for name in ("create", "join"):
        await store.create(a_room(name), entry=by_ann(name))
    db = apsw.Connection(str(path))
    db.execute("DROP TRIGGER audit_stays; DELETE FROM audit WHERE no = 2")
    db.close()
    before = await store.audit()

    await store.create(a_room(), entry=by_ann("leave"))

    page = await store.audit()
    assert (before.last_no, [one.no for one in before.entries]) == (2, [1])
    assert [(one.no, one.is_intact) for one in page.entries] == [(1, True), (3, False)]


def a_store_of_schema_2(path: Path, room: Room) -> None:
    """A file as it was before there was an audit, with this room and one message in it."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "WAL")
    db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    db.execute("INSERT INTO meta VALUES ('schema', '2'), ('epoch', 'cafecafe')")
    for number in (1, 2):
        db.execute(migrating.scripts()[number])
    state = json.loads(state_from(room))
    del state["chain"]
    db.execute(
        "INSERT INTO rooms VALUES (1, ?, 1, 1, 'open', 1, 1, 1, 'review', 'review', ?)",
        (room.id, json.dumps(state)),
    )
    db.execute("INSERT INTO contracts VALUES (1, ?)", (room.contract.source,))
    db.execute(
        "INSERT INTO messages VALUES (?, 'm1', 1, 'ann', 'agent', 'note', '\"hello\"',"
        " NULL, NULL, NULL, NULL)",
        (1 << 32 | 1,),
    )
    db.close()


async def test_a_store_of_before_opens_and_goes_on(path: Path):
    room = a_room(last_seq=1, last_at=NOON)
    a_store_of_schema_2(path, room)
    store = open_store(path)

    await store.open()

    await store.act(room.id, says("again"), entry=by_ann(POST))
    page = await store.read(room.id, after=0)
    assert [(one.content, one.chain) for one in page.messages] == [("hello", None), ("again", None)]
    assert [one.entry.act for one in await all_entries(store)] == [JOIN]
    assert (store.epoch, len(store.secret)) == ("cafecafe", schema.SECRET_BYTES)
    await store.aclose()
