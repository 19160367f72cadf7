"""All rooms move to another store: what arrives, what is refused, what a stopped move leaves."""

from __future__ import annotations

from pathlib import Path

import anyio
import apsw
import asyncpg
import pytest
from moves import (
    BACK,
    UP,
    ends,
    everything,
    fill,
    half_moved,
    left_but_not_ended,
    moved,
    opened,
    until_marked,
)
from postgres_databases import empty_database
from store_talk import NOON, by_ann, contents, joins, key, new_room, nothing, says

from room_mcp.rooms.refusals import KeyReused
from room_mcp.store.auditing import Entry
from room_mcp.store.interface import StoreError, StoreUnavailable
from room_mcp.store.migrate.tables import OF_ROOMS
from room_mcp.store.sqlite.care.check import check
from room_mcp.store_address import named

pytestmark = pytest.mark.anyio

BOTH_WAYS = pytest.mark.parametrize("direction", [UP, BACK])


def where(address: str) -> str:
    """How a store is told to people."""
    scheme, _, rest = address.rpartition("//")
    return f"{scheme}//{rest.rpartition('@')[2]}" if scheme else address


async def sql(address: str, statement: str) -> None:
    """Do something to a store that it does not do itself."""
    if "://" not in address:
        apsw.Connection(address).execute(statement)
        return
    connection = await asyncpg.connect(address)
    await connection.execute(statement)
    await connection.close()


async def is_whole(target: str) -> bool:
    if "://" not in target:
        return await anyio.Path(target).exists()
    with pytest.raises(StoreUnavailable, match="run it again"):
        async with opened(target):
            pass
    return False


# ---- what arrives -------------------------------------------------------------------------------


