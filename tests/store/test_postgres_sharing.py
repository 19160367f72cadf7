"""What one caller, one room or one machine does leaves the others on a database alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import asyncpg
import pytest
from database_talk import connected, waiting
from engines import Postgres
from postgres_databases import empty_database
from store_talk import NOON, by_ann, joins, key, new_room, nothing, says

from room_mcp.cli import checks
from room_mcp.cli.doctor import WARN
from room_mcp.settings import Settings
from room_mcp.store.interface import Reading, Store, StoreBusy, TextLeft
from room_mcp.store.limiting import Rate
from room_mcp.store.opening import open_store
from room_mcp.store.postgres import clocks, connecting, marks, scrubbing, transactions, turns
from room_mcp.store.postgres.addresses import LENT, address_in
from room_mcp.store.postgres.census import server
from room_mcp.store.postgres.database import Database
from room_mcp.store.postgres.troubles import trouble

pytestmark = pytest.mark.anyio
ENGINES = ("postgres",)

GUARD_S = 20  # something hangs
MINUTE = timedelta(minutes=1)
TWENTY_A_SECOND = Rate(100, timedelta(milliseconds=50))


# ---- connections ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["messages", "rooms"])
async def test_many_searches_leave_connections_to_short_questions(
    engine: Postgres, store: Store, table: str
):
    room = await new_room(store, "hello", name="review")

    async def search() -> object:
        if table == "rooms":
            return await store.directory(query="review")
        return await store.search("hello", room_ids=[room])

    async with connected(engine.address) as master, master.transaction():
        await master.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        searches = [asyncio.create_task(search()) for _ in range(6 * LENT)]
        await waiting(master, 3)
        with anyio.fail_after(GUARD_S):
            assert await store.server_key("nobodys") is None
            assert await store.directory_version()

    assert all(await asyncio.gather(*searches))


async def test_whoever_searches_for_too_long_a_turn_is_told(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(turns, "TURN_S", 0.05)
    room = await new_room(store, "hello")
    async with connected(engine.address) as master, master.transaction():
        await master.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        first = [asyncio.create_task(store.search("hello", room_ids=[room])) for _ in range(3)]
        await waiting(master, 3)
        with pytest.raises(StoreBusy, match="Searches take all 3 connections"):
            await store.search("hello", room_ids=[room])

    await asyncio.gather(*first)
    assert await store.search("hello", room_ids=[room])


# ---- long rooms ----------------------------------------------------------------------------------


@pytest.fixture
async def hurried(engine: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A store that gives a statement hardly any time."""
    monkeypatch.setattr(connecting, "COMMAND_S", 0.3)
    store = open_store(engine.address)
    await store.open()
    yield store
    await store.aclose()


@pytest.mark.parametrize("act", ["erase", "delete"])
async def test_to_remove_a_long_room_may_take_longer_than_other_statements(
    engine: Postgres, store: Store, hurried: Store, act: str
):
    room, another = await new_room(store), await new_room(store, name="another")
    await store.act(room, says("secret"), key=key())
    async with connected(engine.address) as master:
        async with master.transaction():
            await master.execute("SELECT FROM keys FOR UPDATE")  # as if it had very many
            removing = asyncio.create_task(getattr(hurried, act)(room, nothing))
            await waiting(master, 1)
            await master.execute("SELECT pg_sleep(0.5)")
            with anyio.fail_after(GUARD_S):
                await hurried.act(another, says("others go on"))
        with anyio.fail_after(GUARD_S):
            await removing

    assert "secret" not in str(await store.search("secret", room_ids=[room]))


