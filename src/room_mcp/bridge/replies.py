"""How rooms read to an agent: short lines, every answer ending with the next step."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from room_mcp import wire
from room_mcp.failures import BackendError, BackendRefused
from room_mcp.plain import one_line, plain

from .names import compared

MAX_REPLY_TOKENS = 2_250  # with the lines around it under 10,000 characters, where hosts cut
MAX_HISTORY_TOKENS = 33_000  # one message of the largest size, 64 KiB, in any script
SHOWN_NAMES = 8
SNIPPET_CHARS = 160
NOT_REACHED = "The rooms cannot be reached now."
END_OF_ROOM = "Nothing more to send here; tell your user."
_CHARS_PER_TOKEN = 4  # of Latin words; other scripts are counted as one token a character
_MARKS_PER_TOKEN = 2  # of punctuation, as in JSON
_CUT_BELOW = 40  # tokens: less of a text than this is not worth showing


def tokens(text: str) -> int:
    """About how many tokens a text costs; rather too many than too few."""
    ascii_chars = len(text.encode("ascii", "ignore"))
    marks = sum(text.count(mark) for mark in string.punctuation)
    latin = (ascii_chars - marks) / _CHARS_PER_TOKEN + marks / _MARKS_PER_TOKEN
    return len(text) - ascii_chars + math.ceil(latin)


def quoted(text: str) -> str:
    """One line in double quotes, as it would stand in a call."""
    return json.dumps(plain(text), ensure_ascii=False)


def same_name(one: str, other: str) -> bool:
    """Whether a room takes two spellings for one member."""
    return one == other or compared(one) == compared(other)


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


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
    sender = "you" if same_name(message.sender, you) else message.sender
    human = " (human)" if message.sender_type == "human" else ""
    to = f" → {', '.join('you' if same_name(name, you) else name for name in message.to)}"
    kind = f" [{plain(message.type)}]" if message.type != "note" else ""
    reply = f" re #{message.reply_to}" if message.reply_to else ""
    mark = " (shown before)" if again else ""
    head = f"#{message.seq} {age(message.timestamp, _now())} {sender}{human}"
    text = said(message.content).replace("\n", "\n  ")
    return f"{head}{to if message.to else ''}{kind}{reply}{mark}: {text}"


def _notice(message: wire.Message) -> str:
    content = cast("dict[str, Any]", message.content or {})
    if not content:
        return f"{plain(message.type)}: (erased)"
    match message.type:
        case "room.closed":
            return f"room closed: {one_line(str(content.get('outcome')))}, by {content.get('by')}"
        case "room.paused":
            return f"room paused by {content.get('by')}"
        case "room.resumed":
            return f"room goes on, released by {content.get('by')}"
        case "room.renamed":
            new = one_line(str(content.get("to")))
            return f"room renamed by {content.get('by')}: it is {new!r} now"
        case "room.reopened":
            return f"room reopened by {content.get('by')}"
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


def newest(messages: Sequence[wire.Message], you: str, max_tokens: int) -> Sequence[wire.Message]:
    """As many of the messages, from the last back, as fit; oldest first."""
    lines = [line(one, you) for one in reversed(messages)]
    return messages[len(messages) - fitting(lines, max_tokens) :]


def cut(text: str, max_tokens: int, room: str, seq: int) -> str:
    """The line of message `seq`, or its beginning and the call that shows all of it."""
    needed = tokens(text)
    if needed <= max_tokens:
        return text
    keep = max(max_tokens, _CUT_BELOW) * _CHARS_PER_TOKEN
    while tokens(text[:keep]) > max(max_tokens, _CUT_BELOW):
        keep = keep * 3 // 4
    whole = call("read_history", room=room, after=seq - 1, before=seq + 1, max_tokens=needed)
    rest = f"all of it: {whole}" if needed <= MAX_HISTORY_TOKENS else "export the room to see them"
    return f"{text[:keep]} … ({len(text) - keep} more characters; {rest})"


def ending(room: wire.Room | wire.Info) -> list[str]:
    """What stands first for whoever comes late: how it ended, in words."""
    if room.lifecycle != "closed":
        return []
    conclusion = f" Conclusion: {said(room.conclusion)}" if room.conclusion else ""
    outcome = one_line(room.outcome or "closed")
    return [f"{quoted(room.name)} is closed: {outcome}.{conclusion}".replace("\n", "\n  ")]


def expected(of: Sequence[wire.Expected], room: str) -> str:
    """What the others wait for, and the call that gives the newest of it; empty when nothing."""
    if not of:
        return ""
    owed = "; ".join(f"{_an(one.answer_type)} to #{one.seq} of {one.asker}" for one in of[-3:])
    newest = of[-1]
    gives = call(
        "send_message",
        room=room,
        type=newest.answer_type,
        reply_to=newest.seq,
        content="…",
    )
    return f"Expected of you: {owed}. Next: {gives}"


def _an(word: str) -> str:
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"


def history(
    row: wire.Room,
    you: str,
    shown: Sequence[wire.Message],
    allowed: int,
    *,
    after: int = 0,
    before: int = 0,
) -> list[str]:
    """A part of a room's history between two seqs, and how to get what was left out of it."""
    if not shown:
        nothing = "no messages yet" if not row.last_seq else "nothing in that range"
        return [*ending(row), f"{quoted(row.name)} · {row.lifecycle} · {nothing}"]
    first, last = shown[0].seq, shown[-1].seq
    unread = f" · {row.unread} unread" if row.unread else ""
    head = f"{quoted(row.name)} · {row.lifecycle} · #{first}–#{last} of {row.last_seq}{unread}"
    lines = [*ending(row), head]
    others = [one.seq for one in shown if not same_name(one.sender, you)]
    new = others[-row.unread :] if row.unread and last == row.last_seq else []
    for one in shown:
        if new[:1] == [one.seq]:
            lines.append("— new —")
        lines.append(cut(line(one, you), allowed, row.name, one.seq))
    left: list[str] = []
    if first - 1 > after and (first > 1):
        older = call("read_history", room=row.name, before=first)
        left.append(f"{first - 1} older left out; next: {older}")
    if last < row.last_seq and not (before and last >= before - 1):
        newer = call("read_history", room=row.name, after=last)
        left.append(f"{row.last_seq - last} newer left out; next: {newer}")
    return [*lines, f"cursor {last}. {' '.join(left) or 'Nothing left out.'}"]


