"""How fast `Store.act` is on PostgreSQL, beside a bare driver that runs the same statements.

    python -m bench.postgres_act [--seconds 3] [--rounds 3] [--pinned] [--url URL]

One hot room with 64 callers in one node, and in each of two. The server is one of its own, unless
a URL is given. With --pinned the server has the first core and the nodes the others. Trust the
ratios of one run, not the figures. `bench.posters` says who runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.clusters import Cluster
from faults.databases import Databases, given_databases

from . import machine
from .posters import make_room, run

KINDS = ("store", "bare-postgres", "guarded")
BARE = "bare-postgres"
NODES = (1, 2)
CALLERS = 64
# As a server is set up that writes much: else the first runs make its log's files.
SETTINGS = {"shared_buffers": "512MB", "min_wal_size": "1GB", "max_wal_size": "4GB"}


def measured(
    databases: Databases, seconds: float, rounds: int, cores: set[int]
) -> dict[tuple[str, int], list[list[dict]]]:
    """What the processes of each round told, by contestant and number of nodes."""
    found: dict[tuple[str, int], list[list[dict]]] = {}
    for _ in range(rounds):
        for nodes in NODES:
            for kind in KINDS:
                url = databases.create()
                asyncio.run(make_room(url))
                results = run(
                    kind, url, processes=nodes, callers=CALLERS, seconds=seconds, cores=cores
                )
                found.setdefault((kind, nodes), []).append(results)
                databases.drop(url)
    return found


def tell(found: dict[tuple[str, int], list[list[dict]]], seconds: float) -> None:
    for nodes in NODES:
        print(f"\n{nodes} nodes x {CALLERS} callers, one room")
        rates = {kind: _rates(found[kind, nodes], seconds) for kind in KINDS}
        bare = statistics.median(rates[BARE])
        for kind in KINDS:
            rate = statistics.median(rates[kind])
            waits = sorted(
                w for results in found[kind, nodes] for one in results for w in one["waits"]
            )
            shares = [
                min(one["posts"] for one in results)
                / statistics.mean(one["posts"] for one in results)
                for results in found[kind, nodes]
            ]
            print(
                f"  {kind:14} {rate:8,.0f}/s  {rate / bare:5.0%} of bare   "
                f"slowest node {min(shares):.2f} of the mean   "
                f"p50 {waits[len(waits) // 2] * 1e3:5.1f} ms  "
                f"p99 {waits[len(waits) * 99 // 100] * 1e3:6.1f} ms"
            )
    errors = [
        e for all_ in found.values() for results in all_ for one in results for e in one["errors"]
    ]
    if errors:
        print(f"  {len(errors)} errors, such as {errors[0]}")


def _rates(rounds: list[list[dict]], seconds: float) -> list[float]:
    return [sum(one["posts"] for one in results) / seconds for results in rounds]


@contextmanager
def server(pinned: bool) -> Iterator[tuple[Databases, set[int]]]:
    """Where databases are, and the cores of the nodes."""
    cores = os.sched_getaffinity(0)
    given = given_databases()
    if given is not None:
        yield given, cores
        return
    with Cluster(settings=SETTINGS) as cluster:
        if pinned and len(cores) > 1:
            first, *others = sorted(cores)
            for pid in cluster.pids():
                os.sched_setaffinity(pid, {first})
            print(f"cores: server {first}, nodes {others}")
            cores = set(others)
        else:
            print(f"cores: all have all of {sorted(cores)}")
        yield cluster.databases, cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pinned", action="store_true")
    args = parser.parse_args()
    print(machine.describe(Path(tempfile.gettempdir())))
    with server(args.pinned) as (databases, cores):
        tell(measured(databases, args.seconds, args.rounds, cores), args.seconds)


if __name__ == "__main__":
    main()
