"""Finds the engine for a store's address."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from room_mcp.store_address import IN_MEMORY, SQLITE, is_database, path_in, scheme_of

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
    if scheme_of(address) not in ("", SQLITE):
        raise StoreUnavailable(
            f"No store is known for addresses that begin with {scheme_of(address)}://.",
            advice="Name a file: a path, sqlite:///path/to/rooms.db, or a database: "
            "postgresql://USER@HOST/DATABASE",
        )
    # Late: apsw is a library to load, and other engines do without it.
    from .sqlite import SqliteStore

    return SqliteStore(file_at(address))


def file_at(target: str | Path) -> Path:
    """The SQLite file at an address, for what is done to a file.

    Raises:
        StoreUnavailable: The store there is none.
    """
    address = str(target)
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
        f"A store at {scheme_of(address)}:// is no file of this machine.",
        advice="PostgreSQL has tools of its own for that: pg_dump, pg_restore, amcheck, VACUUM.",
    )


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
