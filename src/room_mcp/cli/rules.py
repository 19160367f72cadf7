"""A room's rules in words for people: who may send what, what ends it, and which ends are good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from room_mcp.plain import one_line

from . import lines

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.rooms import Contract
    from room_mcp.rooms.budget import Budget
    from room_mcp.rooms.contract import GuardRules, Role, TerminalRule

ENDS = " (can end the room)"
_BY_LIMITS = "budget_spent, expired or idle"  # where on_budget names no outcome


def contract_of(info: wire.Info) -> Contract | None:
    """The room's contract; None when its backend knows rules that we do not."""
    from room_mcp.rooms import BadContract, contract_from

    try:
        return contract_from(info.contract)
    except BadContract:
        return None


# ---- roles --------------------------------------------------------------------------------------


def sends(may: Sequence[str] | None, ends: Collection[str]) -> str:
    """What somebody may send, and which of it can end the room."""
    if may is None:
        return f"everything; {listed(ends, 'or')} can end the room" if ends else "everything"
    return ", ".join(one_line(type) + (ENDS if type in ends else "") for type in may) or "nothing"


def places(least: int, most: int | None) -> str:
    """How many may have a role."""
    if most is None:
        return f"at least {least}" if least else "any number"
    return f"{least}" if least == most else f"{least} to {most}"


def role(contract: Contract, of: Role) -> str:
    who = f", for {listed(of.who, 'or')}" if of.who else ""
    may = sends(of.may, contract.ends_of(of.name))
    return f"Role {of.name} ({places(of.min, of.max)}{who}) may send: {may}"


# ---- the end ------------------------------------------------------------------------------------


def endings(contract: Contract) -> list[str]:
    """A line for each rule that ends the room, one for its limits, one for the good outcomes."""
    told = [_ending(contract, rule) for rule in contract.terminal]
    if limits := _ending_limits(contract.budget):
        told.append(f"{limits} end the room; outcome: {contract.budget.outcome or _BY_LIMITS}")
    return [*told, _good(contract)] if told else ["Nothing ends the room but people and its owner."]


def _good(contract: Contract) -> str:
    from room_mcp.rooms.contract import ANY_OUTCOME

    if ANY_OUTCOME not in contract.good:
        return f"Good outcomes: {listed(contract.good) or 'none'}"
    but = f" but {listed(contract.bad)}" if contract.bad else ""
    return f"Good outcomes: all that a message gives{but}"


def _ending(contract: Contract, rule: TerminalRule) -> str:
    by = f" from {listed(rule.by, 'or')}" if rule.by else ""
    fitting = " with a body that fits" if rule.when is not None else ""
    outcome = listed(_outcomes(contract, rule), "or")
    if rule.outcome_from and not _enum(contract, rule):
        outcome = f'what its "{rule.outcome_from}" says' + (f", else {outcome}" if outcome else "")
    return f"{rule.type}{by}{fitting} ends the room{_when(rule)}; outcome: {outcome}"


def _when(rule: TerminalRule) -> str:
    from room_mcp.rooms.contract import Need

    voters = listed(rule.by, "or") or "member"
    return {
        Need.ANY: "",
        Need.ALL_OF_ROLE: f" once every {voters} has sent one",
        Need.MAJORITY_OF_ROLE: f" once more than half of all {voters}s say the same",
        Need.NO_OPEN_WORK: " as soon as no work is open",
    }[rule.need]


def _outcomes(contract: Contract, rule: TerminalRule) -> list[str]:
    """Those that are known before anybody speaks."""
    named = _enum(contract, rule)
    is_sure = rule.outcome_from and rule.outcome_from in _part(contract, rule, "required", list)
    return named if is_sure else [*named, rule.outcome or rule.type]


def _enum(contract: Contract, rule: TerminalRule) -> list[str]:
    """The outcomes that the body's schema lists."""
    properties = _part(contract, rule, "properties", dict)
    field = properties.get(rule.outcome_from)
    values = cast("Mapping[str, Any]", field).get("enum") if isinstance(field, dict) else None
    found = cast("list[Any]", values) if isinstance(values, list) else []
    return [one for one in found if isinstance(one, str)]


def _part(contract: Contract, rule: TerminalRule, name: str, kind: type[Any]) -> Any:
    declared = contract.types.get(rule.type)
    body = declared.body if declared is not None else None
    found = cast("Mapping[str, Any]", body).get(name) if isinstance(body, dict) else None
    return found if isinstance(found, kind) else kind()


def _ending_limits(budget: Budget) -> str:
    parts = [
        *([f"{budget.room.messages} messages"] if budget.room.messages else []),
        *([f"{budget.room.size_bytes} bytes"] if budget.room.size_bytes else []),
        *([lines.lasting(budget.lifetime_s)] if budget.lifetime_s else []),
        *([f"{lines.lasting(budget.idle_s)} of silence"] if budget.idle_s else []),
    ]
    return listed(parts, "or")


# ---- limits and the guard -----------------------------------------------------------------------


def allowance(
    limits: Mapping[str, int | None],
    per_type: Mapping[str, int],
    left: Mapping[str, int | None] | None = None,
) -> str:
    """Unit → limit, and what is left of it where that is known; empty without limits."""
    told: list[str] = []
    for unit, limit in limits.items():
        rest = (left or {}).get(unit)
        if limit is not None:
            told.append(f"{limit} {unit}" if rest is None else f"{rest} of {limit} {unit} left")
    if per_type:
        counts = ", ".join(f"{count} {one_line(type)}" for type, count in per_type.items())
        told.append(f"at most {counts}")
    return "; ".join(told)


def guard(of: GuardRules) -> str:
    if not of.on:
        return "off"
    at = of.thresholds
    exempt = f"; roles that are exempt: {listed(sorted(of.exempt_roles))}"
    return (
        f"notice from score {at.notice:g}, quiet from {at.quiet:g}, hush from {at.hush:g}; "
        f"the strongest is {of.on_stall}{exempt if of.exempt_roles else ''}"
    )


def listed(names: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = [one_line(name) for name in names] or [""]
    return f"{', '.join(first)} {last} {end}" if first else end


# ---- a room's state -----------------------------------------------------------------------------


def cast_verdicts(info: wire.Info) -> list[str]:
    """Terminal messages that wait for others; a line each."""
    return [
        f"Verdict: {one_line(one.outcome)}, {one_line(one.type)} #{one.seq} of {one_line(one.name)}"
        for one in info.verdicts
    ]
