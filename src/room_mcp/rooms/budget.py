"""Budgets: how much may be said in a room and by each member, and how long it may last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

RESERVE_MESSAGES = 2
RESERVE_BYTES = 16 * 1024
RESERVE_S = 600  # then a room whose budget is spent closes, whatever is left of the reserve
TOLD_AT_PERCENT = (75, 90)
LEAST_MESSAGE_BYTES = 64  # with less left, the bytes count as spent


class Spent(NamedTuple):
    """What was said so far; `types` counts only the types that have a limit."""

    messages: int = 0
    size_bytes: int = 0
    types: tuple[tuple[str, int], ...] = ()

    def of(self, type: str) -> int:
        return dict(self.types).get(type, 0)

    def after(self, type: str, size_bytes: int, *, counted: bool) -> Spent:
        """`counted`: the type has a limit."""
        types = self.types
        if counted:
            types = tuple({**dict(types), type: self.of(type) + 1}.items())
        return Spent(self.messages + 1, self.size_bytes + size_bytes, types)


NOTHING_SPENT = Spent()


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits of a room or of each of its members; None is no limit."""

    messages: int | None = None
    size_bytes: int | None = None
    per_type: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_unlimited(self) -> bool:
        return self.messages is None and self.size_bytes is None and not self.per_type

    def messages_left(self, spent: Spent) -> int | None:
        return None if self.messages is None else max(0, self.messages - spent.messages)

    def bytes_left(self, spent: Spent) -> int | None:
        return None if self.size_bytes is None else max(0, self.size_bytes - spent.size_bytes)

    def is_spent(self, spent: Spent) -> bool:
        bytes_left = self.bytes_left(spent)
        return self.messages_left(spent) == 0 or (
            bytes_left is not None and bytes_left < LEAST_MESSAGE_BYTES
        )

    def covers(self, spent: Spent, size_bytes: int) -> bool:
        """Whether one more message of this size is within messages and bytes."""
        bytes_left = self.bytes_left(spent)
        return self.messages_left(spent) != 0 and (bytes_left is None or size_bytes <= bytes_left)

    def percent(self, spent: Spent) -> int:
        """How much of it is spent, of messages or bytes, whichever is more; 0 without a limit."""
        shares = [
            100 * used // limit
            for used, limit in (
                (spent.messages, self.messages),
                (spent.size_bytes, self.size_bytes),
            )
            if limit
        ]
        return max(shares, default=0)


@dataclass(frozen=True)
class Budget:
    """The limits of a room, of each member, and of its time.

    The reserve comes on top of `room` and `member` and is for messages that can end the room.
    `outcome` is how the room ends when a limit ends it; empty names the limit.
    """

    room: Allowance = Allowance()
    member: Allowance = Allowance()
    lifetime_s: int | None = None
    idle_s: int | None = None
    reserve_messages: int = RESERVE_MESSAGES
    reserve_bytes: int = RESERVE_BYTES
    outcome: str = ""

    @cached_property
    def is_unlimited(self) -> bool:
        """Whether messages and bytes have no limit; time may have one."""
        return self.room.is_unlimited and self.member.is_unlimited

    @cached_property
    def can_be_spent(self) -> bool:
        """Whether what is said, or the time that it takes, is limited in any way."""
        return not self.is_unlimited or self.lifetime_s is not None

    @cached_property
    def is_timed(self) -> bool:
        """Whether time alone can end the room."""
        return self.lifetime_s is not None or self.idle_s is not None

    def percent_of_time(self, began_at: datetime, at: datetime) -> int:
        """How much of the lifetime is over, 0 without one."""
        if not self.lifetime_s:
            return 0
        return int(100 * (at - began_at).total_seconds() // self.lifetime_s)

    def counts(self, type: str) -> bool:
        return type in self.room.per_type or type in self.member.per_type

    @property
    def with_reserve(self) -> Budget:
        """The same limits with the reserve added to each."""
        return Budget(
            _widened(self.room, self.reserve_messages, self.reserve_bytes),
            _widened(self.member, self.reserve_messages, self.reserve_bytes),
        )


NO_BUDGET = Budget()


def _widened(allowance: Allowance, messages: int, size_bytes: int) -> Allowance:
    return Allowance(
        None if allowance.messages is None else allowance.messages + messages,
        None if allowance.size_bytes is None else allowance.size_bytes + size_bytes,
    )


class Deadline(NamedTuple):
    """When a room closes by itself; `reason` is "budget", "lifetime" or "idle"."""

    at: datetime
    reason: Literal["budget", "lifetime", "idle"]


def deadlines(
    budget: Budget, *, began_at: datetime, last_at: datetime, reserve_since: datetime | None
) -> Iterator[Deadline]:
    """All of them; whichever comes first ends the room."""
    if reserve_since is not None:
        yield Deadline(reserve_since + timedelta(seconds=RESERVE_S), "budget")
    if budget.lifetime_s is not None:
        yield Deadline(began_at + timedelta(seconds=budget.lifetime_s), "lifetime")
    if budget.idle_s is not None:
        yield Deadline(last_at + timedelta(seconds=budget.idle_s), "idle")


def is_told(limit: int, count: int) -> bool:
    """Whether message `count` of `limit` passes a mark of TOLD_AT_PERCENT, or is the last."""
    before, after = 100 * (count - 1) // limit, 100 * count // limit
    return count >= limit or newly_told(before, after) > 0


def newly_told(told: int, percent: int) -> int:
    """The mark of TOLD_AT_PERCENT that was passed and not told yet; 0 for none."""
    if percent < TOLD_AT_PERCENT[0]:
        return 0
    return max((mark for mark in TOLD_AT_PERCENT if told < mark <= percent), default=0)
