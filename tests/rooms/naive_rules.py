"""The rules of a room told a second time, from its contract's document and from what was said.

Nothing here asks the room what it has counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from room_mcp.rooms import Draft, Member, skeleton
from room_mcp.rooms.budget import LEAST_MESSAGE_BYTES, RESERVE_BYTES, RESERVE_MESSAGES

NO_LIMIT = 10**9


class Said(NamedTuple):
    """A message of an agent, as budgets see it."""

    sender: str
    type: str
    size_bytes: int


class Naive:
    """What was said since the room began, and what follows from it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.rules: list[dict[str, Any]] = document.get("terminal", [])
        self.said: list[Said] = []
        self.votes: dict[tuple[int, str], str] = {}  # position of the rule and name → outcome

    def begin_anew(self) -> None:
        self.said, self.votes = [], {}

    # ---- budgets ----------------------------------------------------------------------------

    def hear(self, draft: Draft, name: str) -> None:
        self.said.append(Said(name, draft.type, draft.size_bytes))

    def too_much(self, draft: Draft, name: str, role: str | None) -> list[str]:
        """The limits that this message of an agent would exceed."""
        more, more_bytes = self._reserve if self.may_end(draft, role) else (0, 0)
        new = Said(name, draft.type, draft.size_bytes)
        found: list[str] = []
        for whose, limits, before in self._accounts(name):
            said = [*before, new]
            if len(said) > _limit(limits, "messages") + more:
                found.append(f"{whose} messages")
            if _bytes_of(said) > _limit(limits, "bytes") + more_bytes:
                found.append(f"{whose} bytes")
            of_type = sum(one.type == draft.type for one in said)
            if of_type > limits.get("per_type", {}).get(draft.type, NO_LIMIT):
                found.append(f"{whose} type")
        return found

    def is_type_short(self, name: str) -> bool:
        """Whether at least three quarters of the newest message's type are said."""
        type = self.said[-1].type
        return any(
            sum(one.type == type for one in said)
            >= 0.75 * limits.get("per_type", {}).get(type, NO_LIMIT)
            for _, limits, said in self._accounts(name)
        )

    def percent(self, name: str, age_s: float) -> float:
        """How much of the budget that is shortest for this member is spent, or of the time."""
        return 100 * max(
            age_s / _limit(self.document["budget"], "lifetime_s"),
            *self._shares(name),
        )

    def _shares(self, name: str) -> list[float]:
        return [
            share
            for _, limits, said in self._accounts(name)
            for share in (
                len(said) / _limit(limits, "messages"),
                _bytes_of(said) / _limit(limits, "bytes"),
            )
        ]

    @property
    def is_spent(self) -> bool:
        budget = self.document["budget"]
        left = _limit(budget, "bytes") - _bytes_of(self.said)
        return len(self.said) >= _limit(budget, "messages") or left < LEAST_MESSAGE_BYTES

    @property
    def is_over(self) -> bool:
        """Whether the reserve is spent, too; where nothing can end the room there is none."""
        budget = self.document["budget"]
        more, more_bytes = self._reserve if self.rules else (0, 0)
        left = _limit(budget, "bytes") + more_bytes - _bytes_of(self.said)
        return len(self.said) >= _limit(budget, "messages") + more or left < LEAST_MESSAGE_BYTES

    def _accounts(self, name: str) -> list[tuple[str, dict[str, Any], list[Said]]]:
        budget = self.document["budget"]
        own = [one for one in self.said if one.sender == name]
        return [("room", budget, self.said), ("member", budget.get("per_member", {}), own)]

    @property
    def _reserve(self) -> tuple[int, int]:
        reserve = self.document["budget"].get("reserve", {})
        return reserve.get("messages", RESERVE_MESSAGES), reserve.get("bytes", RESERVE_BYTES)

    # ---- the guard --------------------------------------------------------------------------

    @property
    def exempt_types(self) -> set[str]:
        return {name for name, one in self._types.items() if one.get("guard") == "exempt"}

    @property
    def unheld_types(self) -> set[str]:
        """Those that the document itself puts beyond the guard's reach."""
        return self.exempt_types | {name for name, one in self._types.items() if "body" in one}

    @property
    def _types(self) -> dict[str, Any]:
        return self.document.get("types", {})

    # ---- the end ----------------------------------------------------------------------------

    def may_end(self, draft: Draft, role: str | None) -> bool:
        """Whether the message meets a rule of this role."""
        return any(
            one["type"] == draft.type and _is_by(one, role) and _is_met(one, draft.content)
            for one in self.rules
        )

    def vote(self, draft: Draft, name: str, role: str | None) -> None:
        """Note down what this message says to each rule that it meets."""
        body = draft.content if isinstance(draft.content, dict) else {}
        for at, one in enumerate(self.rules):
            if one["type"] == draft.type and _is_by(one, role) and _is_met(one, draft.content):
                said = body.get(one.get("outcome_from"))
                self.votes[at, name] = said or one.get("outcome") or draft.type

    def forget_votes(self, name: str, role: str | None, *, is_here: bool) -> None:
        """Forget what he said in a role that he no longer has."""
        for at, voter in list(self.votes):
            if skeleton(voter) == skeleton(name) and not (is_here and _is_by(self.rules[at], role)):
                del self.votes[at, voter]

    def outcomes(self, here: Sequence[Member], *, work_is_open: bool) -> set[str]:
        """Those with which the room may end now, and has to with one; empty: it goes on."""
        for at, one in enumerate(self.rules):
            votes = {name: said for (rule, name), said in self.votes.items() if rule == at}
            if votes and self._is_enough(one, votes, here, work_is_open=work_is_open):
                return self._of_these(one, [*votes.values()])
        return set()

    def _is_enough(
        self,
        one: dict[str, Any],
        votes: dict[str, str],
        here: Sequence[Member],
        *,
        work_is_open: bool,
    ) -> bool:
        roles: dict[str, Any] = self.document.get("roles", {})
        by = one.get("by", [])
        voters = {
            member.name for member in here if (member.role in by if by else member.kind == "agent")
        }
        seats = len(voters | set(votes))
        for role in by:
            seats += max(0, roles[role].get("min", 0) - sum(m.role == role for m in here))
        match one.get("need", "any"):
            case "no_open_work":
                return not work_is_open
            case "all_of_role":
                return len(votes) == seats
            case "majority_of_role":
                return 2 * max(Counter(votes.values()).values()) > seats
            case _:
                return True

    def _of_these(self, one: dict[str, Any], said: list[str]) -> set[str]:
        if one.get("need") == "majority_of_role":
            return {outcome for outcome, _ in Counter(said).most_common(1)}
        ordered = [outcome for outcome in self.document.get("outcome_order", []) if outcome in said]
        return {*ordered[:1]} or {*said}


def _is_by(one: dict[str, Any], role: str | None) -> bool:
    return not one.get("by") or role in one["by"]


def _is_met(one: dict[str, Any], content: Any) -> bool:
    """Every `when` of these tests wants a body whose `final` is true."""
    return "when" not in one or (isinstance(content, dict) and content.get("final") is True)


def _limit(limits: dict[str, Any], name: str) -> int:
    return limits.get(name) or NO_LIMIT


def _bytes_of(said: Sequence[Said]) -> int:
    return sum(one.size_bytes for one in said)
