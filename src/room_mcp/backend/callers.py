"""Who asks: what a request shows about its caller, and nothing that it merely claims."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import HTTPConnection

from room_mcp.rooms import Proof, skeleton
from room_mcp.rooms.refusals import NameNotYours
from room_mcp.store.callers import ServerKey

# Keys of the ASGI scope, which no socket request can set.
TRUSTED = "room_mcp.trusted"
KEY_ID = "room_mcp.key_id"  # of a server key that was verified before
CALLER = "room_mcp.caller"
REQUEST_ID = "room_mcp.request_id"

_KEY_PREFIX = "rk_"
SERVER_KEY_PREFIX = "rks_"
CODE_PREFIX = "rkc_"
SHOWN_KEY_CHARS = 12  # the prefix and 48 bits: enough to tell keys apart, far from enough to use


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever made a request.

    `key` is the server key that he showed; a `stranger` has none where one is wanted.
    """

    trusted: bool = False
    key: ServerKey | None = None
    stranger: bool = False

    def may_be(self, name: str) -> bool:
        """Whether his key lets him speak under that name; without one, the rooms decide."""
        if self.key is None:
            return True
        own, wanted = skeleton(self.key.name), skeleton(name)
        return wanted == own or wanted.startswith(f"{own}/")

    def must_be(self, name: str) -> None:
        """Raises NameNotYours."""
        if self.key is not None and not self.may_be(name):
            own = self.key.name
            raise NameNotYours(
                f"Your key stands for {own!r}: you may not speak as {name!r}.",
                advice=f"Speak as {own!r} or as '{own}/…', such as '{own}/claude'.",
                names=[own, f"{own}/…"],
            )


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

    The key is the one in the body, else the `Room-Key` header.
    """
    return _proof(request, key_in_body or request.headers.get("room-key"))


def owner_proof_of(request: HTTPConnection, key_in_body: str | None = None) -> Proof:
    """As `proof_of`, for the owner's calls, which also take the key as a bearer token.

    Clients of the origin send the token of their account there, which is none of ours.
    """
    return _proof(request, key_in_body or request.headers.get("room-key"), bearer_of(request))


def _proof(request: HTTPConnection, key: str | None, bearer: str | None = None) -> Proof:
    caller = caller_of(request)
    own = caller.key
    return Proof(
        key_hash=key_hash(key) if key else None,
        trusted=caller.trusted,
        bearer_hash=key_hash(bearer) if bearer else None,
        principal="" if own is None else skeleton(own.name),
        human=own is not None and own.kind == "human",
        admin=own is not None and own.admin,
        stranger=caller.stranger,
    )


def sender_type(claimed: str | None, proof: Proof) -> Literal["agent", "human"]:
    """A claim to be a person counts only with a key of a person, or from a trusted caller."""
    return "human" if claimed == "human" and proof.is_person else "agent"
