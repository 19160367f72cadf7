"""How a store is called: which kind an address names, and how anybody may see it.

Knows no engine, so that also who must not know the stores can say where the rooms are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")  # two letters at least: C:// is a drive
# However it is spelt: no path that anybody means begins so.
_LIKE_SCHEME = re.compile(r"[\s\"'<]*([A-Za-z][A-Za-z0-9+.\-]+:/{1,2})")

IN_MEMORY = ("memory:", "memory://")
ADVICE = (
    "Name a file: a path, sqlite:///path/to/rooms.db, or a database: "
    "postgresql://USER@HOST/DATABASE"
)
SQLITE = "sqlite"
POSTGRES_PORT = 5432  # where an address names none
# However it is spelt: taken for the path of a file, all of it would be shown.
_POSTGRES = re.compile(r"[\s\"'<]*postgres(?:ql)?:", re.IGNORECASE)

_USER = re.compile(r"[\w.~%$+ -]+")
_HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.~%-]*)(?::\d{1,5})?"
_PLACE = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[\w.~%$+ -]*)?")


def scheme_of(target: str | Path) -> str:
    """What stands before ://, in small letters; empty for a path."""
    found = _SCHEME.match(str(target))
    return found[1].lower() if found else ""


def unknown(target: str | Path) -> str:
    """What to say of an address that no engine knows; empty when one does.

    Shows nothing behind the scheme: it is perhaps a database's, spelt wrongly, with its password.
    """
    address = str(target)
    if is_database(address) or address in IN_MEMORY or scheme_of(address) == SQLITE:
        return ""
    found = _LIKE_SCHEME.match(address)
    if found is None:
        return ""
    return f"No store is known for addresses that begin with {found[1].lower()}…"


def is_database(target: str | Path) -> bool:
    """Whether a store's address is that of a database, which any number of machines share."""
    return _POSTGRES.match(str(target)) is not None


def path_in(target: str | Path) -> Path | None:
    """The real path of an address that names a file: as it is, or in `sqlite:///rel/path` and
    `sqlite:////abs/path`, as SQLAlchemy reads them. None: it names none.

    Without links, as SQLite opens it: all who share the store find the same lock beside it.
    """
    address = str(target)
    scheme = scheme_of(address)
    if address in IN_MEMORY or is_database(address) or unknown(address):
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
        return f"postgresql://{_place_in(address) or '…'}"
    path = path_in(address)
    if path is not None:
        return str(path)
    if address in IN_MEMORY:
        return address
    found = _LIKE_SCHEME.match(address)
    return f"{found[1].lower() if found else ''}…"


def named(target: str | Path) -> str:
    """As `shown`, with the user of a database: whoever adds the password can go there."""
    place = shown(target)
    if not is_database(target) or place.endswith("…"):
        return place
    login = str(target).partition("://")[2].partition("?")[0].rpartition("@")[0]
    user = login.partition(":")[0]
    return place.replace("://", f"://{user}@", 1) if _USER.fullmatch(user) else place


def places(target: str | Path) -> tuple[str, ...]:
    """The same database by each of its hosts: with port, name and schema, however an address says
    them, and without its login."""
    try:
        parts = urlsplit(str(target))
    except ValueError:
        return (shown(target),)  # nobody can open it
    options = dict(parse_qsl(parts.query))
    hosts = parts.netloc.rpartition("@")[2] or options.get("host", "")
    port = options.get("port", str(POSTGRES_PORT))
    name = unquote(parts.path[1:]) or options.get("dbname") or options.get("database", "")
    schema = options.get("search_path", "")
    return tuple(
        f"postgresql://{_with_port(host.lower(), port)}/{name}?search_path={schema}"
        for host in hosts.split(",")
    )


def _with_port(host: str, port: str) -> str:
    has_port = ":" in host.rpartition("]")[2]
    return host if has_port else f"{host}:{port}"


def holds_password(target: str | Path) -> bool:
    """Whether a password stands in the address of a database."""
    if not is_database(target):
        return False
    rest = str(target).partition(":")[2]
    login = rest.rpartition("@")[0]
    return ":" in login.partition("@")[0] or "password=" in rest.lower()


def _place_in(address: str) -> str:
    """Hosts and name; empty where nobody can tell where the login ends: an address may be spelt
    wrongly, and a password may hold anything."""
    login_and_place, _, options = address.partition("://")[2].partition("?")
    place = login_and_place.rpartition("@")[2].partition("#")[0]
    return place if "@" not in options and _PLACE.fullmatch(place) else ""
