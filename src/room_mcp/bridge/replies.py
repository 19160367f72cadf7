"""How rooms read to an agent: short lines, every answer ending with the next step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from room_mcp import wire
from room_mcp.failures import BackendError, BackendRefused
from room_mcp.plain import one_line, plain

MAX_REPLY_TOKENS = 2_500  # about 10,000 characters: hosts cut or hide what is longer
_CHARS_PER_TOKEN = 4  # of Latin text; other scripts are counted as one token a character
_CUT_BELOW = 40  # tokens: less of a text than this is not worth showing


def tokens(text: str) -> int:
    """About how many tokens a text costs; rather too many than too few."""
    ascii_chars = sum(char.isascii() for char in text)
    return (len(text) - ascii_chars) + -(-ascii_chars // _CHARS_PER_TOKEN)


def quoted(text: str) -> str:
    """One line in double quotes, as it would stand in a call."""
    return json.dumps(plain(text), ensure_ascii=False)


def label(name: str) -> str:
    """A room's name as it may stand in a line: in quotes when it is more than one plain word."""
    return name if re.fullmatch(r"[\w.\-]+", name) else quoted(name)


def call(tool: str, **arguments: Any) -> str:
    """A call that would work, as text."""
    shown = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()
    )
    return f"{tool}({shown})"


def age(timestamp: str, now: datetime) -> str:
    """How long ago, in the largest unit: 9s, 3m, 2h, 5d."""
    try:
        seconds = (now - datetime.fromisoformat(timestamp)).total_seconds()
    except (ValueError, TypeError):
        return "?"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def said(content: Any) -> str:
    """A content as one agent reads it of another: its text, or compact JSON."""
    if content is None:
        return "(erased)"
    if isinstance(content, str):
        return plain(content)
    return plain(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def line(message: wire.Message, you: str, *, again: bool = False) -> str:
    """A message behind `#seq age sender → addressees [type]:`; further lines indented.

    `again` marks one that an earlier answer showed and nobody acknowledged.
    """
    if message.sender_type == "system":
        return f"#{message.seq} {age(message.timestamp, _now())} {_notice(message)}"
    sender = "you" if message.sender == you else message.sender
    human = " (human)" if message.sender_type == "human" else ""
    to = f" → {', '.join('you' if name == you else name for name in message.to)}"
    kind = f" [{plain(message.type)}]" if message.type != "note" else ""
    reply = f" re #{message.reply_to}" if message.reply_to else ""
    mark = " (shown before)" if again else ""
    head = f"#{message.seq} {age(message.timestamp, _now())} {sender}{human}"
    text = said(message.content).replace("\n", "\n  ")
    return f"{head}{to if message.to else ''}{kind}{reply}{mark}: {text}"


def _notice(message: wire.Message) -> str:
    content = cast("dict[str, Any]", message.content or {})
    match message.type:
        case "room.closed":
            return f"room closed: {one_line(str(content.get('outcome')))}, by {content.get('by')}"
        case "room.paused":
            return f"room paused by {content.get('by')}"
        case "room.resumed":
            return f"room goes on, released by {content.get('by')}"
        case _:
            return plain(message.type)


def _now() -> datetime:
    return datetime.now(UTC)


def fitting(lines: Sequence[str], max_tokens: int) -> int:
    """How many of the lines, from the first, fit; at least one if there is one."""
    left = max_tokens
    for count, one in enumerate(lines):
        left -= tokens(one) + 1
        if left < 0 and count:
            return count
    return len(lines)


def cut(text: str, max_tokens: int, rest: str) -> str:
    """The text, or its beginning and `rest`, which says how to get what was left out."""
    if tokens(text) <= max_tokens:
        return text
    keep = max(max_tokens, _CUT_BELOW) * _CHARS_PER_TOKEN
    while tokens(text[:keep]) > max(max_tokens, _CUT_BELOW):
        keep = keep * 3 // 4
    return f"{text[:keep]} … ({len(text) - keep} more characters{rest})"


def ending(room: wire.Room | wire.Info) -> list[str]:
    """What stands first for whoever comes late: how it ended, in words."""
    if room.lifecycle != "closed":
        return []
    conclusion = f" Conclusion: {said(room.conclusion)}" if room.conclusion else ""
    return [f"Closed: {one_line(room.outcome or 'closed')}.{conclusion}".replace("\n", "\n  ")]


def expected(of: Iterable[wire.Expected]) -> str:
    """What the others wait for, as calls; empty when nothing."""
    owed = [
        f"{_an(one.answer_type)} to #{one.seq} of {one.asker} "
        f"(type={json.dumps(one.answer_type)}, reply_to={one.seq})"
        for one in of
    ]
    return f"Expected of you: {'; '.join(owed[-3:])}" if owed else ""


def _an(word: str) -> str:
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"


def directory_row(room: wire.Room, you: str) -> str:
    """A room in `list_rooms`."""
    parts = [label(room.name)]
    if room.lifecycle == "closed":
        parts.append(
            f"closed {quoted(room.outcome or 'closed')} {age(room.updated_at, _now())} ago"
        )
    else:
        parts.append(room.lifecycle)
    unread = f", {room.unread} unread" if room.unread else ""
    count = f"{room.message_count} message{'' if room.message_count == 1 else 's'}"
    parts.append(count + unread)
    waits = [name for name in room.waiting if name != you]
    if waits:
        for_you = " for you" if any(one.asker in waits for one in room.expected) else ""
        parts.append(f"{', '.join(waits)} {'waits' if len(waits) == 1 else 'wait'}{for_you}")
    if room.purpose:
        parts.append(one_line(room.purpose))
    return " · ".join(parts)


def refusal(error: BackendError, tool: str, room: str) -> str:
    """A refusal in words, with the corrected call."""
    text = f"{error.detail} {error.advice}".strip()
    if isinstance(error, BackendRefused):
        text = _in_our_words(error, tool, room)
    return plain(text).replace("\n", "\n  ")


def _in_our_words(error: BackendRefused, tool: str, room: str) -> str:
    """The backend's advice is for programs; where an agent does something else, ours replaces it.

    Codes are those of the backend's problems.
    """
    ending = {"type": "decision", "body": {"outcome": "…", "rationale": "…"}}
    advice = error.advice.replace("replyTo", "reply_to")
    next_call = ""
    match error.code, tool:
        case "not_a_member", _:
            next_call = call("join_room", room=room)
        case "cursor_ahead", _:
            next_call = call("read_history", room=room)
        case "not_the_owner", _:
            advice = "A decision, from anybody in it, ends it as well."
            next_call = call("send_message", room=room, **ending)
        case "room_full", _:
            next_call = call("send_message", room=room, **ending)
        case "room_paused", _:
            next_call = call("wait_for_messages", room=room)
        case "room_closed", "join_room":
            next_call = call("read_history", room=room)
        case "malformed", "search_messages":
            advice = ""
            next_call = call(tool, query="a few words")
        case ("name_taken" | "name_protected"), _:
            advice = (
                "Ask your user to start you under another name: room-mcp --agent NAME, or "
                "ROOM_MCP_AGENT."
            )
        case _:
            pass
    text = f"{error.detail} {advice}".strip()
    return f"{text} Next: {next_call}" if next_call else text
