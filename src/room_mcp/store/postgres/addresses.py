"""The address of a database, as `--store` and ROOM_MCP_STORE name it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from room_mcp.store_address import scheme_of, shown

from ..interface import StoreUnavailable

LENT = 10  # connections of the pool, unless the address says otherwise
MAX_LENT = 1_000
MAX_PORT = 65_535
LIMIT_OF_LENT = "connection_limit"  # in the address, as other tools call it


class Address(NamedTuple):
    """Where the database is: `urls` for asyncpg, one for each host, `shown` without what is
    secret."""

    urls: tuple[str, ...]
    shown: str
    lent: int


def address_in(url: str) -> Address:
    """The parts of `postgresql://…`.

    Raises:
        StoreUnavailable: It is none.
    """
    if scheme_of(url) not in ("postgresql", "postgres"):
        raise _no_address("it begins otherwise")
    try:
        parts = urlsplit(url)
    except ValueError:  # which would tell the login
        raise _no_address("its host is none") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=False))
    limit = query.pop(LIMIT_OF_LENT, str(LENT))
    lent = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else 0
    if not 2 <= lent <= MAX_LENT:
        raise _no_address(f"{LIMIT_OF_LENT} is 2 to {MAX_LENT:,}")
    if _is_cut_in_login(parts):
        raise _no_address("in a login write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25")
    user, at, hosts = parts.netloc.rpartition("@")
    if not all(map(_has_right_port, hosts.split(","))):
        raise _no_address("a port is 1 to 65,535")
    urls = (
        urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=urlencode(query)))
        for host in hosts.split(",")
    )
    return Address(tuple(urls), shown(url), lent)


def _has_right_port(host: str) -> bool:
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= MAX_PORT)


_WITH_ANY_VALUE = ("user", "password", "passfile", "sslpassword", "application_name")


def _is_cut_in_login(parts: SplitResult) -> bool:
    """Whether a password holds what ends a host, so that a piece of it would be taken for one."""
    options = [one.partition("=") for one in parts.query.split("&")]
    # The rest of a password looks like an option of no name that is known.
    unknown = [f"{name}{value}" for name, _, value in options if name not in _WITH_ANY_VALUE]
    return any("@" in part for part in (parts.path, parts.fragment, *unknown))


def _no_address(why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The address of the database cannot be read: {why}.",
        advice="Write postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    )
