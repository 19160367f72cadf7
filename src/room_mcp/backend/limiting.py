"""What callers are refused for doing too much: how often, how many at once, how many rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from types import MappingProxyType
from typing import Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from room_mcp.settings import Settings
from room_mcp.store.interface import Store
from room_mcp.store.limiting import Quota, Rate

from .callers import ANYBODY, caller_of
from .connections import CONNECTION, Connection
from .errors import HttpProblem
from .rates import Rates
from .slots import Slot, Slots
from .subjects import subject_of

Cost = Literal["posts", "reads", "rooms", "knocks", "nothing"]

BURST_S = 5  # of posts and reads: so many seconds' worth may come at once
POSTS_PER_S = 20
READS_PER_S = 60
KEY_WAITS = 200  # one key may stand for all agents of a team
ADDRESS_WAITS = 30
KEY_CONNECTIONS = 1_000  # five for each wait: hosts open several at once
ADDRESS_CONNECTIONS = 256
KEY_ROOMS = 1_000
DEMO_ROOMS = 3
_A_FEW = Rate(10, timedelta(seconds=6))  # ten a minute: of what nobody needs more often
RETRY_WAITS_S = 5  # nobody knows when a wait ends; most end soon

_TOO_MANY: Mapping[Cost, tuple[str, str]] = MappingProxyType(
    {
        "posts": ("You send too much", "Send fewer messages, or several in one batch."),
        "reads": ("You ask too often", "Wait for what is new with wait=, instead of asking again."),
        "rooms": ("You open too many rooms", "Go on in a room that you have."),
        "knocks": ("Too many wrong keys or codes came from here", "Check the key."),
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may do: a server key, or without one an address.

    Args:
        rates: By kind; one that is missing has no limit.
        waits: How many waits and streams may be open at once; 0: any number.
        address_waits: The same for callers without a key.
        connections: How many connections may be open at once; 0: any number.
        address_connections: The same for callers without a key.
        rooms: How many rooms that have not ended a caller may have; 0: any number.
        demo_rooms: The same for callers without a key.
    """

    rates: Mapping[str, Rate] = field(default_factory=lambda: MappingProxyType({}))
    waits: int = 0
    address_waits: int = 0
    connections: int = 0
    address_connections: int = 0
    rooms: int = 0
    demo_rooms: int = 0

    @classmethod
    def of(cls, settings: Settings, *, requires_key: bool, has_demo: bool = False) -> Limits:
        """Those of a server: where no key is needed, only those that are set."""

        def number(set_to: int | None, usual: int) -> int:
            return set_to if set_to is not None else usual if requires_key else 0

        rates: dict[str, Rate] = {}
        for kind, per_s in (
            ("posts", number(settings.posts_per_s, POSTS_PER_S)),
            ("reads", number(settings.reads_per_s, READS_PER_S)),
        ):
            if per_s:
                rates[kind] = Rate(per_s * BURST_S, timedelta(seconds=1) / per_s)
        if requires_key:
            rates |= {"rooms": _A_FEW, "knocks": _A_FEW}
        waits, rooms = number(settings.waits, KEY_WAITS), number(settings.rooms, KEY_ROOMS)
        return cls(
            rates=MappingProxyType(rates),
            waits=waits,
            address_waits=min(waits, ADDRESS_WAITS) if requires_key else waits,
            connections=KEY_CONNECTIONS if requires_key else 0,
            address_connections=ADDRESS_CONNECTIONS if requires_key else 0,
            rooms=rooms,
            demo_rooms=DEMO_ROOMS if has_demo else rooms,
        )


NO_LIMITS = Limits()


