"""Who comes in: every request passes here before its handler runs, and again after it waited."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import HTTPConnection, Request

from room_mcp.store.callers import ServerKey
from room_mcp.store.interface import Store

from . import observing
from .callers import (
    CALLER,
    KEY_ID,
    SERVER_KEY_PREFIX,
    TRUSTED,
    Caller,
    bearer_of,
    caller_of,
    key_hash,
    key_id,
)
from .errors import HttpProblem, outward
from .limiting import Limiter

NOTE_USE_AFTER = timedelta(minutes=1)  # more often would be a write for each request


@dataclass(frozen=True, slots=True)
class Door:
    """Whom a server lets in.

    Args:
        requires_key: Whether a server key is needed.
        has_demo: Whether demo rooms may be made and used without a key all the same.
        lists_rooms: Whether the directory shows rooms that were opened without saying so; by
            default where no key is needed.
    """

    requires_key: bool = False
    has_demo: bool = False
    lists_rooms: bool = True


OPEN_DOOR = Door()


@dataclass(frozen=True, slots=True)
class Gate:
    """Finds out who calls, and refuses whoever may not."""

    store: Store
    clock: Callable[[], datetime]
    door: Door = OPEN_DOOR
    limiter: Limiter | None = None

    async def admit(self, request: Request, *, public: bool, demo: bool) -> None:
        """Note who calls in the request's scope, for its handler.

        Args:
            public: The call needs no key on any server.
            demo: Nor does it for demo rooms, where there are such.

        Raises:
            HttpProblem: The key is none of this server's, or is missing.
        """
        caller = await self.caller(request)
        if caller.stranger and not public and not (demo and self.door.has_demo):
            raise key_required()
        request.scope[CALLER] = caller
        if caller.key is not None:
            observing.note(key_id=caller.key.id)

    async def caller(self, request: HTTPConnection) -> Caller:
        """Whoever made the request; raises HttpProblem for a key that lets nobody in, and soon
        for more than that when there are many such."""
        if request.scope.get(TRUSTED):
            return Caller(trusted=True)
        shown = bearer_of(request)
        if known := request.scope.get(KEY_ID):
            key = self._valid(await self.store.server_key(known))
        elif shown is not None and shown.startswith(SERVER_KEY_PREFIX):
            key = await self.key(shown)
        else:
            return Caller(stranger=self.door.requires_key)
        if key is None:
            await self.knock(request)
            raise HttpProblem(
                "key_invalid",
                "The key lets nobody in: it is wrong, revoked, or its time is over.",
                "Ask whoever runs the server for another one.",
            )
        return Caller(key=key)

    async def knock(self, request: HTTPConnection) -> None:
        """Count a wrong key against where it came from; raises HttpProblem after too many."""
        if self.limiter is not None:
            await self.limiter.knock(request)

    async def key(self, shown: str) -> ServerKey | None:
        """The server key that was shown; None when it lets nobody in."""
        kept = await self.store.server_key(key_id(shown))
        # Compared also where there is none, so that the time tells nothing about ids.
        wanted = kept.hash if kept is not None else key_hash("")
        fits = hmac.compare_digest(key_hash(shown), wanted)
        return self._valid(kept) if fits else None

    def _valid(self, key: ServerKey | None) -> ServerKey | None:
        now = self.clock()
        if key is None or not key.is_valid(now):
            return None
        if key.used_at is None or now - key.used_at >= NOTE_USE_AFTER:
            self.store.key_used(key.id, now)
        return key

    def told(self, error: Exception, request: HTTPConnection, request_id: str) -> Exception:
        """What went wrong, as the caller may know it on a server that others come to."""
        caller = caller_of(request)
        runs_it = caller.trusted or (caller.key is not None and caller.key.admin)
        return error if runs_it or not self.door.requires_key else outward(error, request_id)

    async def admit_again(self, request: HTTPConnection) -> None:
        """After a wait: raises HttpProblem when the key was revoked meanwhile."""
        if caller_of(request).key is not None:
            await self.caller(request)


def key_required() -> HttpProblem:
    """The refusal of a caller who shows no key where one is needed."""
    return HttpProblem(
        "key_required",
        "This server wants a key.",
        "Send the header Authorization: Bearer KEY; whoever runs the server makes one "
        "with `room-mcp keys create NAME`, or `room-mcp invite`.",
    )
