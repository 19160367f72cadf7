"""Values, names and places as short words on one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from .values import fields_of, items_of

_MAX_EXCERPT_CHARS = 1024
MAX_VALUE_CHARS = 80
MAX_KEY_CHARS = 40
_MAX_LIST_CHARS = 200
_MAX_PATH_CHARS = 200


def counted(number: Any, unit: str) -> str:
    return f"{shown(number)} {unit}" if number == 1 else f"{shown(number)} {unit}s"


def cut(text: str, size: int = MAX_VALUE_CHARS) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def cut_line(text: str) -> str:
    """The text cut to one line, with what cannot be seen escaped."""
    return cut(text if text.isprintable() else json.dumps(text)[1:-1])


def shown(value: Any) -> str:
    """The value as JSON on one line, cut short."""
    value = cut(value) if isinstance(value, str) else value
    line = json.dumps(value, ensure_ascii=False)
    return cut(line if line.isprintable() else json.dumps(value), MAX_VALUE_CHARS + len('""'))


def named(key: str) -> str:
    """A field's name as it stands in a path or a list."""
    return cut(key, MAX_KEY_CHARS) if key.isidentifier() else shown(cut(key, MAX_KEY_CHARS))


def listing(values: Collection[Any], show: Callable[[Any], str] = shown, comma: str = ", ") -> str:
    """The values side by side, as many as can be read at a glance."""
    kept: list[str] = []
    for value in values:
        if sum(map(len, kept)) > _MAX_LIST_CHARS:
            break
        kept.append(show(value))
    more = len(values) - len(kept)
    return comma.join(kept) + (f" and {more} more" if more else "")


def path_of(parts: Iterable[Any]) -> str:
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{named(part)}" if part.isidentifier() else f"[{named(part)}]"
    text = text.removeprefix(".")
    half = _MAX_PATH_CHARS // 2
    return (text if len(text) <= _MAX_PATH_CHARS else f"{text[:half]}…{text[-half:]}") or "body"


def shortened(excerpt: Any) -> Any:
    """A copy of about 1 KiB at most, with … for what was left out."""
    copy = json.loads(json.dumps(excerpt))
    for width, depth in ((20, 6), (8, 5), (8, 3), (3, 3), (3, 2)):
        if len(json.dumps(copy, ensure_ascii=False)) <= _MAX_EXCERPT_CHARS:
            break
        copy = _trimmed(copy, width, depth)
    return copy


def _trimmed(value: Any, width: int, depth: int) -> Any:
    if isinstance(value, str):
        return cut(value)
    if not isinstance(value, dict | list):
        return value if len(json.dumps(value)) <= MAX_VALUE_CHARS else shown(value)
    if not depth:
        return "…"
    if isinstance(value, list):
        value = items_of(value)
        kept = [_trimmed(one, width, depth - 1) for one in value[:width]]
        return kept + ["…"] * (len(value) > width)
    value = fields_of(value)
    kept = {cut(k): _trimmed(v, width, depth - 1) for k, v in islice(value.items(), width)}
    return kept | ({"…": "…"} if len(value) > width else {})
