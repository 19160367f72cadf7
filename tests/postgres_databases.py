"""A new PostgreSQL database for each test that asks for one, on a server that all tests share.

The first that asks starts the server. ROOM_MCP_TEST_POSTGRES names another one to use instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import asyncpg

from faults.clusters import Cluster
from faults.databases import Databases, given_databases
from room_mcp.store.opening import open_store


class _Server:
    """What is made once and kept until the tests end."""

    cluster: Cluster | None = None
    databases: Databases | None = None
    free: ClassVar[list[str]] = []  # with tables, and whatever a test has left in them
    of_this_test: ClassVar[list[str]] = []
    dropped_after_test: ClassVar[list[str]] = []
    kept: ClassVar[list[str]] = []  # until the tests end


def new_database() -> str:
    """The URL of a database that has the tables of a store, and nothing in them.

    To empty one that another test has used takes a tenth of the time that a new one does.
    """
    url = _Server.free.pop() if _Server.free else _made()
    empty(url)
    _Server.of_this_test.append(url)
    return url


def kept_database() -> str:
    """As `new_database`, for what several tests share: it stays until all tests have run."""
    url = _made()
    _Server.kept.append(url)
    return url


def empty_database() -> str:
    """The URL of a new database without any table; it goes when the test ends."""
    url = _databases().create()
    _Server.dropped_after_test.append(url)
    return url


def empty(url: str) -> None:
    """Remove all that is in the tables of a database."""
    _wait_for(_emptied(url))


def copy_of(url: str) -> str:
    """The URL of a copy of a database that nobody has open; it goes when the test ends."""
    copy = _databases().create(like=url)
    _Server.dropped_after_test.append(copy)
    return copy


def put_back(copy: str, url: str) -> None:
    """Let a copy take the place of a database, whoever has that open: so one is restored."""
    _databases().put_back(copy, url)


def drop_databases() -> None:
    """Let go of those of the test that ends."""
    _Server.free += _Server.of_this_test
    _Server.of_this_test.clear()
    while _Server.dropped_after_test:
        _databases().drop(_Server.dropped_after_test.pop())


def end() -> None:
    """All tests have run."""
    if _Server.cluster is not None:
        _Server.cluster.remove()
    elif _Server.databases is not None:
        for url in (*_Server.free, *_Server.kept):
            _Server.databases.drop(url)


def _databases() -> Databases:
    if _Server.databases is None:
        _Server.databases = given_databases() or _own_databases()
    return _Server.databases


def _own_databases() -> Databases:
    _Server.cluster = Cluster(fsync=False).__enter__()  # no test of these cuts the power
    return _Server.cluster.databases


def _made() -> str:
    url = _databases().create()
    _wait_for(_open_once(url))
    return url


def _wait_for(doing: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as beside_the_loop_of_a_test:
        beside_the_loop_of_a_test.submit(asyncio.run, doing).result()


_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND backend_type = 'client backend';
ALTER TABLE audit DISABLE TRIGGER audit_stays;
DELETE FROM rooms; DELETE FROM messages; DELETE FROM keys; DELETE FROM features;
DELETE FROM memories; DELETE FROM contracts; DELETE FROM members; DELETE FROM readings;
DELETE FROM server_keys; DELETE FROM invitations; DELETE FROM rates; DELETE FROM slots;
DELETE FROM audit;
ALTER TABLE audit ENABLE TRIGGER audit_stays;
UPDATE counters SET no = 0, link = '';
DELETE FROM meta WHERE name NOT IN ('epoch', 'secret', 'schema', 'expanded');
UPDATE meta SET value = substr(md5(random()::text), 1, 8) WHERE name = 'epoch';
UPDATE meta SET value = md5(random()::text) || md5(random()::text) WHERE name = 'secret';
"""


async def _emptied(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_EMPTY)
    await connection.close()


async def _open_once(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.aclose()