def to_whom(posted: wire.Posted) -> str:
    """Whom a message wakes, as the rest of "Sent #4"."""
    if not posted.wakes:
        if posted.type in wire.QUIET_TYPES:
            return "; it wakes nobody."
        return "; it wakes nobody here." if posted.to else "; nobody is here to be woken yet."
    shown = some(posted.wakes)
    if not posted.waiting:
        return f" to {shown}."
    if len(posted.waiting) == len(posted.wakes) == 1:
        return f" to {shown}, who is waiting."
    return f" to {shown}; waiting now: {some(posted.waiting)}."


def owed_in(info: wire.Info, you: str) -> list[wire.Expected]:
    return [one for one in info.expected if you in one.of or (not one.of and one.asker != you)]


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
    waits = [name for name in room.waiting if not same_name(name, you)]
    if waits:
        for_you = " for you" if any(one.asker in waits for one in room.expected) else ""
        parts.append(f"{some(waits)} {'waits' if len(waits) == 1 else 'wait'}{for_you}")
    if room.purpose:
        parts.append(one_line(room.purpose))
    return " · ".join(parts)


def after_listing(rooms: Sequence[wire.Room], you: str) -> str:
    """The likeliest next call of who has seen these rooms; one without a name can only read."""
    if any(room.unread for room in rooms):
        return call("wait_for_messages")
    first = next((room for room in rooms if room.lifecycle != "closed"), rooms[0])
    if first.lifecycle == "closed" or not you:
        return call("read_history", room=first.name)
    tool = "join_room" if first.unread is None else "wait_for_messages"
    return call(tool, room=first.name)


