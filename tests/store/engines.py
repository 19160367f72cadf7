"""The engines that the contract is held against, each with a place of its own.

A module that says `ENGINES = ALL` runs once with each; the others are about SQLite's own affairs.
A new engine is one more class here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar, cast

from postgres_databases import new_database

from room_mcp.store.interface import Store
from room_mcp.store.memory import MemoryStore
from room_mcp.store.memory.place import Place
from room_mcp.store.opening import open_store

Test = TypeVar("Test", bound=Callable[..., Any])


class Memory:
    """The model: as simple as can be."""

    scan_limit = "room_mcp.store.memory.reading.MAX_SCANNED"

    def __init__(self, folder: Path) -> None:
        self._place = Place()

    def store(self) -> Store:
        """One more store on the same place, as another process would have it; not open yet."""
        return MemoryStore(self._place)


class Sqlite:
    """One process on a file; `address` is how other processes reach it."""

    scan_limit = "room_mcp.store.sqlite.queries.MAX_SCANNED"

    def __init__(self, folder: Path) -> None:
        self.address = folder / "rooms.db"

    def store(self) -> Store:
        return open_store(self.address)


class SharedSqlite(Sqlite):
    """Two processes on a file, in turn: what the one does, the other must know."""

    def store(self) -> Store:
        return cast(Store, InTurn(open_store(self.address), open_store(self.address)))


class PollingSqlite(Sqlite):
    """Two stores that hear of each other by looking again and again, as where there is no inotify;
    the tests of watching see to that."""


class Postgres:
    """One node on a database of its own; `address` is how other nodes and processes reach it."""

    scan_limit = "room_mcp.store.postgres.queries.MAX_SCANNED"

    def __init__(self, folder: Path) -> None:
        self.address = new_database()

    def store(self) -> Store:
        return open_store(self.address)


class SharedPostgres(Postgres):
    """Two nodes on a database, in turn: what the one does, the other must know."""

    def store(self) -> Store:
        return cast(Store, InTurn(open_store(self.address), open_store(self.address)))


class InTurn:
    """A `Store` that asks one store after the other. What is told in passing goes to the one that
    is asked next: only that one has to know it at once."""

    IN_PASSING = ("mark_read", "note_refusal", "give_slots_back", "key_used", "secret", "epoch")

    def __init__(self, *stores: Store) -> None:
        self._stores = stores
        self._others: Iterator[Store] = cycle(stores)
        self._next = next(self._others)

    async def open(self) -> None:
        for store in self._stores:
            await store.open()

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()

    def __getattr__(self, name: str) -> Any:
        asked = self._next
        if name not in self.IN_PASSING:
            self._next = next(self._others)
        return getattr(asked, name)


Engine = Memory | Sqlite | Postgres

BY_NAME: dict[str, type[Memory] | type[Sqlite] | type[Postgres]] = {
    "memory": Memory,
    "sqlite": Sqlite,
    "sqlite-shared": SharedSqlite,
    "sqlite-polling": PollingSqlite,
    "postgres": Postgres,
    "postgres-shared": SharedPostgres,
}
ALL = ("memory", "sqlite", "sqlite-shared", "postgres", "postgres-shared")
ONE_PROCESS = ("memory", "sqlite", "postgres")  # where calls of one caller keep their order
WITH_PROCESSES = ("sqlite",)  # that several processes of this machine can open by an address


def only(*names: str) -> Callable[[Test], Test]:
    """Run this test with these engines, whatever its module says."""

    def chosen(test: Test) -> Test:
        vars(test)["engines"] = names
        return test

    return chosen


def engines_for(test: Any, module: Any) -> tuple[str, ...]:
    return vars(test).get("engines") or vars(module).get("ENGINES") or ("sqlite",)
