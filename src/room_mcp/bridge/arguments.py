"""Arguments as models write them: forgiven where the meaning is plain, refused where it is not."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from room_mcp.plain import plain

from .replies import call

ALIASES: Mapping[str, str] = {
    "room_id": "room",
    "room_name": "room",
    "name": "room",
    "message": "content",
    "text": "content",
    "recipients": "to",
    "recipient": "to",
    "in_reply_to": "reply_to",
    "replyTo": "reply_to",
    "message_type": "type",
    "timeout": "timeout_s",
    "timeout_seconds": "timeout_s",
    "maxTokens": "max_tokens",
    "q": "query",
}
"""Names that models use for ours; accepted, not advertised."""

_NUMBERS = frozenset({"reply_to", "before", "after", "max_tokens", "timeout_s"})
_OBJECTS = frozenset({"body"})
_LISTS = frozenset({"to"})
_FLAGS: Mapping[str, bool] = {"true": True, "yes": True, "false": False, "no": False}
_LARGEST = 2**53  # JSON readers lose digits beyond; no room has as many messages
_SHOWN_CHARS = 60  # of an argument that a corrected call repeats
_EXAMPLES: Mapping[str, str] = {"room": "api-review", "name": "api-review", "query": "token"}


MAX_DEPTH = 64  # as the backend has it


class WrongArguments(Exception):
    """A call that cannot be understood; the text says what to write instead."""


def understood(
    tool: str, given: Mapping[str, Any], properties: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments under our names and in our types.

    Raises:
        WrongArguments: One is unknown, and the known ones and the nearest are named; or a text
            is none.
    """
    known = list(properties)
    found: dict[str, Any] = {}
    for name, value in given.items():
        ours = name if name in known else ALIASES.get(name, name)
        if ours not in known and ours == "room" and "name" in known:
            ours = "name"  # create_room(room=…)
        if ours not in known:
            raise WrongArguments(_unknown(tool, name, known))
        if value is None:
            continue  # some hosts send null for what the model left out
        _must_be_text(tool, name, value)
        if _is_deep(value):
            raise WrongArguments(
                f"{tool}: {name} is nested deeper than {MAX_DEPTH} levels. Send a flatter one."
            )
        if ours in found:
            raise WrongArguments(f"{tool}: {ours} is given twice, once as {name}. Send it once.")
        found[ours] = _value(ours, value)
        if ours in _OBJECTS and isinstance(found[ours], str):
            # Not left to the SDK, which would try to read it once more.
            raise WrongArguments(
                f"{tool}: {name} has to be a JSON object, of at most {MAX_DEPTH} levels. "
                f'Example: {name}={{"outcome": "approved"}}'
            )
    return found


def _must_be_text(tool: str, name: str, value: Any) -> None:
    """Refuse what no backend can store, wherever in the value it stands."""
    for text in _texts_in(value):
        if flaw := _flaw(text):
            raise WrongArguments(f"{tool}: {name} holds {flaw}, and send it again.")


def _flaw(text: str) -> str:
    """What in a text no backend can store, and what to do about it; empty when nothing is."""
    if "\x00" in text:
        return "NUL. Leave it out"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "half of a character (a lone surrogate). Write the whole character or leave it out"
    return ""


def _texts_in(value: Any) -> Iterator[str]:
    """All texts of a JSON value, keys too."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            members = cast("dict[str, Any]", one)
            stack += [*members, *members.values()]
        elif isinstance(one, list):
            stack += cast("list[Any]", one)


def _is_deep(value: Any) -> bool:
    """Whether a JSON value has more levels than the backend keeps."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += cast("dict[str, Any]", one).values()
            elif isinstance(one, list):
                inner += cast("list[Any]", one)
        if not inner:
            return False
        level = inner
    return True


