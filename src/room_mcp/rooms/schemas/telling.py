"""Which of the errors to tell, and how, so that a body is mended at the first try."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from .values import WORDS, fields_of, key_of, listed
from .words import counted, cut_line, listing, named, path_of, shortened, shown

_LATER = 4
_NAMING = ("properties", "patternProperties")
_NAMES_A_FIELD = frozenset(("additionalProperties", "required", "dependentRequired"))


class Violation(NamedTuple):
    """What is wrong with a body, for the one who has to mend it."""

    path: str  # where in the body: issues[0].severity, or body for all of it
    rule: str  # a short plain sentence without its subject: must be text
    schema: Any  # the keyword that failed, shortened to about 1 KiB


TOO_COMPLICATED = Violation(
    "body", "is too complicated to check against its schema: make it smaller", {}
)


# What stands in the way of mending the rest comes first.
_RANKS: Mapping[str, int] = {
    "enum": 0,
    "const": 0,
    "type": 1,
    "additionalProperties": 2,  # a name misspelled is both unknown and missing
    "required": 3,
    "not": 5,
    "anyOf": 5,
    "oneOf": 5,
}


def nearest(errors: Sequence[Any]) -> Any:
    """The error nearest to the root, and among those what should be mended first."""
    return min(errors, key=_distance)


def _distance(error: Any) -> tuple[int, int]:
    depth = len(error.path) - (error.validator in _NAMES_A_FIELD)  # it is about the object
    return depth, _RANKS.get(error.validator, _LATER)


def violation_of(error: Any) -> Violation:
    if error.context and error.validator in ("anyOf", "oneOf"):
        groups = groupby(error.context, key=lambda one: one.schema_path[0])
        branches = [list(branch) for _, branch in groups]
        return _shared(error, branches) or violation_of(nearest(min(branches, key=_misfit)))
    return _told(error, error.absolute_path, _rule(error))


def _told(error: Any, path: Iterable[Any], rule: str) -> Violation:
    excerpt = {error.validator: _written(error)} if error.schema.written else False
    return Violation(path_of(path), rule, shortened(excerpt))


def _misfit(branch: Sequence[Any]) -> tuple[bool, bool, int]:
    """How far a branch is from what was meant: another type, another tag, many errors."""
    other_type = any(one.validator in ("type", "false") and not one.path for one in branch)
    return other_type, _tag(branch) is not None, len(branch)


def _tag(branch: Sequence[Any], keywords: Sequence[str] = ("const", "enum"), depth: int = 1) -> Any:
    """The first error about the value itself or a field of it, or None."""
    return next((e for e in branch if e.validator in keywords and len(e.path) <= depth), None)


def _shared(error: Any, branches: Sequence[Sequence[Any]]) -> Violation | None:
    """What all the branches miss in one place: types, values or fields, any of which would do."""
    if all(len(b) == 1 and b[0].validator == "required" and len(b[0].path) == 1 for b in branches):
        ways = dict.fromkeys(listing(b[0].message, named, " and ") for b in branches)
        return _told(error, error.absolute_path, f"must have {listing(ways, str, ' or ')}")
    for keywords, depth in ((("type",), 0), (("const", "enum"), 1)):
        tags = [_tag(branch, keywords, depth) for branch in branches]
        if all(tags) and len({tuple(tag.path) for tag in tags}) == 1:
            values = [value for tag in tags for value in _alternatives(tag)]
            every = list({repr(key_of(value)): value for value in values}.values())
            rule = _RULES["enum" if depth else "type"](every, error)
            return _told(error, tags[0].absolute_path, rule)
    return None


def _alternatives(error: Any) -> list[Any]:
    return [_written(error)] if error.validator == "const" else listed(_written(error))


def _written(error: Any) -> Any:
    return error.schema.written.get(error.validator) if error.schema.written else None


def _rule(error: Any) -> str:
    return _RULES[error.validator](_written(error), error)


def _limit(words: str, unit: str = "") -> Callable[[Any, Any], str]:
    """A rule about a size, which also says what the size is."""

    def rule(limit: Any, error: Any) -> str:
        if not unit:
            return f"must be {words} {shown(limit)}"
        return f"must have {words} {counted(limit, unit)}; it has {len(error.instance)}"

    return rule


def _unknown(value: Any, error: Any) -> str:
    names, patterns = (error.schema.written.get(one, {}) for one in _NAMING)
    known = [listing(names, named)] if names else []
    known += [f"names that match {listing(patterns, cut_line)}"] if patterns else []
    return f"is not known here; known are: {' and '.join(known) or 'none'}"


def _missing(value: Any, error: Any) -> str:
    others = error.message[1:]
    so = "so is" if len(others) == 1 else "so are"
    return f"is missing; {so} {listing(others, named)}" if others else "is missing"


def _contains_rule(value: Any, error: Any) -> str:
    least, most = (error.schema.get(name) for name in ("minContains", "maxContains"))
    least = 1 if least is None else least
    bounds = f"at least {least}" if most is None else f"{shown(least)} to {shown(most)}"
    return f"must hold {bounds} of the items that contains asks for; it holds {error.message}"


def _forbidden(value: Any, error: Any) -> str:
    keyword, *others = fields_of(value) or ("",)
    if not others and keyword in ("const", "enum", "type", "pattern"):
        return _RULES[keyword](value[keyword], error).replace("must", "must not", 1)
    return "must not be as its schema says under not"


_RULES: Mapping[str, Callable[[Any, Any], str]] = {
    "false": lambda value, error: "is not allowed here",
    "type": lambda types, error: f"must be {' or '.join(WORDS[one] for one in listed(types))}",
    "enum": lambda values, error: f"must be one of {listing(values) or 'none'}",
    "const": lambda value, error: f"must be {shown(value)}",
    "additionalProperties": _unknown,
    "required": _missing,
    "propertyNames": lambda value, error: (
        f"has a name that {violation_of(nearest(error.context)).rule}"
    ),
    "dependentRequired": lambda value, error: f"is missing; {named(error.message)} needs it",
    "minimum": _limit("at least"),
    "maximum": _limit("at most"),
    "exclusiveMinimum": _limit("more than"),
    "exclusiveMaximum": _limit("less than"),
    "multipleOf": _limit("a multiple of"),
    "minLength": _limit("at least", "character"),
    "maxLength": _limit("at most", "character"),
    "minItems": _limit("at least", "item"),
    "maxItems": _limit("at most", "item"),
    "minProperties": _limit("at least", "field"),
    "maxProperties": _limit("at most", "field"),
    "pattern": lambda pattern, error: f"must match the pattern {cut_line(pattern)}",
    "uniqueItems": lambda value, error: f"is the same as item {error.message}; all must differ",
    "contains": _contains_rule,
    "not": _forbidden,
    "oneOf": lambda value, error: (
        "must fit exactly one of oneOf, but fits its schemas "
        f"{error.message[0]} and {error.message[1]}"
    ),
}
