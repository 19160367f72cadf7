"""How each keyword looks at a body: jsonschema with keywords of our own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, cast

from .reading import KEYWORDS, NEVER
from .steps import one_level, spend
from .values import FRACTION_STEPS, LOOP_STEP, TYPES, fields_of, fraction, items_of, key_of, listed

_ERROR_STEPS = 2  # an error costs more than a look
_MAX_BRANCH_ERRORS = 10  # of each branch of anyOf and oneOf


_Check = Callable[[Any, Any, Any, Any], Iterable[Any]]  # validator, value, body, schema


class _Types:
    """Takes the place of jsonschema's, whose Rust panics where Python's stack ends."""

    def is_type(self, value: Any, type: str) -> bool:
        return TYPES[type](value)


class _Library(NamedTuple):
    validator: Any
    error: Any
    registry: Any


@cache
def engine() -> _Library:
    """jsonschema with our keywords; importing it takes longer than all of ours."""
    from jsonschema import Draft202012Validator, ValidationError, validators
    from referencing import Registry

    base: Any = Draft202012Validator
    checks: Mapping[str, _Check] = {**base.VALIDATORS, **_CHECKS}
    mine = {keyword: _ticking(keyword, check) for keyword, check in checks.items()}
    nothing_fetched: Registry[Any] = Registry()
    made = cast("Any", validators).extend(base, mine, type_checker=_Types())
    return _Library(made, ValidationError, nothing_fetched)


# The keywords that look through their own value, or through the body.
_LOOPS: Mapping[str, str] = {
    **dict.fromkeys(("properties", "required", "dependentRequired", "dependentSchemas"), "own"),
    **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), "own"),
    **dict.fromkeys(("items", "contains", "uniqueItems"), "body"),
    **dict.fromkeys(("additionalProperties", "propertyNames"), "body"),
}


def _ticking(keyword: str, check: _Check) -> _Check:
    """The check, which pays for its looks."""
    loops = _LOOPS.get(keyword)
    nests = "schema" in KEYWORDS.get(keyword, "") or keyword == "$ref"

    def paid(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
        loop = value if loops == "own" else body if loops == "body" else ()
        spend(1 + len(fields_of(loop) or items_of(loop)) / LOOP_STEP)
        errors = check(validator, value, body, schema)
        return one_level(errors) if nests else errors

    return paid


def _error(detail: Any = "", path: Sequence[Any] = (), context: Sequence[Any] = ()) -> Any:
    spend(_ERROR_STEPS)
    return engine().error(detail, path=path, context=context)


def _test(type: str, fails: Callable[[Any, Any], bool]) -> _Check:
    """A check of bodies of one type, which is told the keyword's value and the body."""

    def check(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
        return (_error(),) if validator.is_type(body, type) and fails(value, body) else ()

    return check


def _is_no_multiple(step: Any, number: Any) -> bool:
    """As the numbers are written, so 0.3 is a multiple of 0.1."""
    if isinstance(step, int) and isinstance(number, int):
        return number % step != 0
    spend(FRACTION_STEPS)
    if isinstance(number, float) and not math.isfinite(number):
        return True
    return fraction(number) % fraction(step) != 0


def _type(validator: Any, types: Any, body: Any, schema: Any) -> Iterable[Any]:
    return () if any(validator.is_type(body, one) for one in listed(types)) else (_error(),)


def _among(validator: Any, keys: Any, body: Any, schema: Any) -> Iterable[Any]:
    return () if key_of(body) in keys else (_error(),)


def _required(validator: Any, names: Any, body: Any, schema: Any) -> Iterator[Any]:
    missing = [name for name in names if name not in body] if isinstance(body, dict) else []
    if missing:
        yield _error(missing, path=missing[:1])


def _dependent(validator: Any, needs: Any, body: Any, schema: Any) -> Iterator[Any]:
    for name in needs if isinstance(body, dict) else ():
        if name in body:
            spend(len(needs[name]) / LOOP_STEP)
            yield from (_error(name, path=[one]) for one in needs[name] if one not in body)


def _additional(validator: Any, rest: Any, body: Any, schema: Any) -> Iterator[Any]:
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for name in fields_of(body):
        if name in known or any(pattern.found_in(name) for pattern in patterns):
            continue
        if rest is NEVER:
            yield _error(path=[name])
        else:
            yield from validator.descend(body[name], rest, path=name)


def _by_pattern(validator: Any, nodes: Any, body: Any, schema: Any) -> Iterator[Any]:
    for pattern, node in nodes.items():
        for name in filter(pattern.found_in, fields_of(body)):
            yield from validator.descend(body[name], node, path=name)


def _property_names(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    for name in fields_of(body):
        errors: list[Any] = list(islice(validator.descend(name, node), _MAX_BRANCH_ERRORS))
        if errors:
            yield _error(path=[name], context=errors)


def _unique(validator: Any, wanted: Any, body: Any, schema: Any) -> Iterator[Any]:
    items = items_of(body) if wanted else []
    spend(len(items) / LOOP_STEP)  # once more: remembering takes as long as looking
    seen: dict[Any, int] = {}
    for index, item in enumerate(items):
        first = seen.setdefault(key_of(item), index)
        if first != index:
            yield _error(first, path=[index])


def _contains(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    if isinstance(body, list):
        looker = validator.evolve(schema=node)
        found = sum(map(looker.is_valid, items_of(body)))
        if not schema.get("minContains", 1) <= found <= schema.get("maxContains", math.inf):
            yield _error(found)


def _branches(most: float) -> _Check:
    """At least one branch fits, and at most this many."""

    def check(validator: Any, branches: Any, body: Any, schema: Any) -> Iterator[Any]:
        fitting: list[int] = []
        context: list[Any] = []
        for index, branch in enumerate(branches):
            found = validator.descend(body, branch, schema_path=index)
            errors: list[Any] = list(islice(found, _MAX_BRANCH_ERRORS))
            context += errors
            fitting += [] if errors else [index]
            if fitting and most == math.inf:
                return
        if not 1 <= len(fitting) <= most:
            yield _error(fitting, context=() if fitting else context)

    return check


def _not(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    if validator.evolve(schema=node).is_valid(body):
        yield _error()


def _refer(validator: Any, node: Any, body: Any, schema: Any) -> Iterable[Any]:
    return validator.descend(body, node)


def _never(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
    return (_error(),)


def _always(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
    return ()


_CHECKS: Mapping[str, _Check] = {
    "$ref": _refer,
    "false": _never,
    "type": _type,
    "enum": _among,
    "const": _among,
    "additionalProperties": _additional,
    "required": _required,
    "propertyNames": _property_names,
    "dependentRequired": _dependent,
    "minimum": _test("number", lambda least, number: number < least),
    "maximum": _test("number", lambda most, number: number > most),
    "exclusiveMinimum": _test("number", lambda least, number: number <= least),
    "exclusiveMaximum": _test("number", lambda most, number: number >= most),
    "multipleOf": _test("number", _is_no_multiple),
    "minLength": _test("string", lambda least, text: len(text) < least),
    "maxLength": _test("string", lambda most, text: len(text) > most),
    "minItems": _test("array", lambda least, items: len(items) < least),
    "maxItems": _test("array", lambda most, items: len(items) > most),
    "minProperties": _test("object", lambda least, fields: len(fields) < least),
    "maxProperties": _test("object", lambda most, fields: len(fields) > most),
    "pattern": _test("string", lambda pattern, text: not pattern.found_in(text)),
    "uniqueItems": _unique,
    "contains": _contains,
    "patternProperties": _by_pattern,
    "anyOf": _branches(math.inf),
    "oneOf": _branches(1),
    "not": _not,
    # Alone they always hold, but have to be paid for.
    **dict.fromkeys(("then", "else", "minContains", "maxContains", "examples", "default"), _always),
}
