"""A database for each test, and two nodes that all tests share which leave them running."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from machines import WANTS_KEYS, Pair, an_admin, start_nodes
from postgres_databases import kept_database, new_database

_numbers = itertools.count(1)


@pytest.fixture
def database() -> str:
    return new_database()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    store = kept_database()
    admin = asyncio.run(an_admin(store))
    nodes = start_nodes(store, tmp_path_factory.mktemp("nodes"), WANTS_KEYS)
    yield Pair(*nodes, admin)
    for one in nodes:
        one.terminate()
    for one in nodes:
        one.close()


@pytest.fixture
def room() -> str:
    """A room's name that no other test uses."""
    return f"room-{next(_numbers)}"
