"""Reads a contract from its document, a JSON object such as a template file holds.

Whatever is wrong is refused with the place where it stands. Field names are written in
snake_case; camelCase is understood too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast, get_args

from .budget import RESERVE_BYTES, RESERVE_MESSAGES, Allowance, Budget
from .contract import (
    MAX_OUTCOME_CHARS,
    Contract,
    GuardRules,
    MessageType,
    Need,
    OnStall,
    Role,
    TerminalRule,
)
from .fields import (
    Object,
    choice_in,
    count_in,
    fields_of,
    in_snake_case,
    is_whole,
    known_names,
    object_in,
    one_or_more_in,
    place_of,
    text_in,
    texts_in,
    wrong,
)
from .guard import MAX_SCORE, Thresholds
from .message import BUILT_IN_TYPES, EXPECTS, OWN_TYPES, Wakes, is_type_name
from .names import MAX_NAME_CHARS, skeleton
from .schemas import BadSchema, compiled, example_for, together

MAX_DOCUMENT_BYTES = 128 * 1024
MAX_READING_STEPS = 200_000  # of all its schemas and examples: one to two seconds
MAX_ROLES = 16
MAX_TYPES = 64
MAX_RULES = 16
MAX_SECONDS = 10**9  # 31 years: a deadline beyond the year 9999 cannot be written

SECTIONS = ("roles", "types", "terminal", "outcome_order", "good", "bad", "budget", "guard")
_TOP = ("name", "about", *SECTIONS)
_WAKES = {
    "members": Wakes.SMALL_ROOM,
    "nobody": Wakes.NOBODY,
    "author": Wakes.AUTHOR,
    "all": Wakes.ALL,
}
_WORD_LISTS = ("courtesy", "praise", "stop")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


def contract_from(document: Any) -> Contract:
    """The contract that a document describes.

    Raises:
        BadContract: With the place of the first mistake.
    """
    try:
        source = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size_bytes = len(source.encode())  # which half of a surrogate pair fails
    except (ValueError, TypeError, RecursionError):
        wrong("", "it must be JSON")
    if size_bytes > MAX_DOCUMENT_BYTES:
        wrong("", f"it has more than {MAX_DOCUMENT_BYTES // 1024} KiB")
    return contract_of(source)


@lru_cache(maxsize=256)
def contract_of(source: str) -> Contract:
    """The contract whose `source` this is, or another JSON text that means the same."""
    with together(MAX_READING_STEPS):
        return _read(json.loads(source))


def _read(document: Any) -> Contract:
    top = fields_of(document, "", _TOP)
    roles = _roles(top)
    types = _types(top)
    terminal = _terminal(top, roles, types)
    outcome_order = texts_in(top, "outcome_order", "")
    good, bad = texts_in(top, "good", ""), texts_in(top, "bad", "")
    budget = _budget(top)
    guard = _guard(top, roles)
    contract = Contract(
        # Last, for reading the sections has brought their field names into one spelling.
        source=json.dumps(top, ensure_ascii=False, separators=(",", ":")),
        template=_template_name(top),
        about=text_in(top, "about", ""),
        roles=MappingProxyType(roles),
        types=MappingProxyType(types),
        terminal=terminal,
        outcome_order=outcome_order,
        good=good,
        bad=bad,
        budget=budget,
        guard=guard,
    )
    _known_types(contract)
    return contract


def overlaid(document: Mapping[str, Any], sections: Mapping[str, Any]) -> Object:
    """The document with these sections in place of its own."""
    return {**document, **{in_snake_case(name): section for name, section in sections.items()}}


def adapted(
    document: Mapping[str, Any],
    *,
    roles: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    guard: Mapping[str, Any] | bool | None = None,
) -> Object:
    """The document with fields of its budget, its guard and each of its roles replaced."""
    result = dict(document)
    if roles is not None:
        known = _plain(result.get("roles"))
        merged = {name: _merged(known.get(name), role) for name, role in roles.items()}
        result["roles"] = {**known, **merged}
    if budget is not None:
        result["budget"] = _merged(result.get("budget"), budget)
    if guard is not None:
        result["guard"] = _merged(_switched(result.get("guard")), _switched(guard))
    return result


def _switched(guard: Any) -> Any:
    return {"on": guard} if isinstance(guard, bool) else guard


def _plain(section: Any) -> Object:
    return cast("Object", section) if isinstance(section, dict) else {}


def _merged(known: Any, fields: Any) -> Any:
    """The known fields with some replaced; what is no object is left for the reader to refuse."""
    if not isinstance(fields, Mapping):
        return fields
    found = cast("Mapping[str, Any]", fields)
    return {**_plain(known), **{in_snake_case(name): value for name, value in found.items()}}


# ---- sections -----------------------------------------------------------------------------------


def is_template_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _template_name(top: Object) -> str:
    name = text_in(top, "name", "", MAX_NAME_CHARS) or "custom"
    if not is_template_name(name):
        wrong("name", "it must be lower-case letters, digits and dashes, as in code-review")
    return name


def _roles(top: Object) -> dict[str, Role]:
    found = object_in(top, "roles", "")
    if len(found) > MAX_ROLES:
        wrong("roles", f"there are more than {MAX_ROLES}")
    roles: dict[str, Role] = {}
    for name in list(found):
        place = place_of("roles", name)
        if not _NAME.fullmatch(name):
            wrong(place, "a role's name is lower-case letters, digits and dashes")
        fields = fields_of(found[name], place, ("about", "min", "max", "may", "who"))
        found[name] = fields
        least = count_in(fields, "min", place, least=0) or 0
        most = count_in(fields, "max", place)
        if most is not None and most < least:
            wrong(place_of(place, "max"), "it must not be less than min")
        may = None if fields.get("may") in (None, "*", ["*"]) else texts_in(fields, "may", place)
        who = one_or_more_in(fields, "who", place)
        roles[name] = Role(
            name,
            text_in(fields, "about", place),
            least,
            most,
            may,
            () if "anyone" in who else tuple(skeleton(one) for one in who),
        )
    return roles


def _types(top: Object) -> dict[str, MessageType]:
    found = object_in(top, "types", "")
    if len(found) > MAX_TYPES:
        wrong("types", f"there are more than {MAX_TYPES}")
    types: dict[str, MessageType] = {}
    for name in list(found):
        place = place_of("types", name)
        if not is_type_name(name) or name.startswith(OWN_TYPES):
            wrong(place, "a type is one word of at most 64 characters, and not one of the room's")
        fields = fields_of(
            found[name],
            place,
            ("about", "body", "example", "wakes", "expects", "guard"),
            {"schema": "body"},
        )
        found[name] = fields
        types[name] = _type(name, fields, place)
    return types


def _type(name: str, fields: Object, place: str) -> MessageType:
    if name in BUILT_IN_TYPES:
        fixed = ("wakes", "guard") if name in EXPECTS else ("wakes", "guard", "expects")
        for field in fixed:
            if field in fields:
                wrong(place_of(place, field), f"{name} is built in, and that is part of it")
    wakes = choice_in(fields, "wakes", place, tuple(_WAKES), "") if "wakes" in fields else ""
    return MessageType(
        name,
        text_in(fields, "about", place),
        fields.get("body"),
        _example(fields, place) if "body" in fields else fields.get("example"),
        _WAKES.get(wakes),
        one_or_more_in(fields, "expects", place),
        choice_in(fields, "guard", place, ("score", "exempt"), "score") == "exempt",
    )


def _example(fields: Object, place: str) -> Any:
    """A body that passes, given or made."""
    schema = _schema(fields["body"], place_of(place, "body"))
    if "example" in fields:
        violation = schema.violation(fields["example"])
        if violation is not None:
            told = f"it does not pass the schema: {violation.path} {violation.rule}"
            wrong(place_of(place, "example"), told)
        return fields["example"]
    example = example_for(schema)
    if example is None:
        wrong(place, "no body was found that passes its schema; give an example that does")
    return example


def _schema(document: Any, place: str) -> Any:
    try:
        return compiled(document)
    except BadSchema as error:
        at = ".".join(part for part in error.place.split("/") if part)
        reason = error.reason[:1].lower() + error.reason[1:].removesuffix(".")
        wrong(place_of(place, at) if at else place, reason)


def _terminal(
    top: Object, roles: Mapping[str, Role], types: Mapping[str, MessageType]
) -> tuple[TerminalRule, ...]:
    found = top.get("terminal", [])
    if not isinstance(found, list) or len(cast("list[Any]", found)) > MAX_RULES:
        wrong("terminal", f"it must be a list of at most {MAX_RULES} rules")
    rules: list[TerminalRule] = []
    listed = cast("list[Any]", found)
    for at, one in enumerate(listed):
        place = f"terminal[{at}]"
        known = ("type", "by", "when", "need", "outcome_from", "outcome", "conclusion_from")
        fields = fields_of(one, place, known)
        listed[at] = fields
        rules.append(_rule(fields, place, roles, types))
    return tuple(rules)


def _rule(
    fields: Object, place: str, roles: Mapping[str, Role], types: Mapping[str, MessageType]
) -> TerminalRule:
    type = text_in(fields, "type", place)
    if not is_type_name(type) or type.startswith(OWN_TYPES):
        wrong(place_of(place, "type"), "it must name a message type, and not one of the room's")
    by = one_or_more_in(fields, "by", place)
    for role in by:
        if role not in roles:
            wrong(
                place_of(place, "by"), f"there is no role {role!r}; {known_names(roles, 'roles')}"
            )
    senders = [roles[name] for name in (by or roles)]
    if senders and not any(role.allows(type) for role in senders):
        wrong(place, f"none of its roles may send {type}; add it to what a role may")
    if "when" in fields:
        _schema(fields["when"], place_of(place, "when"))
    need = choice_in(fields, "need", place, tuple(one.value for one in Need), Need.ANY.value)
    return TerminalRule(
        type,
        by,
        fields.get("when"),
        Need(need),
        text_in(fields, "outcome_from", place),
        text_in(fields, "outcome", place, MAX_OUTCOME_CHARS),
        text_in(fields, "conclusion_from", place),
    )


def _budget(top: Object) -> Budget:
    known = ("messages", "bytes", "per_type", "per_member", "lifetime_s", "idle_s", "reserve")
    fields = fields_of(top.get("budget", {}), "budget", (*known, "on_budget"))
    if "budget" in top:
        top["budget"] = fields
    member = fields.get("per_member", {})
    member = {"messages": member} if is_whole(member) else member
    reserve = fields.get("reserve", {})
    reserve = {"messages": reserve} if is_whole(reserve) else reserve
    limits = ("messages", "bytes", "per_type")
    of_member = fields_of(member, "budget.per_member", limits)
    of_reserve = fields_of(reserve, "budget.reserve", ("messages", "bytes"))
    end = fields.get("on_budget", "")
    end = {"close_as": end} if isinstance(end, str) else end
    ending = fields_of(end, "budget.on_budget", ("close_as",))
    messages = count_in(of_reserve, "messages", "budget.reserve", least=0)
    size_bytes = count_in(of_reserve, "bytes", "budget.reserve", least=0)
    return Budget(
        _allowance(fields, "budget"),
        _allowance(of_member, "budget.per_member"),
        count_in(fields, "lifetime_s", "budget", most=MAX_SECONDS),
        count_in(fields, "idle_s", "budget", most=MAX_SECONDS),
        RESERVE_MESSAGES if messages is None else messages,
        RESERVE_BYTES if size_bytes is None else size_bytes,
        text_in(ending, "close_as", "budget.on_budget", MAX_OUTCOME_CHARS),
    )


def _allowance(fields: Object, place: str) -> Allowance:
    per_type = object_in(fields, "per_type", place)
    at = place_of(place, "per_type")
    counts = {type: count_in(per_type, type, at, least=0) for type in per_type}
    return Allowance(
        count_in(fields, "messages", place),
        count_in(fields, "bytes", place),
        MappingProxyType({type: most for type, most in counts.items() if most is not None}),
    )


def _guard(top: Object, roles: Mapping[str, Role]) -> GuardRules:
    found = top.get("guard", {})
    if isinstance(found, bool):
        found = {"on": found}
    known = ("on", "notice", "quiet", "hush", "on_stall", "numbers")
    lists = ("exempt_types", "exempt_roles", "words")
    fields = fields_of(found, "guard", (*known, *lists))
    if "guard" in top:
        top["guard"] = fields
    on = fields.get("on", True)
    if not isinstance(on, bool):
        wrong("guard.on", "it must be true or false")
    exempt_roles = texts_in(fields, "exempt_roles", "guard")
    for role in exempt_roles:
        if role not in roles:
            wrong("guard.exempt_roles", f"there is no role {role!r}; {known_names(roles, 'roles')}")
    usual = GuardRules()
    words = fields_of(fields.get("words", {}), "guard.words", _WORD_LISTS)
    return GuardRules(
        on,
        _thresholds(fields),
        cast("OnStall", choice_in(fields, "on_stall", "guard", get_args(OnStall), usual.on_stall)),
        cast("Any", choice_in(fields, "numbers", "guard", ("progress", "ignore"), usual.numbers)),
        usual.exempt_types.union(texts_in(fields, "exempt_types", "guard")),
        frozenset(exempt_roles),
        MappingProxyType({name: texts_in(words, name, "guard.words") for name in words}),
    )


def _thresholds(fields: Object) -> Thresholds:
    usual = Thresholds()
    values = [fields.get(name, getattr(usual, name)) for name in ("notice", "quiet", "hush")]
    for name, value in zip(("notice", "quiet", "hush"), values, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong(f"guard.{name}", "it must be a number")
        if not 1 <= value <= MAX_SCORE:
            wrong(f"guard.{name}", f"it must be from 1 to {MAX_SCORE:g}")
    if not values[0] <= values[1] <= values[2]:
        wrong("guard", "the thresholds must rise: notice, quiet, hush")
    return Thresholds(*map(float, values))


def _known_types(contract: Contract) -> None:
    """Every type that is named is built in, declared, or ends the room."""
    known = {*BUILT_IN_TYPES, *contract.types, *contract.terminal_types}
    named = [
        *((f"roles.{role.name}.may", role.may or ()) for role in contract.roles.values()),
        *((f"types.{one.name}.expects", one.expects) for one in contract.types.values()),
        ("guard.exempt_types", contract.guard.exempt_types),
        ("budget.per_type", contract.budget.room.per_type),
        ("budget.per_member.per_type", contract.budget.member.per_type),
    ]
    for place, types in named:
        for type in types:
            if type not in known:
                wrong(place, f"there is no type {type!r}; declare it in types")
