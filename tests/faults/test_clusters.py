"""The PostgreSQL servers that tests start: what they keep, whom they let in, and that they go."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from faults.clusters import Cluster, why_no_cluster
from faults.databases import name_in, run_sql
from faults.postgres_binaries import installed_system_binaries

pytestmark = pytest.mark.skipif(bool(why_no_cluster()), reason=why_no_cluster() or "")

HANGS_S = 120  # far beyond what it takes, also on a busy machine

STARTS_ONE = """
import time
from faults.clusters import Cluster
cluster = Cluster(fsync=False)
cluster.start()
print(cluster.folder, *cluster.pids(), flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(fsync=False) as cluster:
        yield cluster


def processes(cluster: Cluster) -> list[psutil.Process]:
    return running(cluster.pids())


def running(pids: Iterable[int]) -> list[psutil.Process]:
    """Those that have not ended by themselves meanwhile, as some of a server do."""
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def left_of(ended: list[psutil.Process]) -> list[psutil.Process]:
    """Those that do not end; whoever is killed is gone a moment later."""
    return psutil.wait_procs(ended, timeout=HANGS_S)[1]


def asked(cluster: Cluster, url: str, statement: str = "SELECT 1") -> str:
    return run_sql(url, statement, cluster.binaries / "psql")


def test_a_killed_server_recovers_what_was_committed():
    with Cluster() as cluster:
        url = cluster.database()
        asked(cluster, url, "CREATE TABLE kept AS SELECT 1 AS no")
        before = processes(cluster)

        cluster.kill()
        left = left_of(before)
        cluster.start()

        assert left == []
        assert asked(cluster, url, "SELECT no FROM kept") == "1"
        assert "database system was not properly shut down" in cluster.log.read_text()


def test_a_promoted_standby_holds_what_was_acknowledged():
    waiting = {"synchronous_standby_names": "second"}
    with Cluster(settings=waiting) as primary, primary.standby("second") as standby:
        url = primary.database()
        asked(primary, url, "CREATE TABLE kept AS SELECT 1 AS no")
        synced = primary.sql("SELECT application_name, sync_state FROM pg_stat_replication")

        primary.kill()
        standby.promote()

        assert synced == "second|sync"
        again = standby.url(name_in(url))
        assert asked(standby, again, "INSERT INTO kept VALUES (2) RETURNING no") == "2"
        assert asked(standby, again, "SELECT count(*) FROM kept") == "2"


def test_a_stopped_server_has_nothing_to_recover():
    with Cluster(fsync=False) as cluster:
        before = processes(cluster)

        cluster.stop()
        left = left_of(before)
        cluster.start()

        assert left == []
        assert "not properly shut down" not in cluster.log.read_text()


def test_nothing_is_left_when_whoever_started_a_server_is_killed():
    started = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    folder, *pids = started.stdout.readline().split()
    started.stdout.close()
    servers = running(map(int, pids))
    keeper = servers[0].parent()
    assert keeper is not None

    started.send_signal(signal.SIGKILL)
    started.wait()

    assert left_of([keeper, *servers]) == []
    assert not Path(folder).exists()


def test_a_removed_server_leaves_nothing():
    with Cluster(fsync=False) as cluster:
        before = processes(cluster)

    assert left_of(before) == []
    assert not cluster.folder.exists()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing():
    cluster = Cluster(fsync=False, settings={"shared_buffers": "'a lot'"})

    with pytest.raises(RuntimeError, match=r'invalid value for parameter "shared_buffers"'):
        cluster.start()

    assert not cluster.folder.exists()


@pytest.mark.parametrize("user", ["room", "postgres"])
def test_nobody_is_let_in_without_the_password(cluster: Cluster, user: str):
    right = cluster.url(user=user)
    password = right.split(":")[2].split("@")[0]

    with pytest.raises(RuntimeError, match="password authentication failed"):
        asked(cluster, right.replace(password, "another"))

    assert asked(cluster, right) == "1"


def test_the_user_of_the_stores_owns_its_databases_and_no_more(cluster: Cluster):
    url = cluster.database()

    asked(cluster, url, "CREATE TABLE own (no int)")
    with pytest.raises(RuntimeError, match="permission denied"):
        asked(cluster, url, "CREATE DATABASE more")


def test_a_new_database_can_be_a_copy_and_goes_when_it_is_dropped(cluster: Cluster):
    first = cluster.database()
    asked(cluster, first, "CREATE TABLE kept AS SELECT 1 AS no")

    copy = cluster.databases.create(like=first)
    seen = asked(cluster, copy, "SELECT no FROM kept")
    cluster.databases.drop(copy)

    assert seen == "1"
    with pytest.raises(RuntimeError, match="does not exist"):
        asked(cluster, copy)


def test_a_server_with_tls_is_told_by_its_certificate_and_speaks_nothing_else():
    binaries = installed_system_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL that speaks TLS: apt-get install postgresql")
    with Cluster(binaries=binaries, tls=True, fsync=False) as cluster:
        url = cluster.url()
        trusting = f"sslmode=verify-full&sslrootcert={quote(str(cluster.certificate))}"

        seen = asked(
            cluster,
            f"{url}?{trusting}",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )

        assert seen == "t"
        with pytest.raises(RuntimeError, match="no encryption"):
            asked(cluster, f"{url}?sslmode=disable")
