"""Reads past conversations from a file: one message a line, or one whole conversation a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from . import Failed

if TYPE_CHECKING:
    from room_mcp.rooms import Draft

FROM_INPUT = "-"
SYSTEM = "system"
_POSTED = ("sender", "senderType", "content", "type", "to", "replyTo")


class Past(NamedTuple):
    """A message of then; `number` is the one it had, or its place. None: it told no time."""

    number: int
    draft: Draft
    at: datetime | None


class Conversation(NamedTuple):
    """`line` is where it begins, `name` what its line calls it; `skipped` were not said by a
    member, or are erased.
    """

    line: int
    name: str
    messages: list[Past]
    skipped: int


def conversations_in(file: str) -> list[Conversation]:
    """The conversations of a file, in order; `-` is the input. Lines of single messages are one.

    Raises:
        Failed: With the file, the line and what is wrong there.
    """
    shown = "the input" if file == FROM_INPUT else file
    found: list[Conversation] = []
    single: list[tuple[str, Any]] = []
    first = 0
    for line, value in _values(_text(file, shown), shown):
        place = f"{shown}, line {line}"
        whole = value.get("messages")
        if whole is None:
            first = first or line
            single.append((place, value))
            continue
        if not isinstance(whole, list):
            raise Failed(f"{place}: messages must be a list.")
        told = [
            (f"{place}, messages[{at}]", one) for at, one in enumerate(cast("list[Any]", whole))
        ]
        name = value.get("id") or value.get("name")
        found.append(_conversation(line, name if isinstance(name, str) else "", told))
    if single:
        found.append(_conversation(first, "", single))
    if not any(one.messages for one in found):
        raise Failed(f"{shown} holds no messages.")
    return sorted(found, key=lambda one: one.line)


def _values(text: str, shown: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line that is not empty."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Failed(f"{shown}, line {number}: it is not JSON ({error}).") from None
        if not isinstance(value, dict):
            raise Failed(f"{shown}, line {number}: it must be an object.")
        yield number, cast("dict[str, Any]", value)


def _text(file: str, shown: str) -> str:
    try:
        if file == FROM_INPUT:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        with open(file, encoding="utf-8-sig", newline="") as opened:
            return opened.read()
    except UnicodeDecodeError:
        raise Failed(f"{shown} is not UTF-8.") from None
    except OSError as error:
        raise Failed(f"{shown} cannot be read: {error.strerror}.") from None


def _conversation(line: int, name: str, told: list[tuple[str, Any]]) -> Conversation:
    messages: list[Past] = []
    number = 0
    for place, value in told:
        if not isinstance(value, dict):
            raise Failed(f"{place}: it must be an object.")
        fields = cast("dict[str, Any]", value)
        number = _number(fields.get("seq"), number + 1, place)
        if fields.get("senderType") == SYSTEM or (
            "content" in fields and fields["content"] is None
        ):
            continue
        messages.append(Past(number, _draft(fields, place), _time(fields.get("timestamp"), place)))
    return Conversation(line, name, messages, len(told) - len(messages))


def _number(seq: object, place_in_order: int, place: str) -> int:
    if seq is None:
        return place_in_order
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < place_in_order:
        raise Failed(f"{place}: seq must be a number above those before it.")
    return seq


def _draft(fields: dict[str, Any], place: str) -> Draft:
    """What the backend would make of such a post."""
    from pydantic import ValidationError

    from room_mcp import wire
    from room_mcp.backend.drafts import draft_of
    from room_mcp.rooms import Proof, Refusal

    known = {name: fields[name] for name in _POSTED if fields.get(name) is not None}
    try:
        post = wire.Post.model_validate(known)
        draft = draft_of(post, Proof(trusted=True), default_sender=None, max_bytes=sys.maxsize)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Failed(f"{place}: {first['loc'][0]} is wrong: {first['msg']}.") from None
    except Refusal as refusal:
        raise Failed(f"{place}: {refusal.detail}") from None
    return draft


def _time(timestamp: object, place: str) -> datetime | None:
    if timestamp is None:
        return None
    try:
        at = datetime.fromisoformat(cast("str", timestamp))
    except (ValueError, TypeError):
        raise Failed(f"{place}: timestamp must be as in 2026-01-31T12:00:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
