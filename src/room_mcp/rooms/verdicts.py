"""Terminal messages that were said, and when they are enough to end the room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .contract import Contract, Need, TerminalRule
from .expectations import Expectation
from .members import Member

MAX_KEPT_CHARS = 500  # of the conclusion of a verdict that waits for others


class Verdict(NamedTuple):
    """A member's last message that meets the terminal rule at position `rule`."""

    rule: int
    name: str
    seq: int
    outcome: str
    conclusion: str


Verdicts = tuple[Verdict, ...]


def with_verdict(before: Verdicts, new: Verdict) -> Verdicts:
    """Each member's last verdict by a rule counts."""
    kept = (one for one in before if (one.rule, one.name) != (new.rule, new.name))
    return (*kept, new._replace(conclusion=new.conclusion[:MAX_KEPT_CHARS]))


def without(before: Verdicts, member: Member, contract: Contract) -> Verdicts:
    """The verdicts that still count when this member has left or changed the role."""
    return tuple(
        one
        for one in before
        if one.name != member.name
        or (member.active and _may_vote(member, contract.terminal[one.rule]))
    )


def deciding(
    contract: Contract,
    verdicts: Verdicts,
    members: Sequence[Member],
    expectations: Iterable[Expectation],
) -> Verdict | None:
    """The verdict that ends the room now: of those with the outcome the latest; or None."""
    for at, rule in enumerate(contract.terminal):
        cast = [one for one in verdicts if one.rule == at]
        if not cast:
            continue
        outcome = _outcome(contract, rule, cast, members, expectations)
        if outcome is not None:
            return max(
                (one for one in cast if _same(one.outcome, outcome)), key=lambda one: one.seq
            )
    return None


def _outcome(
    contract: Contract,
    rule: TerminalRule,
    cast: Sequence[Verdict],
    members: Sequence[Member],
    expectations: Iterable[Expectation],
) -> str | None:
    """What this rule ends the room with, or None while it is not met."""
    latest = max(cast, key=lambda one: one.seq).outcome
    voters = {member.name: member.role for member in members if _may_vote(member, rule)}
    seats = _seats(contract, rule, voters, cast)
    match rule.need:
        case Need.ANY:
            return latest
        case Need.NO_OPEN_WORK:
            return None if any(one.is_work for one in expectations) else latest
        case Need.ALL_OF_ROLE:
            if len(cast) < seats or not {one.name for one in cast}.issuperset(voters):
                return None
            said = {one.outcome.casefold() for one in cast}
            order = contract.outcome_order
            return next((one for one in order if one.casefold() in said), latest)
        case Need.MAJORITY_OF_ROLE:
            said = [one.outcome.casefold() for one in cast]
            return next(
                (one.outcome for one in cast if 2 * said.count(one.outcome.casefold()) > seats),
                None,
            )


def _seats(
    contract: Contract,
    rule: TerminalRule,
    voters: Mapping[str, str | None],
    cast: Sequence[Verdict],
) -> int:
    """How many have to be heard: of every role all members, and at least its `min`."""
    if not rule.by:
        return len({*voters, *(one.name for one in cast)})  # a person who votes counts, too
    taken = [*voters.values()]
    return sum(max(taken.count(name), contract.roles[name].min) for name in {*rule.by})


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _may_vote(member: Member, rule: TerminalRule) -> bool:
    return member.role in rule.by if rule.by else member.kind == "agent"
