"""Whom a call counts for: a name that tells callers apart and gives no address away."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection

from room_mcp.rooms import skeleton

from .callers import Caller

SELF = "self"  # whoever runs this process
IPV6_PREFIX_BITS = 64  # what one household or server gets: all its addresses are one caller
SHOWN_HEX = 16  # 64 bits: enough that no two addresses of a server's callers meet


def subject_of(request: HTTPConnection, caller: Caller, secret: bytes) -> str:
    """`self`, `key:` and whom the server key stands for, or `addr:` and the hashed address.

    Args:
        secret: The store's: without it nobody can try all addresses until one fits.
    """
    if caller.trusted:
        return SELF
    if caller.key is not None:
        return f"key:{skeleton(caller.key.name)}"
    return f"addr:{_hashed(request.client.host if request.client else '', secret)}"


@lru_cache(maxsize=4_096)
def _hashed(host: str, secret: bytes) -> str:
    return hmac.new(secret, _network(host).encode(), hashlib.sha256).hexdigest()[:SHOWN_HEX]


def _network(host: str) -> str:
    """The address, or the part of it that tells callers apart."""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a Unix socket, or a name that a proxy made up
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    kept = int(address) >> (128 - IPV6_PREFIX_BITS)
    return f"{kept:x}/{IPV6_PREFIX_BITS}"
