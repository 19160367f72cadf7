"""JSON values: their types, and when two are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from .steps import MAX_LEVELS, TooMuch, spend

FRACTION_STEPS = 4
LOOP_STEP = 16  # entries that a keyword looks through in a step
_KEY_STEP = 4  # values made comparable in a step
NOTHING: Any = object()


WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or value.is_integer())


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": is_whole,
    "number": is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def fields_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items_of(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def listed(value: Any) -> list[Any]:
    return items_of(value) if isinstance(value, list) else [value]


def key_of(value: Any, levels: int = MAX_LEVELS) -> Any:
    """The same key for what JSON calls equal: 1 and 1.0, but not 1 and true."""
    match value:
        case bool():
            return ("true",) if value else ("false",)
        case float() if value.is_integer():
            return key_of(int(value))
        case int() if abs(value) >= 2**61:
            return "#", hex(value)  # as itself, its hash could be chosen to collide
        case list() | dict() if not levels:
            raise TooMuch
        case list():
            items = items_of(value)
            spend((1 + len(items)) / _KEY_STEP)
            return "[", *(key_of(one, levels - 1) for one in items)
        case dict():
            fields = fields_of(value)
            spend((1 + len(fields)) / _KEY_STEP)
            return "{", frozenset((name, key_of(one, levels - 1)) for name, one in fields.items())
        case _:
            return value


def fraction(number: Any) -> Any:
    from fractions import Fraction  # late: few schemas need it, and it brings decimal

    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)
