"""How rooms and messages look on a terminal.

What others wrote is shown by `plain`, and only behind a line of ours: further lines are indented,
and on a terminal also those that it would wrap, so that no text can pass for another message.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from room_mcp.plain import one_line, plain

if TYPE_CHECKING:
    from room_mcp import wire

INDENT = "    "
NARROWEST = 30  # columns; in less, folding leaves nothing to read
MOST_WIDTH = 10_000  # what a file or pipe counts as: nothing is folded there


def width_of_terminal() -> int:
    """The columns of the terminal that stdout is; `MOST_WIDTH` when it is none."""
    if not sys.stdout.isatty():
        return MOST_WIDTH
    return max(NARROWEST, shutil.get_terminal_size().columns)


def message(
    of: wire.Message,
    *,
    now: datetime | None = None,
    room: str = "",
    width: int | None = None,
) -> str:
    """`#seq HH:MM sender → to [type] re #n: text`, further lines indented.

    Args:
        now: The time that decides whether a date is shown; its zone is the one shown.
        room: The room's name, where several rooms are shown.
        width: Columns; by default those of the terminal.
    """
    where = f"{quoted(room)} " if room else ""
    human = " (human)" if of.sender_type == "human" else ""
    to = f" → {', '.join(one_line(name) for name in of.to)}" if of.to else ""
    kind = "" if of.type == "note" else f" [{one_line(of.type)}]"
    reply = f" re #{of.reply_to}" if of.reply_to else ""
    who = f"{one_line(of.sender)}{human}{to}"
    head = f"{where}#{of.seq} {clock(of.timestamp, now)} {who}{kind}{reply}:"
    return "\n".join(_folded(f"{head} {said(of)}", width or width_of_terminal()))


def said(of: wire.Message) -> str:
    """What a message says, made harmless; an object as one line of JSON."""
    content: object = of.content
    if content is None:
        return "(erased)"
    if isinstance(content, str):
        return plain(content)
    if of.sender_type == "system" and isinstance(content, dict):
        return _notice(cast("dict[str, object]", content))
    return plain(json.dumps(content, ensure_ascii=False))


def _notice(content: dict[str, object]) -> str:
    """What the room itself says: what happened, by whom, and the conclusion if there is one."""
    what = " by ".join(one_line(str(content[key])) for key in ("outcome", "by") if key in content)
    if "from" in content and "to" in content:
        what += f": {quoted(str(content['from']))} is {quoted(str(content['to']))} now"
    conclusion = plain(str(content.get("conclusion") or ""))
    return ": ".join(part for part in (what, conclusion) if part)


def fact(text: str, width: int | None = None) -> str:
    """A line of ours that may hold words of others: harmless, and folded on a terminal."""
    return "\n".join(_folded(plain(text), width or width_of_terminal()))


def clock(timestamp: str, now: datetime | None = None) -> str:
    """The local time of day, after the date unless that is today's."""
    now = now or datetime.now().astimezone()
    try:
        at = datetime.fromisoformat(timestamp).astimezone(now.tzinfo)
    except ValueError:
        return "--:--"
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def age(timestamp: str, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits: `3s`, `12m`, `5h`, `9d`."""
    now = now or datetime.now().astimezone()
    try:
        past = max(now - datetime.fromisoformat(timestamp), timedelta(0))
    except (ValueError, TypeError):
        return "?"
    seconds = int(past.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def lasting(seconds: int) -> str:
    """A length of time in the largest unit that says it exactly: `90 s`, `30 min`, `2 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def quoted(name: str) -> str:
    """A room's name in quotes: a name may hold spaces, and words of ours."""
    return json.dumps(one_line(name), ensure_ascii=False)


def word(name: str) -> str:
    """A name as one word of a shell."""
    import shlex

    return shlex.quote(one_line(name))


def room(of: wire.Room, short_id: str, now: datetime | None = None) -> str:
    """One line of the directory."""
    parts = [f"{short_id}  {quoted(of.name)}", lifecycle(of), counted(of.message_count)]
    parts.append(f"{age(of.updated_at, now)} ago" if of.updated_at else "")
    if not of.listed:
        parts.append("unlisted")
    if of.knocks:
        parts.append(f"{of.knocks} waiting to be admitted")
    if of.members:
        parts.append("here: " + ", ".join(_present(of)))
    about = of.conclusion if of.lifecycle == "closed" else of.purpose
    parts.append(one_line(about or ""))
    return " · ".join(part for part in parts if part)


def lifecycle(of: wire.Room | wire.Info) -> str:
    if of.lifecycle == "closed" and of.outcome not in (None, "", "closed"):
        return f"closed: {one_line(of.outcome)}"
    return of.lifecycle


def heading(of: wire.Room | wire.Info, width: int | None = None) -> str:
    """The room before its messages; a closed room's outcome and conclusion stand first."""
    lines: list[str] = []
    columns = width or width_of_terminal()
    if of.lifecycle == "closed":
        lines += _folded(ending(of), columns)
    lines.append(f"{quoted(of.name)} · {lifecycle(of)} · {counted(of.message_count)}")
    if of.purpose:
        lines += _folded(f"Purpose: {plain(of.purpose)}", columns)
    return "\n".join(lines)


def ending(of: wire.Room | wire.Info) -> str:
    """That the room is closed, how, and with which conclusion."""
    concluded = f": {plain(of.conclusion)}" if of.conclusion else ""
    outcome = f" ({one_line(of.outcome)})" if of.outcome and of.outcome != "closed" else ""
    return f"Closed{outcome}{concluded}"


def counted(count: int) -> str:
    """`1 message`, `2 messages`."""
    return "1 message" if count == 1 else f"{count} messages"


def _present(of: wire.Room) -> Iterator[str]:
    for name in of.members:
        yield one_line(name) + (" (waiting)" if name in of.waiting else "")


def _folded(text: str, width: int) -> list[str]:
    """The text's lines, folded to the width; all but the first are indented."""
    found: list[str] = []
    for line in text.split("\n"):
        for part in _parts(line, width - len(INDENT)) if width < MOST_WIDTH else [line]:
            found.append(INDENT + part if found else part)
    return found


def _parts(line: str, width: int) -> Iterator[str]:
    """Pieces of a line that each fit into the width, cut at spaces where there are some."""
    while True:
        cut = _fitting(line, width)
        if cut >= len(line):
            yield line
            return
        space = line.rfind(" ", 1, cut + 1)
        cut = space if space > 0 and line[:space].strip() else cut
        yield line[:cut].rstrip(" ")
        line = line[cut:].lstrip(" ")


def _fitting(line: str, width: int) -> int:
    """How many characters fit into that many columns; at least one."""
    used = 0
    for index, char in enumerate(line):
        used += _columns(char)
        if used > width:
            return max(index, 1)
    return len(line)


def _columns(char: str) -> int:
    if char == "\t":
        return 8  # the most that one can take
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