def no_such_tool(name: str, known: Sequence[str]) -> str:
    return plain(f"There is no tool {name[:_SHOWN_CHARS]!r}.{_near(name, known)}") + (
        f" Tools: {', '.join(known)}."
    )


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _unknown(tool: str, name: str, known: Sequence[str]) -> str:
    meant = _near(name, known)
    return f"{tool} has no argument {name[:_SHOWN_CHARS]!r}.{meant} It takes: {', '.join(known)}."


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS and isinstance(value, str):
        digits = re.fullmatch(r"\s*#?(-?\d{1,18})(?:\.0*)?\s*s?", value)
        value = int(digits[1]) if digits else value
    if name in _NUMBERS and isinstance(value, float) and value.is_integer():
        value = int(value)
    if name in _NUMBERS and name != "reply_to" and isinstance(value, int):
        return min(value, _LARGEST)
    if name in _OBJECTS and isinstance(value, str):
        return json_in(value) if value.strip() else {}
    if name in _LISTS:
        return _names(value)
    if name == "wait" and isinstance(value, str):
        return _FLAGS.get(value.strip().lower(), value)
    if name == "content" and isinstance(value, (dict, list, int, float, bool)):
        return json.dumps(value, ensure_ascii=False)
    return value


def json_in(text: str) -> Any:
    """The JSON value that came as a string; the string itself when it holds none, a deep one, or
    one with text that nobody can store."""
    try:
        found = json.loads(text, parse_constant=_refused_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return text
    return text if _is_deep(found) or any(map(_flaw, _texts_in(found))) else found


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refused_number(digits)


def _refused_number(digits: str) -> float:
    raise ValueError(f"{digits} is no number of JSON")


def _names(value: Any) -> Any:
    """`"bob"`, `"bob, ann"`, `["bob"]`, `'["bob"]'` and `"@bob"` all name receivers."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            value = json_in(text)
            if isinstance(value, str):
                return [value]  # as a name, and refused as one: the SDK would read it once more
        else:
            value = [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(value, list):
        given = cast("list[Any]", value)
        names = [one.lstrip("@").strip() if isinstance(one, str) else one for one in given]
        if any(one in ("all", "everyone", "*") for one in names):
            return []  # nobody named means everybody
        return [one for one in names if one != ""]
    return value


def refused(
    tool: str, error: ValidationError, properties: Mapping[str, Any], given: Mapping[str, Any]
) -> str | None:
    """What a value should have been, in a sentence with a call that would work.

    The validator's own words are left out; None when it speaks of something that is no argument.
    """
    told: dict[str, str] = {}
    for one in error.errors(include_url=False, include_input=False):
        name = re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", str(one["loc"][0]))
        if name not in properties:
            return None
        told.setdefault(name, _should_be(name, one["type"], one.get("ctx", {}), properties[name]))
    example = {
        name: given[name] if name in given and name not in told else _EXAMPLES.get(name, "…")
        for name, schema in properties.items()
        if "default" not in schema
    }
    return f"{tool}: {'; '.join(told.values())}. Example: {corrected(tool, example)}"


def corrected(tool: str, given: Mapping[str, Any], **instead: Any) -> str:
    """The call as it was given, with some arguments replaced; long texts are left out of it."""
    shown = {
        name: "…" if len(json.dumps(value)) > _SHOWN_CHARS else value
        for name, value in {**given, **instead}.items()
    }
    return call(tool, **shown)


def _should_be(name: str, kind: str, bounds: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    match kind:
        case "missing":
            return f"{name} is missing"
        case "string_too_long":
            return f"{name} may have {bounds['max_length']} characters"
        case "less_than_equal":
            return f"{name} has to be at most {bounds['le']}"
        case _:
            return f"{name} has to be {_kind(schema)}"


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = {
        "string": "a text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "array": "a list of names",
        "object": "a JSON object",
    }
    kind = kinds.get(str(schema.get("type")), "of another type")
    if "minimum" in schema:
        kind += f" from {schema['minimum']} on"
    return kind