async def test_only_a_few_rooms_are_removed_at_once(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    rooms = [await new_room(store, name=f"room {n}") for n in range(3)]
    monkeypatch.setattr(turns, "TURN_S", 0.05)
    async with connected(engine.address) as master, master.transaction():
        await master.execute("LOCK TABLE keys IN SHARE MODE")
        removing = [asyncio.create_task(store.delete(id, nothing)) for id in rooms[:2]]
        await waiting(master, 2)
        with pytest.raises(StoreBusy, match="take all 2 connections"):
            await store.delete(rooms[2], nothing)

    await asyncio.gather(*removing)


async def test_a_mark_that_is_being_written_goes_with_its_deleted_room(
    engine: Postgres, store: Store
):
    room = await new_room(store, "hello")
    await store.act(room, joins("bob"))
    async with connected(engine.address) as node, connected(engine.address) as master:
        async with node.transaction():
            await marks.write(Database(node), {(room, "bob"): Reading(1, 1)})
            deleting = asyncio.create_task(store.delete(room, nothing))
            await waiting(master, 1)
        await deleting

        assert await master.fetchval("SELECT count(*) FROM readings") == 0


async def test_a_mark_waits_for_no_room_that_is_being_deleted(engine: Postgres, store: Store):
    room = await new_room(store, "hello")
    await store.act(room, joins("bob"))
    async with connected(engine.address) as master, connected(engine.address) as node:
        async with master.transaction():
            await master.execute("DELETE FROM members")
            with anyio.fail_after(GUARD_S):
                await marks.write(Database(node), {(room, "bob"): Reading(1, 1)})

        assert await master.fetchval("SELECT count(*) FROM readings") == 0


@pytest.mark.parametrize("act", ["erase", "delete"])
async def test_what_is_noted_is_written_while_a_room_is_being_removed(
    engine: Postgres, store: Store, other: Store, act: str
):
    long, room = await new_room(store, "hello"), await new_room(store, "hello", name="another")
    await store.act(room, joins("bob"))
    newest = Reading(2, 2, NOON + MINUTE)
    async with connected(engine.address) as master, connected(engine.address) as holder:
        async with holder.transaction():
            await holder.execute("SELECT FROM messages FOR UPDATE")
            store.mark_read(room, "bob", Reading(1, 1, NOON, NOON + 2 * MINUTE))
            removing = asyncio.create_task(getattr(store, act)(long, nothing))
            await waiting(master, 1)
            store.mark_read(room, "bob", newest)
            store.note_refusal(by_ann("post"))
            with anyio.fail_after(GUARD_S):
                told = await store.audit()
                while (await other.readings(room))["bob"] != newest:
                    await anyio.lowlevel.checkpoint()
        await removing

    assert [one.entry for one in told.entries] == [by_ann("post")]
    assert (await other.readings(room))["bob"] == newest


async def test_a_store_that_closes_while_it_removes_a_room_writes_what_was_noted(
    engine: Postgres, store: Store, other: Store
):
    long, room = await new_room(store, "hello"), await new_room(store, "hello", name="another")
    async with connected(engine.address) as master, connected(engine.address) as holder:
        async with holder.transaction():
            await holder.execute("SELECT FROM messages FOR UPDATE")
            removing = asyncio.create_task(store.delete(long, nothing))
            await waiting(master, 1)
            store.mark_read(room, "ann", Reading(1, 1, NOON))
            store.note_refusal(by_ann("post"))
            with anyio.fail_after(GUARD_S):
                await store.aclose()
            marks_then = await other.readings(room)
        await asyncio.gather(removing, return_exceptions=True)

    assert marks_then["ann"] == Reading(1, 1, NOON)
    assert [one.entry for one in (await other.audit()).entries] == [by_ann("post")]


async def test_an_older_mark_of_another_node_changes_nothing(engine: Postgres, store: Store):
    room = await new_room(store, "hello")
    newest = Reading(1, 1, NOON + MINUTE)
    async with connected(engine.address) as node:
        await marks.write(Database(node), {(room, "ann"): newest})
        await marks.write(Database(node), {(room, "ann"): Reading(1, 0, NOON, NOON + 2 * MINUTE)})

    assert (await store.readings(room))["ann"] == newest


async def test_what_is_noted_is_written_by_one_task_however_long_that_takes(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transactions, "MARKS_WAIT_S", 0)
    async with connected(engine.address) as master, connected(engine.address) as holder:
        async with holder.transaction():
            await holder.execute("SELECT FROM counters FOR UPDATE")
            store.note_refusal(by_ann("post"))
            await waiting(master, 1)
            before = len(asyncio.all_tasks())
            for _ in range(20):
                store.note_refusal(by_ann("post"))
                await master.fetch("SELECT")
            after = len(asyncio.all_tasks())

        assert len((await store.audit()).entries) == 21
    assert after <= before + 2  # of others


async def test_rooms_that_are_made_erased_and_deleted_are_counted_as_commits(store: Store):
    room = await new_room(store)
    await store.erase(room, nothing)
    await store.delete(room, nothing)

    assert sum(store.measures.commit_s.spreads()[()].counts) == 3
    assert store.measures.commit_acts.spreads()[()].total == 3


# ---- clocks --------------------------------------------------------------------------------------


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this machine is a minute behind."""
    monkeypatch.setattr(clocks, "now", lambda: datetime.now(UTC) - MINUTE)


@pytest.fixture
async def behind(engine: Postgres, store: Store, slow_clock: None) -> AsyncIterator[Store]:
    """A node whose clock is a minute behind that of the database, and that of the other one."""
    store = open_store(engine.address)
    await store.open()
    yield store
    await store.aclose()


async def test_nodes_count_alike_though_their_clocks_differ(store: Store, behind: Store):
    for second in range(20):
        at = NOON + timedelta(seconds=second)
        for node, its_time in ((store, at), (behind, at - MINUTE)):
            taken = await node.take("ann", "posts", TWENTY_A_SECOND, needed=1, at=its_time)
            assert taken.number
            assert abs(taken.due_at - its_time) < timedelta(seconds=5)


async def test_slots_are_nobody_elses_though_clocks_differ(store: Store, behind: Store):
    async def take(node: Store, holder: str, at: datetime) -> int:
        return await node.take_slots(
            *("ann", "waits", holder),
            limit=10,
            opened=0,
            needed=10,
            at=at,
            until=at + MINUTE / 2,
        )

    assert await take(behind, "one", NOON - MINUTE) == 10
    assert await take(store, "two", NOON) == 0


async def test_clocks_that_differ_are_told_once(
    engine: Postgres, slow_clock: None, caplog: pytest.LogCaptureFixture
):
    node = open_store(engine.address)
    await node.open()
    await asyncio.gather(*(node.directory_version() for _ in range(3)))
    await node.aclose()

    found = [one.message for one in caplog.records if "The clock of the database" in one.message]
    assert found == [
        "The clock of the database is 60 s ahead of that of this machine. Let NTP keep them."
    ]
    assert "60 s ahead of" in " ".join((await server(engine.address)).doubts)


async def test_a_slow_way_to_the_database_is_no_difference_of_clocks():
    found = clocks.Clocks()

    found.compare(clocks.now() - MINUTE, clocks.now() - MINUTE / 2)

    assert not found.ahead
    assert not found.doubt


# ---- what an acknowledgement is worth ------------------------------------------------------------

ROLE = "ALTER ROLE CURRENT_USER IN DATABASE {} SET {}"


@pytest.mark.parametrize(
    ("setting", "doubted"),
    [("synchronous_commit = off", True), ("synchronous_commit = local", False)],
)
async def test_a_promise_that_the_database_does_not_keep_is_told_at_opening(
    caplog: pytest.LogCaptureFixture, setting: str, doubted: bool
):
    url = empty_database()
    async with connected(url) as master:
        name = await master.fetchval("SELECT current_database()")
        await master.execute(ROLE.format(name, setting))

    store = open_store(url)
    await store.open()
    await store.aclose()

    told = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert any("synchronous_commit" in one for one in told) == doubted
    assert any("synchronous_commit" in one for one in (await server(url)).doubts) == doubted


def test_doctor_warns_of_a_promise_that_the_database_does_not_keep(tmp_path: Path):
    url = empty_database()
    asyncio.run(promise_less(url))

    found = checks.postgres(Settings(home=tmp_path, store=url))

    assert found.status == WARN
    assert "synchronous_commit = off" in found.detail
    assert found.advice


async def promise_less(url: str) -> None:
    async with connected(url) as master:
        name = await master.fetchval("SELECT current_database()")
        await master.execute(ROLE.format(name, "synchronous_commit = off"))


async def test_entries_of_refusals_are_kept_when_their_numbers_are_told():
    url = empty_database()
    store = open_store(url)
    await store.open()
    async with connected(url) as master:
        await master.execute(
            "CREATE TABLE seen (setting text); CREATE FUNCTION see() RETURNS trigger"
            " LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen"
            " VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;"
            " CREATE TRIGGER seen AFTER INSERT ON audit EXECUTE FUNCTION see()"
        )
        store.note_refusal(by_ann("post"))
        (entry,) = (await store.audit()).entries

        assert entry.no == 1
        assert [one["setting"] for one in await master.fetch("SELECT * FROM seen")] == ["on"]
    await store.aclose()


# ---- scrubbing -----------------------------------------------------------------------------------


async def test_owners_have_the_store_written_anew_by_one_node_a_minute(store: Store, other: Store):
    first, second = await new_room(store), await new_room(store)
    await store.delete(first, nothing)
    assert await store.scrub(pause=MINUTE)
    await store.delete(second, nothing)

    with pytest.raises(TextLeft, match="a moment ago"):
        await other.scrub(pause=MINUTE)
    assert await other.scrub()


async def test_a_store_that_could_not_be_written_anew_may_be_at_once_again(
    engine: Postgres, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scrubbing, "LOCK_WAIT_MS", 50)
    room = await new_room(store)
    await store.delete(room, nothing)
    async with connected(engine.address) as master, master.transaction():
        await master.execute("LOCK TABLE rooms IN ACCESS SHARE MODE")
        with pytest.raises(TextLeft, match="somebody else"):
            await store.scrub(pause=MINUTE)

    assert await other.scrub(pause=MINUTE)


async def test_after_the_pause_the_store_is_written_anew_again(engine: Postgres, store: Store):
    room = await new_room(store)
    await store.delete(room, nothing)
    async with connected(engine.address) as master:
        ago = (datetime.now(UTC) - MINUTE).timestamp() * 1_000_000
        await master.execute("INSERT INTO meta VALUES ('scrubbed_at', $1)", str(int(ago)))

    assert await store.scrub(pause=MINUTE)


# ---- errors --------------------------------------------------------------------------------------

TWICE = "INSERT INTO keys VALUES (1, 'ann', 'my-key', '', 1)"


async def test_an_error_of_the_database_is_told_without_the_values_in_it(engine: Postgres):
    async with connected(engine.address) as master:
        with pytest.raises(asyncpg.UniqueViolationError) as raised:
            await master.execute(f"{TWICE}; {TWICE}")

        with pytest.raises(asyncpg.DataError) as unsent:
            await master.fetch("SELECT $1::text", "my-key \ud800")

    told, other = (str(trouble(one.value, address_in(engine.address))) for one in (raised, unsent))

    assert "my-key" in str(raised.value)
    assert "my-key" in str(unsent.value)
    assert "my-key" not in other
    assert "my-key" not in told
    assert "duplicate key value" in told
