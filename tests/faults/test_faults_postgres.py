"""Short runs of what `make faults` does to a PostgreSQL server, its network and its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import postgres_databases
import pytest

from faults import (
    bad_links,
    clocks,
    postgres_crash,
    postgres_disk,
    postgres_failover,
    postgres_stopped,
)
from faults.clusters import Cluster, why_no_cluster
from faults.postgres_dropped import Dropped
from faults.postgres_nodes import Nodes

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(why_no_cluster()), reason=why_no_cluster() or ""),
]

SEED = 20_260_101
HANGS_S = 300  # far beyond what it takes, also on a busy machine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(fsync=False) as cluster:
        yield cluster


async def test_nothing_is_lost_or_doubled_when_the_database_is_killed(
    cluster: Cluster, tmp_path: Path
):
    with anyio.fail_after(HANGS_S):
        load, seen = await postgres_crash.crash(
            cluster, tmp_path, kills=2, seed=SEED, posts=40, rooms=2, writers=1
        )

    assert seen.findings == []
    assert seen.kills == 2
    assert load.left_unknown == 0


async def test_nothing_is_lost_or_doubled_when_connections_break(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(bad_links, "FREEZE_S", (0.1, 0.5))
    url = postgres_databases.new_database()
    run = Dropped(url, None, drops=20, seed=SEED, posts=40, rooms=2, writers=1, often=6)

    with anyio.fail_after(HANGS_S):
        seen = await run.run()

    assert seen.findings == []
    assert run.dropped >= 20


async def test_nothing_is_lost_or_doubled_when_a_standby_takes_over():
    with anyio.fail_after(HANGS_S):
        _, seen = await postgres_failover.fail_over(
            None,
            kind=postgres_failover.KILLED,
            seed=SEED,
            posts=40,
            rooms=2,
            writers=1,
            fsync=False,
        )

    assert seen.findings == []


async def test_every_reader_gets_all_in_order_from_two_nodes_that_are_killed_in_turn(
    tmp_path: Path,
):
    url = postgres_databases.new_database()
    run = Nodes(url, tmp_path, agents=8, kills=2, seed=SEED, every_s=0.3, pause_s=0.2)

    with anyio.fail_after(HANGS_S):
        seen = await run.run()

    assert seen.findings == []
    assert seen.kills == 2


async def test_others_go_on_when_a_node_was_stopped_with_the_room():
    url = postgres_databases.new_database()

    with anyio.fail_after(HANGS_S):
        seen, _ = await postgres_stopped.stop_and_go_on(url, times=1, seconds=0, idle_ms=1_000)

    assert seen.findings == []


async def test_a_clock_that_jumps_harms_nobody_on_a_database(tmp_path: Path):
    url = postgres_databases.new_database()
    jumps = (clocks.HOUR, -clocks.YEARS, clocks.YEARS)

    seen = await clocks.jump_about(tmp_path, jumps=jumps, rounds=1, posts=10, database=url)

    assert seen.findings == []


async def test_nothing_is_lost_or_doubled_when_the_disk_of_the_database_is_full():
    with Cluster(fsync=False) as cluster:
        url = cluster.database()
        with postgres_disk.small_disk(cluster) as disk:
            if disk is None:
                pytest.skip("nothing may be mounted here")
            with anyio.fail_after(HANGS_S):
                seen = await postgres_disk.fail_and_go_on(url, disk, times=1)

    assert seen.findings == []
    assert seen.recording.retried
