"""How a store is called: which kind an address names, and how anybody may see it.

Knows no engine, so that also who must not know the stores can say where the rooms are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")  # two letters at least: C:// is a drive

IN_MEMORY = ("memory:", "memory://")
SQLITE = "sqlite"
_POSTGRES = ("postgres", "postgresql")


def scheme_of(target: str | Path) -> str:
    """What stands before ://, in small letters; empty for a path."""
    found = _SCHEME.match(str(target))
    return found[1].lower() if found else ""


def is_database(target: str | Path) -> bool:
    """Whether a store's address is that of a database, which any number of machines share."""
    return scheme_of(target) in _POSTGRES


def path_in(target: str | Path) -> Path | None:
    """The real path of an address that names a file: as it is, or in `sqlite:///rel/path` and
    `sqlite:////abs/path`, as SQLAlchemy reads them. None: it names none.

    Without links, as SQLite opens it: all who share the store find the same lock beside it.
    """
    address = str(target)
    scheme = scheme_of(address)
    if address in IN_MEMORY or scheme not in ("", SQLITE):
        return None
    if scheme == SQLITE:
        rest = address[len(f"{SQLITE}://") :]
        if not rest.startswith("/") or len(rest) == 1:
            return None
        address = unquote(rest[1:])
    return Path(os.path.realpath(Path(address).expanduser()))


def shown(target: str | Path) -> str:
    """Where a store is, as anybody may see it: a real path, or a database without its login.

    The same for all spellings of one file.
    """
    address = str(target)
    if is_database(address):
        return f"postgresql://{_behind_login(address)}"
    path = path_in(address)
    if path is not None:
        return str(path)
    return address if address in IN_MEMORY else f"{scheme_of(address)}://…"


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
