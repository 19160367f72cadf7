"""Reads the fields of a document; whatever is wrong is refused with its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, cast

from .contract import MAX_OUTCOME_CHARS
from .refusals import Malformed

MAX_LIST = 64
MAX_ABOUT_CHARS = 500
MAX_COUNT = 10**12  # messages or bytes

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")

Object = dict[str, Any]


class BadContract(Malformed):
    """A contract that cannot work; `facts["place"]` says where, as in `roles.author.max`."""


def fields_of(
    value: Any, place: str, known: Collection[str], others: Mapping[str, str] | None = None
) -> Object:
    """An object whose fields are all known, its field names in snake_case."""
    if not isinstance(value, dict):
        wrong(place, "it must be an object")
    fields: Object = {}
    for key, one in cast("Object", value).items():
        name = in_snake_case(key)
        name = (others or {}).get(name, name)
        if name not in known:
            wrong(place_of(place, key), f"it is not known here; known are {', '.join(known)}")
        if name in fields:
            wrong(place_of(place, key), "it is there twice")
        fields[name] = one
    return fields


def object_in(fields: Object, name: str, place: str) -> Object:
    value = fields.get(name, {})
    if not isinstance(value, dict):
        wrong(place_of(place, name), "it must be an object")
    return cast("Object", value)


def text_in(fields: Object, name: str, place: str, longest: int = MAX_ABOUT_CHARS) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        wrong(place_of(place, name), f"it must be one line of at most {longest} characters")
    return value


def texts_in(fields: Object, name: str, place: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list) or len(cast("list[Any]", value)) > MAX_LIST:
        wrong(place_of(place, name), f"it must be a list of at most {MAX_LIST} texts")
    for one in cast("list[Any]", value):
        if not isinstance(one, str) or not one or len(one) > MAX_OUTCOME_CHARS:
            told = f"it must hold texts of 1 to {MAX_OUTCOME_CHARS} characters"
            wrong(place_of(place, name), told)
    return tuple(cast("list[str]", value))


def one_or_more_in(fields: Object, name: str, place: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    return texts_in({name: [value] if isinstance(value, str) else value}, name, place)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def count_in(
    fields: Object, name: str, place: str, least: int = 1, most: int = MAX_COUNT
) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not is_whole(value) or not least <= value <= most:
        wrong(place_of(place, name), f"it must be a whole number from {least} to {most}")
    return value


def choice_in(fields: Object, name: str, place: str, known: Collection[str], usual: str) -> str:
    value = fields.get(name, usual)
    if value not in known:
        wrong(place_of(place, name), f"it must be one of {', '.join(known)}")
    return value


def known_names(names: Collection[str], what: str) -> str:
    return f"known {what}: {', '.join(names)}" if names else f"there are no {what}"


def in_snake_case(key: str) -> str:
    return _HUMP.sub(lambda hump: f"_{hump[1].lower()}", key)


def place_of(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def wrong(place: str, reason: str) -> NoReturn:
    where = f" at {place}" if place else ""
    raise BadContract(
        f"The contract is wrong{where}: {reason}.",
        advice="Mend it and try again; `room-mcp templates check FILE` tells what is wrong.",
        place=place,
    )
