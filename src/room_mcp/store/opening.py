"""Finds the engine for a store's address."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from .interface import Store, StoreUnavailable

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")  # two letters at least: C:// is a drive

_IN_MEMORY = ("memory:", "memory://")
_POSTGRES = ("postgres", "postgresql")


def open_store(target: str | Path) -> Store:
    """The store at a path, `sqlite:///path` or `postgresql://…`; nothing is touched before its
    `open`.

    `memory:` is a new store in this process' memory, for trying things out: it is gone with the
    process, and nobody else can reach it.

    Raises:
        StoreUnavailable: No engine of this version knows such an address.
    """
    address = str(target)
    if address in _IN_MEMORY:
        from .memory import MemoryStore

        return MemoryStore()
    scheme = _SCHEME.match(address)
    if scheme is None:
        return _sqlite(Path(address))
    kind = scheme[1].lower()
    if kind == "sqlite":
        return _sqlite(_path_in(address))
    if kind in _POSTGRES:
        return _postgres(address)
    raise StoreUnavailable(
        f"No store is known for addresses that begin with {kind}://.",
        advice="Name a file: a path, sqlite:///path/to/rooms.db, or a database: "
        "postgresql://USER@HOST/DATABASE",
    )


def file_at(target: str | Path) -> Path:
    """The SQLite file at an address, for what is done to a file.

    Raises:
        StoreUnavailable: The store there is none.
    """
    address = str(target)
    scheme = _SCHEME.match(address)
    if address in _IN_MEMORY:
        raise StoreUnavailable("A store in memory has no file.", advice="Name a file: --store.")
    if scheme is None:
        return _real(Path(address))
    if scheme[1].lower() == "sqlite":
        return _real(_path_in(address))
    raise StoreUnavailable(
        f"A store at {scheme[1].lower()}:// is no file of this machine.",
        advice="PostgreSQL has tools of its own for that: pg_dump, pg_restore, amcheck, VACUUM.",
    )


def is_database(target: str | Path) -> bool:
    """Whether a store's address is that of a database, which any number of machines share."""
    scheme = _SCHEME.match(str(target))
    return scheme is not None and scheme[1].lower() in _POSTGRES


def shown(target: str | Path) -> str:
    """Where a store is, as anybody may see it: a real path, or a database without its login.

    The same for all spellings of one file.
    """
    address = str(target)
    if is_database(address):
        return f"postgresql://{_behind_login(address)}"
    scheme = _SCHEME.match(address)
    if address in _IN_MEMORY:
        return address
    if scheme is None:
        return str(_real(Path(address)))
    return str(file_at(address)) if scheme[1].lower() == "sqlite" else f"{scheme[1]}://…"


def holds_password(target: str | Path) -> bool:
    """Whether a password stands in the address of a database."""
    if not is_database(target):
        return False
    rest = str(target).partition("://")[2]
    login = rest.rpartition("@")[0]
    return ":" in login.partition("@")[0] or "password=" in rest.lower()


def _behind_login(address: str) -> str:
    """Hosts and name. Also of an address that is spelt wrongly: a password may hold anything."""
    place, _, options = address.partition("://")[2].partition("?")
    if "@" in options and "@" not in place:
        return "…"  # nobody can tell where the login ends
    return place.rpartition("@")[2].partition("#")[0]


def _path_in(address: str) -> Path:
    """`sqlite:///rel/path` and `sqlite:////abs/path`, as SQLAlchemy reads them."""
    rest = address[len("sqlite://") :]
    if not rest.startswith("/") or len(rest) == 1:
        raise StoreUnavailable(
            "The address names no file.", advice="Write sqlite:///path/to/rooms.db"
        )
    return Path(unquote(rest[1:]))


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


def _sqlite(path: Path) -> Store:
    # Late: apsw is a library to load, and other engines do without it.
    from .sqlite import SqliteStore

    return SqliteStore(_real(path))


def _real(path: Path) -> Path:
    """Without links, as SQLite opens it: all who share the store find the same lock beside it."""
    return Path(os.path.realpath(path.expanduser()))
