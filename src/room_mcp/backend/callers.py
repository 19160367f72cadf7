"""Who asks: what a request shows about its caller, and nothing that it merely claims."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import HTTPConnection

from room_mcp import wire
from room_mcp.rooms import Proof, skeleton
from room_mcp.store.callers import ServerKey

# Keys of the ASGI scope, which no socket request can set.
TRUSTED = "room_mcp.trusted"
KEY_ID = "room_mcp.key_id"  # of a server key that was verified before
CALLER = "room_mcp.caller"
REQUEST_ID = "room_mcp.request_id"
VIA = "room_mcp.via"  # the id of the request of MCP that this one is made for

_KEY_PREFIX = "rk_"
SERVER_KEY_PREFIX = "rks_"
CODE_PREFIX = "rkc_"
MAX_ROOM_KEYS = wire.MAX_UPDATE_ROOMS  # in one header, for requests about many rooms
SHOWN_KEY_CHARS = 12  # the prefix and 48 bits: enough to tell keys apart, far from enough to use


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a request.

    `key` is the server key that he showed; a `stranger` has none where one is wanted.
    """

    trusted: bool = False
    key: ServerKey | None = None
    stranger: bool = False


ANYBODY = Caller()


def trust(scope: MutableMapping[str, Any]) -> None:
    """Mark a request as made by the owner of the store; for requests of this process only."""
    scope[TRUSTED] = True


def caller_of(request: HTTPConnection) -> Caller:
    """The caller, as the gate found him."""
    return request.scope.get(CALLER, ANYBODY)


def new_key(prefix: str = _KEY_PREFIX) -> str:
    """A key of 256 random bits, with a prefix that scanners for leaked secrets can find."""
    return prefix + secrets.token_urlsafe(32)


def key_id(key: str) -> str:
    """The part of a server key by which people know it; not secret."""
    return key[:SHOWN_KEY_CHARS]


def key_hash(key: str) -> str:
    """SHA-256, hexadecimal: enough for a key of 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def bearer_of(request: HTTPConnection) -> str | None:
    """The bearer token of a request; None without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def proof_of(request: HTTPConnection, key_in_body: str | None = None) -> Proof:
    """What the caller has shown: trust by the glue, a server key, or a member's or owner's key.

    The key is the one in the body, else the `Room-Key` header, which may hold several with commas
    in between.
    """
    return _proof(request, key_in_body or request.headers.get("room-key"))


def owner_proof_of(request: HTTPConnection, key_in_body: str | None = None) -> Proof:
    """As `proof_of`, for the owner's calls, which also take the key as a bearer token.

    Clients of the origin send the token of their account there, which is none of ours. Beside an
    owner key in the body, the header may hold the key of the member who acts.
    """
    in_header = request.headers.get("room-key")
    spare = in_header if key_in_body and in_header else bearer_of(request)
    return _proof(request, key_in_body or in_header, spare)


def _proof(request: HTTPConnection, key: str | None, spare: str | None = None) -> Proof:
    caller = caller_of(request)
    own = caller.key
    first, *more = [one.strip() for one in (key or "").split(",", MAX_ROOM_KEYS)]
    return Proof(
        key_hash=key_hash(first) if first else None,
        more_hashes=frozenset(key_hash(one) for one in more[:MAX_ROOM_KEYS]),
        trusted=caller.trusted,
        spare_hash=key_hash(spare) if spare else None,
        principal="" if own is None else skeleton(own.name),
        human=own is not None and own.kind == "human",
        admin=own is not None and own.admin,
        stranger=caller.stranger,
    )


def sender_type(claimed: str | None, proof: Proof) -> Literal["agent", "human"]:
    """A claim to be a person counts only with a key of a person, or from a trusted caller."""
    return "human" if claimed == "human" and proof.is_person else "agent"