class Limiter:
    """Holds the callers of one backend to its limits. A trusted caller has none."""

    def __init__(self, store: Store, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.limits = limits
        self._store = store
        self._rates = Rates(store, clock)
        self._waits = Slots(store, "waits", clock)
        self.connections = Slots(store, "connections", clock, keeps=True)

    def subject(self, request: HTTPConnection) -> str | None:
        """Whom a request counts for; None for a caller without limits."""
        caller = caller_of(request)
        return None if caller.trusted else subject_of(request, caller, self._store.secret)

    # ---- how often --------------------------------------------------------------------------

    async def charge(
        self, request: HTTPConnection, kind: Cost, count: int = 1, *, before: int = 0
    ) -> None:
        """Count what the caller does.

        Args:
            before: What the same request was charged for already, and will be again.

        Raises:
            HttpProblem: Too often: `rate_limited`, which tells when to try again; or more at once
                than ever may be: `too_large`.
        """
        rate = self.limits.rates.get(kind)
        if rate is None or count <= 0 or (subject := self.subject(request)) is None:
            return
        if before + count > rate.burst:
            raise HttpProblem(
                "too_large",
                f"{before + count} {kind} at once are more than the {rate.burst} that one may.",
                f"Send at most {rate.burst} in one request.",
            )
        left = await self._rates.take(subject, kind, rate, count)
        if left is not None:
            raise _too_often(kind, rate, left + rate.every * before)

    async def knock(self, request: HTTPConnection) -> None:
        """Count a key that lets nobody in, for the address; raises as `charge` does."""
        if rate := self.limits.rates.get("knocks"):
            address = subject_of(request, ANYBODY, self._store.secret)
            left = await self._rates.take(address, "knocks", rate, 1)
            if left is not None:
                raise _too_often("knocks", rate, left)

    def standing(self, request: HTTPConnection, kind: Cost) -> Mapping[str, str]:
        """What the caller has left, as header fields; none for one without limits."""
        rate = self.limits.rates.get(kind)
        if rate is None or (subject := self.subject(request)) is None:
            return {}
        left, until_full = self._rates.standing(subject, kind, rate)
        return _fields(kind, rate, left, _whole_s(until_full))

    # ---- at once ----------------------------------------------------------------------------

    async def waiting(
        self, request: HTTPConnection, wait_s: float
    ) -> AbstractAsyncContextManager[Slot | None]:
        """To be entered for as long as the caller waits; raises HttpProblem as `charge` does."""
        slot = await self._slot(request) if wait_s > 0 else None
        return nullcontext() if slot is None else slot

    async def streaming(
        self, request: HTTPConnection, chunks: AsyncIterator[bytes], media_type: str
    ) -> Response:
        """The answer that streams these; it counts as a wait until it has ended."""
        slot = await self._slot(request)
        if slot is None:
            return StreamingResponse(chunks, media_type=media_type)
        return _CountedStream(slot, chunks, media_type)

    async def _slot(self, request: HTTPConnection) -> Slot | None:
        limits, keyed = self.limits, caller_of(request).key is not None
        limit = limits.waits if keyed else limits.address_waits
        if not limit or (subject := self.subject(request)) is None:
            return None
        slot = await self._waits.open(subject, limit)
        if slot is None:
            raise _too_many("waits", "waits and streams", limit, "concurrent-requests")
        return slot

    async def connected(self, request: HTTPConnection) -> None:
        """Count the connection that a request came by; raises HttpProblem for one too many."""
        limits, keyed = self.limits, caller_of(request).key is not None
        limit = limits.connections if keyed else limits.address_connections
        connection: Connection | None = request.scope.get(CONNECTION)  # none in this process
        if connection is None or not limit or (subject := self.subject(request)) is None:
            return
        if not await connection.counts_for(subject, lambda: self.connections.open(subject, limit)):
            raise _too_many("connections", "connections", limit, "connections")

    # ---- rooms ------------------------------------------------------------------------------

    def quota(self, request: HTTPConnection) -> Quota | None:
        """What a room counts against that the caller opens."""
        subject = self.subject(request)
        if subject is None:
            return None
        keyed = caller_of(request).key is not None
        return Quota(subject, self.limits.rooms if keyed else self.limits.demo_rooms)

    async def aclose(self) -> None:
        await self._waits.aclose()
        await self.connections.aclose()


class _CountedStream(StreamingResponse):
    """A stream that has a slot until it has ended, however it ends."""

    def __init__(self, slot: Slot, chunks: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(_renewing(slot, chunks), media_type=media_type)
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slot.close()


async def _renewing(slot: Slot, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:  # at least one each few seconds, so that it stays in step
        await slot.renew()
        yield chunk


def _too_many(kind: str, what: str, limit: int, unit: str) -> HttpProblem:
    """More open at once than one may have."""
    return HttpProblem(
        "rate_limited",
        f"You have {limit} {what} open, as many as you may at once.",
        f"End one of them, or try again in {RETRY_WAITS_S} seconds.",
        headers={
            "Retry-After": str(RETRY_WAITS_S),
            "RateLimit-Policy": f'"{kind}";q={limit};qu="{unit}"',
            "RateLimit": f'"{kind}";r=0;t={RETRY_WAITS_S}',
        },
    )


def _too_often(kind: Cost, rate: Rate, left: timedelta) -> HttpProblem:
    retry_s = max(1, _whole_s(left))
    what, instead = _TOO_MANY[kind]
    return HttpProblem(
        "rate_limited",
        f"{what}: at most {rate.burst} at once, and {_spelled(rate)} for long.",
        f"Try again in {retry_s} second{'' if retry_s == 1 else 's'}. {instead}",
        headers={"Retry-After": str(retry_s), **_fields(kind, rate, 0, retry_s)},
    )


def _spelled(rate: Rate) -> str:
    per_s = timedelta(seconds=1) / rate.every
    return f"{round(per_s)} a second" if per_s >= 1 else f"{round(per_s * 60)} a minute"


def _fields(kind: Cost, rate: Rate, left: int, reset_s: int) -> dict[str, str]:
    """As the IETF's draft on RateLimit header fields has them; times are whole seconds."""
    return {
        "RateLimit-Policy": f'"{kind}";q={rate.burst};w={max(1, _whole_s(rate.window))}',
        "RateLimit": f'"{kind}";r={left};t={reset_s}',
    }


def _whole_s(span: timedelta) -> int:
    return max(0, ceil(span.total_seconds()))
