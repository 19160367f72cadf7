"""Arguments as models write them: forgiven where the meaning is plain, refused where it is not."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

ALIASES: Mapping[str, str] = {
    "room_id": "room",
    "room_name": "room",
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

LATER: Mapping[str, str] = {
    "role": "rooms of this version have no roles; leave it out",
    "template": "this version knows the template 'open' alone; leave it out",
}
"""Arguments of a later version, refused by name unless they ask for what is there anyway."""

_NUMBERS = frozenset({"reply_to", "before", "after", "max_tokens", "timeout_s"})
_OBJECTS = frozenset({"body"})
_LISTS = frozenset({"to"})
_FLAGS: Mapping[str, bool] = {"true": True, "yes": True, "false": False, "no": False}


class WrongArguments(Exception):
    """A call that cannot be understood; the text says what to write instead."""


def understood(
    tool: str, given: Mapping[str, Any], properties: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments under our names and in our types.

    Raises:
        WrongArguments: One is unknown; the known ones and the nearest are named.
    """
    known = list(properties)
    found: dict[str, Any] = {}
    for name, value in given.items():
        ours = name if name in known else ALIASES.get(name, name)
        if ours not in known and ours == "room" and "name" in known:
            ours = "name"  # create_room(room=…)
        if ours in LATER:
            if value not in ("", "open", None):
                raise WrongArguments(f"{tool}: {name}={value!r}: {LATER[ours]}.")
            continue
        if ours not in known:
            raise WrongArguments(_unknown(tool, name, known))
        if value is None:
            continue  # some hosts send null for what the model left out
        found[ours] = _value(ours, value)
    return found


def _unknown(tool: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"{tool} has no argument {name!r}.{meant} It takes: {', '.join(known)}."


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS and isinstance(value, str):
        digits = re.fullmatch(r"\s*#?(-?\d{1,18})(?:\.0*)?\s*s?", value)
        return int(digits[1]) if digits else value
    if name in _NUMBERS and isinstance(value, float) and value.is_integer():
        return int(value)
    if name in _OBJECTS and isinstance(value, str):
        return _object(value) if value.strip() else {}
    if name in _LISTS:
        return _names(value)
    if name == "wait" and isinstance(value, str):
        return _FLAGS.get(value.strip().lower(), value)
    if name == "content" and isinstance(value, (dict, list, int, float, bool)):
        return json.dumps(value, ensure_ascii=False)
    return value


def _object(value: str) -> Any:
    """A JSON object that came as a string; anything else stays, and is refused by its type."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found


def _names(value: Any) -> Any:
    """`"bob"`, `"bob, ann"`, `["bob"]`, `'["bob"]'` and `"@bob"` all name receivers."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            value = _object(text)
        else:
            value = [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(value, list):
        given = cast("list[Any]", value)
        names = [one.lstrip("@").strip() if isinstance(one, str) else one for one in given]
        return [one for one in names if one not in ("", "all", "everyone", "*")]
    return value


def refused(tool: str, error: ValidationError, properties: Mapping[str, Any]) -> str:
    """What a value should have been, in a sentence, without the validator's own words."""
    told: list[str] = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(one["loc"][0]) if one["loc"] else "arguments"
        if one["type"] == "missing":
            told.append(f"{name} is missing")
        else:
            told.append(f"{name} has to be {_kind(properties.get(name, {}))}")
    example = ", ".join(
        f"{name}={_example(name, schema)}"
        for name, schema in properties.items()
        if "default" not in schema
    )
    return f"{tool}: {'; '.join(dict.fromkeys(told))}. Example: {tool}({example})"


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


def _example(name: str, schema: Mapping[str, Any]) -> str:
    return json.dumps({"room": "api-review", "name": "api-review", "query": "token"}.get(name, "…"))
