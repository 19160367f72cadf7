"""Finds the engine for a store's address."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from room_mcp.store_address import (
    ADVICE,
    IN_MEMORY,
    SQLITE,
    is_database,
    path_in,
    scheme_of,
    shown,
    unknown,
)

from .interface import Store, StoreUnavailable


def open_store(target: str | Path) -> Store:
    """The store at a path, `sqlite:///path` or `postgresql://…`; nothing is touched before its
    `open`.

    `memory:` is a new store in this process' memory, for trying things out: it is gone with the
    process, and nobody else can reach it.

    Raises:
        StoreUnavailable: No engine of this version knows such an address.
    """
    address = str(target)
    if address in IN_MEMORY:
        from .memory import MemoryStore

        return MemoryStore()
    if is_database(address):
        return _postgres(address)
    _must_be_known(address)
    # Late: apsw is a library to load, and other engines do without it.
    from .sqlite import SqliteStore

    return SqliteStore(file_at(address))


def file_at(target: str | Path) -> Path:
    """The SQLite file at an address, for what is done to a file.

    Raises:
        StoreUnavailable: The store there is none.
    """
    address = str(target)
    _must_be_known(address)
    if address in IN_MEMORY:
        raise StoreUnavailable("A store in memory has no file.", advice="Name a file: --store.")
    path = path_in(address)
    if path is not None:
        return path
    if scheme_of(address) == SQLITE:
        raise StoreUnavailable(
            "The address names no file.", advice="Write sqlite:///path/to/rooms.db"
        )
    raise StoreUnavailable(
        f"A store at {shown(address)} is no file of this machine.",
        advice="PostgreSQL has tools of its own for that: pg_dump, pg_restore, amcheck, VACUUM.",
    )


def _must_be_known(address: str) -> None:
    if told := unknown(address):
        raise StoreUnavailable(told, advice=ADVICE)


def _postgres(address: str) -> Store:
    with asyncpg_wanted():
        from .postgres import PostgresStore
    return PostgresStore(address)


@contextmanager
def asyncpg_wanted() -> Generator[None]:
    """Around imports that need asyncpg. Raises StoreUnavailable when it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUnavailable(
            "A store in PostgreSQL needs asyncpg, which is not installed.",
            advice="Install it: pip install 'room-mcp[postgres]'",
        ) from None