def refusal(error: BackendError, tool: str, room: str, renaming: str) -> str:
    """A refusal in words, with the corrected call.

    Args:
        renaming: What a user does to give the agent another name.
    """
    text = f"{error.detail} {error.advice}".strip()
    if isinstance(error, BackendRefused):
        text = _in_our_words(error, tool, room, renaming)
    return plain(text).replace("\n", "\n  ")


def _in_our_words(error: BackendRefused, tool: str, room: str, renaming: str) -> str:
    """The backend's advice is for programs; where an agent does something else, ours replaces it.

    Codes are those of the backend's problems.
    """
    ending = {"type": "decision", "body": {"outcome": "…", "rationale": "…"}}
    advice = error.advice.replace("replyTo", "reply_to")
    next_call = ""
    match error.code, tool:
        case "not_a_member", _:
            next_call = call("join_room", room=room)
        case "contract_violation", _:
            advice = ""
            body = error.facts.get("example")
            next_call = call(
                "send_message", room=room, type=error.facts.get("messageType"), body=body
            )
        case "not_yet_admitted", _:
            next_call = call("wait_for_messages", room=room)
        case "name_not_yours", _:
            advice = f"Ask your user to {renaming}; {error.advice[:1].lower()}{error.advice[1:]}"
        case (("key_required" | "key_invalid"), _):
            advice = (
                "Ask your user for another key: `room-mcp connect CODE` with an invitation, or "
                "ROOM_MCP_KEY."
            )
        case "store_busy", _:
            # The client has tried again meanwhile; what to do about it is nothing for an agent.
            return f"{NOT_REACHED} Try again later; if it lasts, tell your user: {error.detail}"
        case "store_unavailable", _:
            return f"{NOT_REACHED} Tell your user: {error.detail} {error.advice}"
        case ("role_taken", _):
            next_call = call("read_history", room=room)
        case "cursor_ahead", _:
            next_call = call("read_history", room=room)
        case "not_the_owner", _ if ends := error.facts.get("endsBy"):
            advice = f"This room ends by {ends}."
            type = error.facts.get("terminalType")
            next_call = call("send_message", room=room, type=type, body={})
        case "not_the_owner", _:
            advice = "A decision, from anybody in it, ends it as well."
            next_call = call("send_message", room=room, **ending)
        case "room_full", _:
            next_call = call("send_message", room=room, **ending)
        case "room_paused", _:
            next_call = call("wait_for_messages", room=room)
        case "rate_limited", _:
            # The client has waited and tried again, for as long as makes sense within one call.
            advice = "Pause for half a minute, then go on with fewer calls."
        case "room_closed", "join_room":
            next_call = call("read_history", room=room)
        case "malformed", "search_messages":
            advice = ""
            next_call = call(tool, query="a few words")
        case (("name_taken" | "name_protected"), _):
            advice = f"Ask your user to {renaming}."
        case _:
            pass
    text = f"{error.detail} {advice}".strip()
    return f"{text} Next: {next_call}" if next_call else text


def found(hit: wire.Hit, you: str, query: str) -> str:
    """A found message, cut to the words around the first hit; a notice has them behind it."""
    message = hit.message
    text = one_line(said(message.content))
    at = min(
        (place for word in query.split() if (place := text.lower().find(word.lower())) >= 0),
        default=0,
    )
    start = max(0, at - SNIPPET_CHARS // 2)
    part = text[start : start + SNIPPET_CHARS]
    shown = f"{'…' if start else ''}{part}{'…' if start + SNIPPET_CHARS < len(text) else ''}"
    if message.sender_type == "system":
        return f"{label(hit.room)} {line(message, you)} ({shown})"
    return f"{label(hit.room)} {line(message.model_copy(update={'content': shown}), you)}"
