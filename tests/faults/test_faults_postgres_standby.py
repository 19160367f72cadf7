"""What a node does where the primary is silent, or a commit waits for a standby that is away."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import anyio
import postgres_databases
import pytest

from faults import bad_links
from faults.bad_links import BadLinks
from faults.clusters import Cluster, why_no_cluster
from faults.databases import name_in
from faults.ground import a_room
from faults.recording import Call, StoreDoor, deciding
from room_mcp.store.interface import OutcomeUnknown
from room_mcp.store.opening import open_store

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_no_cluster()), reason=why_no_cluster() or ""),
]

SEED = 20_260_101
HANGS_S = 120  # far beyond what it takes, also on a busy machine


@pytest.fixture
def silent_host() -> Iterator[str]:
    """It takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_host_that_is_silent_does_not_keep_a_node_from_the_other(
    silent_host: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.connecting.CONNECT_S", 2.0)
    url = postgres_databases.new_database()
    store = open_store(url.replace("@", f"@{silent_host},"))

    with anyio.fail_after(HANGS_S):
        await store.open()
        room = await a_room(store, "room")
        seq = await StoreDoor(store).post(Call(room, "ann", "1", "hello"))
        await store.aclose()

    assert seq == 1


async def test_a_commit_that_waits_for_a_standby_in_vain_is_seen_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
):
    with Cluster(fsync=False) as cluster:
        url = cluster.database()
        await made(url)
        cluster.stop()
        cluster.start({"synchronous_standby_names": "'nobody'"})
        store = open_store(url)
        await store.open()
        monkeypatch.setattr("room_mcp.store.postgres.database.COMMIT_S", 0.5)

        with anyio.fail_after(HANGS_S), pytest.raises(OutcomeUnknown):
            await a_room(store, "room")
        seen = cluster.sql("SELECT count(*) FROM rooms", name_in(url))
        await store.aclose()

    assert seen == "0"


async def test_a_commit_that_was_lost_late_is_done_again_and_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bad_links, "FAULTY", 0)
    monkeypatch.setattr(bad_links, "FAULTY_COMMITS", 1)
    monkeypatch.setattr(bad_links, "FREEZE_S", (1.0, 1.0))
    monkeypatch.setattr("room_mcp.store.postgres.writer.MAX_TRYING_S", 0.5)
    url, lost = postgres_databases.new_database(), ["frozen and lost"]
    async with BadLinks(url, random.Random(SEED), faults=lost, often=0) as links:
        store = open_store(links.url)
        await store.open()
        room = await a_room(store, "room")
        links.often = 1

        with anyio.fail_after(HANGS_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.act, room, deciding(Call(room, "ann", "", "hello")))
                await links.is_faulty.wait()
                links.often = 0
        messages = await StoreDoor(store).read(room, 0)
        await store.aclose()

    assert messages == [(1, "hello")]


async def made(url: str) -> None:
    """Have the tables of a store in a database."""
    store = open_store(url)
    await store.open()
    await store.aclose()
