"""Who asks: what a request shows about its caller, and nothing that it merely claims."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import MutableMapping
from typing import Any, Literal

from starlette.requests import HTTPConnection

from room_mcp.rooms import Proof

TRUSTED = "room_mcp.trusted"  # a key of the ASGI scope that no socket request can set
_KEY_PREFIX = "rk_"


def trust(scope: MutableMapping[str, Any]) -> None:
    """Mark a request as made by the owner of the store; for requests of this process only."""
    scope[TRUSTED] = True


def new_key() -> str:
    """A key of 256 random bits, with a prefix that scanners for leaked secrets can find."""
    return _KEY_PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """SHA-256, hexadecimal: enough for a key of 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def proof_of(request: HTTPConnection, key_in_body: str | None = None) -> Proof:
    """What the caller has shown: trust by the glue, or a member's or owner's key.

    The key is the one in the body, else the `Room-Key` header.
    """
    return _proof(request, key_in_body or request.headers.get("room-key"))


def owner_proof_of(request: HTTPConnection, key_in_body: str | None = None) -> Proof:
    """As `proof_of`, for the owner's calls, which also take the key as a bearer token.

    Clients of the origin send the token of their account there, which is none of ours.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    return _proof(request, key_in_body or request.headers.get("room-key"), bearer)


def _proof(request: HTTPConnection, key: str | None, bearer: str | None = None) -> Proof:
    return Proof(
        key_hash=key_hash(key) if key else None,
        trusted=bool(request.scope.get(TRUSTED)),
        bearer_hash=key_hash(bearer) if bearer else None,
    )


def sender_type(claimed: str | None, proof: Proof) -> Literal["agent", "human"]:
    """A claim to be a person counts only from a trusted caller; everybody else is an agent."""
    return "human" if claimed == "human" and proof.trusted else "agent"
