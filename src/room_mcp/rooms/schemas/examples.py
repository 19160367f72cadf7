"""Invents a body that a schema accepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any

from .reading import NEVER, Node
from .steps import spend
from .values import NOTHING, WORDS, fraction, key_of, listed

_READING_STEPS = 8
_MAX_INVENTED = 1_000  # characters of a text, items of a list
_MAX_NUMBER = 2**53  # the whole numbers that every reader of JSON knows end here


_SAMPLES: Mapping[str, str] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


# Which keywords tell the type of a schema that does not.
_TELLING: Mapping[str, frozenset[str]] = {
    "object": frozenset(("properties", "required", "additionalProperties", "minProperties")),
    "array": frozenset(("items", "prefixItems", "minItems", "contains", "uniqueItems")),
    "number": frozenset(("minimum", "maximum", "multipleOf", "exclusiveMinimum")),
    "string": frozenset(("minLength", "maxLength", "pattern")),
}


def invented(validator: Any, schemas: Sequence[Any]) -> Iterator[Any]:
    """Values that fit all the schemas."""
    for nodes in _readings(schemas):
        for value in _offers(validator, nodes):
            if all(validator.evolve(schema=schema).is_valid(value) for schema in schemas):
                yield value


def _readings(schemas: Sequence[Any], read: Sequence[Node] = ()) -> Iterator[Sequence[Node]]:
    """The schemas with what they refer to, once for each way to choose among branches."""
    if not schemas:
        yield read
        return
    spend(_READING_STEPS)
    first, *rest = schemas
    if first is NEVER:
        return
    if first is True:
        yield from _readings(rest, read)
        return
    rest += [*first.get("allOf", ()), *([first["$ref"]] if "$ref" in first else ())]
    choices: list[list[tuple[Any, ...]]]
    choices = [[(one,) for one in first[name]] for name in ("anyOf", "oneOf") if name in first]
    if "if" in first:
        choices.append([(first["if"], first.get("then", True)), (first.get("else", True),)])
    for choice in product(*choices):
        yield from _readings([*rest, *chain(*choice)], [*read, first])


def _offers(validator: Any, nodes: Sequence[Node]) -> Iterator[Any]:
    """Values worth a try, those of the schemas' writer first."""
    for node in nodes:
        yield from node.get("examples", ())
        yield from [node["default"]] if "default" in node else ()
    for node in nodes:
        if "const" in node or "enum" in node:
            yield from node.written["enum"] if "enum" in node else [node.written["const"]]
            return
    for type in _likely_types(nodes):
        yield from _INVENTORS[type](validator, nodes)


def _likely_types(nodes: Sequence[Node]) -> Sequence[str]:
    """The types that all the schemas allow, those first whose keywords they use."""
    named = [listed(types) for types in _every(nodes, "type")]
    whole = [[*types, "integer"] if "number" in types else types for types in named]
    allowed = [type for type in WORDS if all(type in types for types in whole)]
    used = set(chain(*nodes))
    return sorted(allowed, key=lambda type: not used & _TELLING.get(type, frozenset()))


def _every(nodes: Sequence[Node], *keywords: str) -> list[Any]:
    return [node[keyword] for node in nodes for keyword in keywords if keyword in node]


def _texts(validator: Any, nodes: Sequence[Node]) -> Iterator[str]:
    least = max(_every(nodes, "minLength"), default=0)
    most = min(_every(nodes, "maxLength"), default=_MAX_INVENTED)
    formats = [_SAMPLES.get(node.written.get("format", ""), "") for node in nodes]
    patterns = [pattern.first_match() for pattern in _every(nodes, "pattern")]
    simple = ("text", "a", "A", "0", *(f"text{number}" for number in range(2, 20)))
    for text in filter(None, (*formats, *patterns, *simple)):
        size = int(min(max(least, len(text)), most, _MAX_INVENTED))
        yield (text * size)[:size]


