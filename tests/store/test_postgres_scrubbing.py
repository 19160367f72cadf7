"""What was removed is in no file of the database: not in free pages, not in its statistics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from database_talk import connected
from store_talk import joins, new_room, nothing, says

from faults.clusters import Cluster, why_no_cluster
from room_mcp.store.interface import Reading, Store, TextLeft
from room_mcp.store.opening import open_store

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(why_no_cluster() is not None, reason="a server of one's own is needed"),
]

SECRETS = ("xylophon", "quarks", "zitherspieler")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(fsync=False, settings={"autovacuum": "off"}) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    yield store
    await store.aclose()


def left(cluster: Cluster, url: str) -> list[str]:
    """Which of the secrets are in the database's files."""
    name = urlsplit(url).path[1:]
    cluster.sql("CHECKPOINT")
    oid = cluster.sql(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
    folder = cluster.folder / "data" / "base" / oid
    found = b"".join(one.read_bytes() for one in folder.iterdir())
    return [secret for secret in SECRETS if secret.encode() in found.lower()]


async def a_room_of_secrets(store: Store, name: str = "review") -> str:
    """Its texts are in messages, words, members, marks, statistics and what the guard keeps."""
    room = await new_room(store, name=name, purpose=SECRETS[2])
    await store.act(room, joins(SECRETS[1]))
    store.mark_read(room, SECRETS[1], Reading(1, 1))
    for n in range(40):
        await store.act(room, says(f"{SECRETS[0]} {n % 3}"))
        await store.act(room, says({"a": SECRETS[0]}, SECRETS[1]))
    return room


async def analysed(url: str) -> None:
    async with connected(url) as master:
        await master.execute("ANALYZE")


async def test_a_deleted_room_is_in_no_file_after_scrubbing(
    cluster: Cluster, url: str, store: Store
):
    room = await a_room_of_secrets(store)
    await analysed(url)
    await store.delete(room, nothing)
    before = left(cluster, url)

    assert await store.scrub()

    assert before == [*SECRETS]
    assert left(cluster, url) == []
    assert not await store.scrub()


async def test_erased_texts_are_in_no_file_after_scrubbing(
    cluster: Cluster, url: str, store: Store
):
    room = await a_room_of_secrets(store)
    kept = await new_room(store, "this stays", name="another")
    await analysed(url)
    await store.erase(room, nothing)

    assert await store.scrub()

    assert SECRETS[0] not in left(cluster, url)
    assert [one.content for one in (await store.read(kept)).messages] == ["this stays"]


async def test_texts_that_a_transaction_may_still_ask_for_are_told_as_left(
    cluster: Cluster, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.scrubbing.LOOKS", 2)
    room = await a_room_of_secrets(store)
    name = urlsplit(url).path[1:]
    # Of an operator's, of whose transactions the store's user is not told.
    async with (
        connected(cluster.url(name, user="postgres")) as backup,
        backup.transaction(isolation="repeatable_read", readonly=True),
    ):
        await backup.fetchval("SELECT count(*) FROM messages")
        await store.delete(room, nothing)
        with pytest.raises(TextLeft, match="a transaction that began before"):
            await store.scrub()

    assert left(cluster, url) == [*SECRETS]
    assert await store.scrub()
    assert left(cluster, url) == []


async def test_what_is_removed_while_it_scrubs_is_scrubbed_next_time(
    cluster: Cluster, url: str, store: Store
):
    room = await a_room_of_secrets(store)
    async with connected(url) as master:
        await store.erase(room, nothing)
        async with master.transaction():
            await master.execute("SELECT FROM members")  # is waited for, after the messages
            scrubbing = asyncio.create_task(store.scrub())
            await _is_scrubbing(master)
            await master.execute("UPDATE meta SET value = value WHERE name LIKE 'unscrubbed:%'")
        assert await scrubbing

    assert await store.scrub()
    assert not await store.scrub()


async def _is_scrubbing(master) -> None:
    asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'members'::regclass"
    async with asyncio.timeout(20):
        while not await master.fetchval(asked):
            continue


async def test_a_table_in_use_is_told_as_left(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.scrubbing.LOCK_WAIT_MS", 100)
    room = await new_room(store, "one")
    await store.delete(room, nothing)
    async with connected(url) as master, master.transaction():
        await master.execute("SELECT FROM contracts")
        with pytest.raises(TextLeft, match="somebody else uses them"):
            await store.scrub()

    assert await store.scrub()


async def test_a_scrub_may_take_longer_than_other_statements(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
):
    room = await new_room(store, "one")
    await store.delete(room, nothing)
    short = open_store(url)
    monkeypatch.setattr("room_mcp.store.postgres.connecting.COMMAND_S", 0.3)
    await short.open()
    async with connected(url) as master:
        async with master.transaction():
            await master.execute("SELECT FROM contracts")
            scrubbing = asyncio.create_task(short.scrub())
            await master.execute("SELECT pg_sleep(0.6)")

        assert await scrubbing
    await short.aclose()