@BOTH_WAYS
async def test_all_that_a_store_holds_arrives_equal(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        ids = await fill(store)
        await until_marked(store, source, ids[0])
        before = await everything(store, ids)
        version = await store.directory_version()

    done = await moved(source, target)

    async with opened(target) as store:
        after = await everything(store, ids)
        assert await store.directory_version() >= version
        entries = (await store.audit()).entries
    for name, answer in before.items():
        assert after[name] == answer, name
    assert (done.rooms, done.messages) == (
        7,
        sum(head.last_seq for head in before["heads"].values()),
    )
    assert all(one.is_intact for one in entries)
    assert [one.no for one in entries] == [*range(1, len(entries) + 1)]
    assert (entries[-1].entry.act, entries[-1].entry.at) == ("move", NOON)


@BOTH_WAYS
async def test_rooms_go_on_where_they_are_now(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        talk, _, _, gone, *_, long, _ = await fill(store)
        version = await store.directory_version()

    await moved(source, target)

    async with opened(target) as store:
        assert (await store.act(talk, says("walrus 1 漢字"), key=key("k1"))).replayed
        with pytest.raises(KeyReused):
            await store.act(talk, says("other"), key=key("k1", fingerprint=b"two"))
        assert (await store.act(talk, says("next"))).messages[0].seq == 5
        assert (await store.act(long, says("more"))).messages[0].seq == 301
        with pytest.raises((ValueError, StoreError)):
            await store.create((await store.room(talk)).__class__(gone, "again", NOON))
        assert await contents(store, await new_room(store, "new", name="new")) == ["new"]
        assert await store.directory_version() > version


async def test_a_file_that_was_moved_back_is_sound(tmp_path: Path):
    file, database = ends(UP, tmp_path)
    async with opened(file) as store:
        await fill(store)
    await moved(file, database)
    async with opened(database) as store:
        await new_room(store, "said in PostgreSQL")
    back = str(tmp_path / "back.db")

    await moved(database, back)

    assert list(check(Path(back))) == []
    assert (tmp_path / "back.db").stat().st_mode & 0o077 == 0


async def test_marks_of_nobody_stay_behind(tmp_path: Path):
    source, target = ends(BACK, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
    await sql(
        source,
        "INSERT INTO readings (room_no, skeleton, shown_to, read_to)"
        " VALUES (1, 'ann', 0, 0), (1, 'gone', 1, 1), (77, 'ann', 1, 1)",
    )

    await moved(source, target)

    async with opened(target) as store:
        assert (await store.readings(room_id))["ann"].shown_to == 0


async def test_an_empty_store_moves_too(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source):
        pass

    done = await moved(source, target)

    async with opened(target) as store:
        assert (done.rooms, await store.directory()) == (0, [])


# ---- a move that was stopped --------------------------------------------------------------------


@BOTH_WAYS
async def test_a_move_goes_on_with_all_that_was_done_since(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        ids = await fill(store)
        deleted = await new_room(store, "deleted", name="deleted")
    await half_moved(source, target)
    async with opened(source) as store:
        await store.act(ids[0], says("since"), key=key("since"))
        await store.act(ids[0], joins("eve"), entry=by_ann("join"))
        await store.erase(ids[5], nothing, entry=by_ann("erase"))
        await store.delete(deleted, nothing)
        ids += [deleted, await new_room(store, "new", name="new")]
        before = await everything(store, ids)

    await moved(source, target)

    async with opened(target) as store:
        assert await everything(store, ids) == before
        assert (await store.act(ids[0], says("since"), key=key("since"))).replayed


@BOTH_WAYS
async def test_what_was_removed_meanwhile_is_scrubbed_where_it_was_copied(
    direction: str, tmp_path: Path
):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "secret")
    await half_moved(source, target)
    async with opened(source) as store:
        await store.erase(room_id, nothing)

    await moved(source, target)

    async with opened(target) as store:
        assert await store.scrub()
        assert await contents(store, room_id) == [None]


@BOTH_WAYS
async def test_between_the_last_two_steps_the_rooms_are_in_neither(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")

    await left_but_not_ended(source, target)

    with pytest.raises(StoreUnavailable, match="were moved to"):
        async with opened(source):
            pass
    assert await is_whole(target) is False
    assert (await moved(source, target)).rooms is None
    async with opened(target) as store:
        assert await contents(store, room_id) == ["hello"]


# ---- what differs -------------------------------------------------------------------------------

TAMPERING = {
    UP: "UPDATE messages SET sender = 'eve' WHERE seq = 1",
    BACK: "UPDATE messages SET sender = 'eve' WHERE key & 255 = 1",
}


@BOTH_WAYS
async def test_what_is_not_the_same_is_found_and_nothing_is_moved(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
    await half_moved(source, target)
    await sql(target if direction == UP else f"{target}.moving", TAMPERING[direction])

    with pytest.raises(StoreError, match=f"the room {room_id}"):
        await moved(source, target)

    async with opened(source) as store:
        assert (await store.act(room_id, says("more"))).messages[0].seq == 2


async def test_rows_that_lack_are_found_in_every_table(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await fill(store)
    await half_moved(source, target)
    for table in OF_ROOMS:
        await sql(target, f"CREATE TABLE kept AS TABLE {table.name}; DELETE FROM {table.name}")

        with pytest.raises(StoreError, match="is not what was there: the room"):
            await moved(source, target)

        await sql(target, f"INSERT INTO {table.name} TABLE kept; DROP TABLE kept")
    await moved(source, target)


async def test_rows_too_many_are_found(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await new_room(store)
    await half_moved(source, target)
    await sql(target, "INSERT INTO contracts VALUES (99, '{}')")

    with pytest.raises(StoreError, match="contracts: 1 rows there, 2 here"):
        await moved(source, target)


async def test_an_entry_that_is_another_is_found(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await fill(store)
    await half_moved(source, target)
    await sql(target, "ALTER TABLE audit DISABLE TRIGGER ALL; UPDATE audit SET name = 'eve'")

    with pytest.raises(StoreError, match="entry #1 of the audit"):
        await moved(source, target)


async def test_an_audit_that_somebody_changed_is_not_moved(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await store.delete(await new_room(store), nothing, entry=Entry(NOON, "delete"))
    await sql(source, "DROP TRIGGER audit_is_as_it_was; UPDATE audit SET name = 'eve'")

    with pytest.raises(StoreError, match=r"Entry #1 of the audit .* was changed"):
        await moved(source, target)


# ---- what is refused ----------------------------------------------------------------------------


@BOTH_WAYS
async def test_only_what_holds_nothing_is_filled(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        await new_room(store)
    async with opened(target) as store:
        await new_room(store)

    with pytest.raises(StoreUnavailable, match=r"not empty|exists already"):
        await moved(source, target)


@BOTH_WAYS
async def test_what_another_store_has_begun_to_fill_is_left_to_it(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    other = ends(direction, tmp_path / "other")[0]
    for one in (source, other):
        async with opened(one) as store:
            await new_room(store)
    await half_moved(other, target)

    with pytest.raises(StoreUnavailable, match="rooms of another store"):
        await moved(source, target)


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await new_room(store)
    await sql(target, "CREATE TABLE rooms (number int)")

    with pytest.raises(StoreUnavailable, match="another program"):
        await moved(source, target)


async def test_a_database_that_a_server_has_open_is_not_filled(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await new_room(store)

    async with opened(target):
        with pytest.raises(StoreUnavailable, match=r"has .* open"):
            await moved(source, target)

    await moved(source, target)


async def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await new_room(store)
    await sql(source, "UPDATE meta SET value = '77' WHERE name = 'schema'")

    with pytest.raises(StoreUnavailable, match="newer room-mcp"):
        await moved(source, target)


async def test_where_no_store_is_nothing_is_moved(tmp_path: Path):
    source, target = ends(UP, tmp_path)

    with pytest.raises(StoreUnavailable, match="There is no store"):
        await moved(source, target)


@BOTH_WAYS
async def test_what_was_moved_is_not_moved_again(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        await new_room(store)
    await moved(source, target)
    elsewhere = empty_database() if direction == UP else str(tmp_path / "elsewhere.db")

    for place in (target, elsewhere):
        with pytest.raises(StoreUnavailable) as told:
            await moved(source, place)
        assert f"were moved to {named(target)} on" in str(told.value)