def _numbers(validator: Any, nodes: Sequence[Node], whole: bool = False) -> Iterator[Any]:
    low = max(map(fraction, _every(nodes, "minimum", "exclusiveMinimum")), default=None)
    high = min(map(fraction, _every(nodes, "maximum", "exclusiveMaximum")), default=None)
    steps = [fraction(1)] * whole + [fraction(one) for one in _every(nodes, "multipleOf")]
    parts = [(step.numerator, step.denominator) for step in steps or [fraction(1)]]
    step = fraction(math.lcm(*(over for over, _ in parts)))
    step /= math.gcd(*(under for _, under in parts))
    start = fraction(0)
    if low is not None:
        start = math.ceil(low / step) * step
    elif high is not None:
        start = min(start, math.floor(high / step) * step)
    middle = [(low + high) / 2] if low is not None and high is not None else []
    for value in (start, *middle, *(start + n * step for n in range(1, 20)), start - step):
        if abs(value) < _MAX_NUMBER:
            yield int(value) if value.denominator == 1 else float(value)


def _lists(validator: Any, nodes: Sequence[Node]) -> Iterator[list[Any]]:
    wanted = [node.get("minContains", 1) for node in nodes if "contains" in node]
    size = max([*_every(nodes, "minItems"), *wanted], default=0)
    unique = any(_every(nodes, "uniqueItems"))
    made: list[Any] = []
    seen: set[Any] = set()
    for index in range(int(size) if size <= _MAX_INVENTED else 0):
        schemas = chain.from_iterable(_schemas_of_item(node, index) for node in nodes)
        values = invented(validator, list(schemas))
        value = next((one for one in values if not unique or key_of(one) not in seen), NOTHING)
        if value is NOTHING:
            return
        made.append(value)
        seen.add(key_of(value))
    yield made


def _schemas_of_item(node: Node, index: int) -> Iterator[Any]:
    prefix = node.get("prefixItems", ())
    yield prefix[index] if index < len(prefix) else node.get("items", True)
    if "contains" in node and index < node.get("minContains", 1):
        yield node["contains"]


def _objects(validator: Any, nodes: Sequence[Node]) -> Iterator[dict[str, Any]]:
    known: list[str] = list(dict.fromkeys(chain(*_every(nodes, "properties"))))
    needed: dict[str, None] = dict.fromkeys(chain(*_every(nodes, "required")))
    for name in (queue := list(needed)):  # which grows: a field may need others
        more = chain(*(needs.get(name, ()) for needs in _every(nodes, "dependentRequired")))
        queue += (added := [one for one in dict.fromkeys(more) if one not in needed])
        needed |= dict.fromkeys(added)
    least = int(min(max(_every(nodes, "minProperties"), default=0), _MAX_INVENTED))
    spare = [name for name in known if name not in needed]
    needed |= dict.fromkeys(spare[: max(0, least - len(needed))])
    made: dict[str, Any] = {}
    for name in dict.fromkeys([name for name in known if name in needed] + list(needed)):
        schemas = chain.from_iterable(_schemas_of_field(node, name) for node in nodes)
        made[name] = next(invented(validator, list(schemas)), NOTHING)
        if made[name] is NOTHING:
            return
    yield made


def _schemas_of_field(node: Node, name: str) -> list[Any]:
    patterns = node.get("patternProperties", {})
    found = [schema for pattern, schema in patterns.items() if pattern.found_in(name)]
    found += [node["properties"][name]] if name in node.get("properties", ()) else []
    return found or [node.get("additionalProperties", True)]


_INVENTORS: Mapping[str, Callable[[Any, Sequence[Node]], Iterator[Any]]] = {
    "string": _texts,
    "integer": lambda validator, nodes: _numbers(validator, nodes, whole=True),
    "number": _numbers,
    "boolean": lambda validator, nodes: iter((True, False)),
    "object": _objects,
    "array": _lists,
    "null": lambda validator, nodes: iter((None,)),
}
