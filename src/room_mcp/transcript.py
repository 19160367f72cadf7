"""A room in Markdown, for people: what was said stands indented, as code does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from room_mcp.plain import one_line, plain

if TYPE_CHECKING:
    from room_mcp import wire

MEDIA_TYPE = "text/markdown"


def heading(name: str, purpose: str, closing: wire.Closing | None) -> str:
    """The room's name, what it is for, and how it ended."""
    lines = [f"# {_literal(name)}", ""]
    if purpose:
        lines += _quoted(purpose)
    if closing is not None:
        lines += [f"Closed: {_literal(closing.outcome)}, by {_literal(closing.by)}.", ""]
        if closing.conclusion:
            lines += _quoted(closing.conclusion)
    return "\n".join(lines) + "\n"


def entry(message: wire.Message) -> str:
    """One message under a heading with its number, its sender and whom it is for."""
    to = f" → {', '.join(map(_literal, message.to))}" if message.to else ""
    reply = f" re #{message.reply_to}" if message.reply_to else ""
    sender, type = _literal(message.sender), _literal(message.type)
    head = f"## #{message.seq} {sender}{to} [{type}]{reply}"
    lines = [head, "", f"{message.timestamp}, {message.sender_type}", ""]
    said = message.content
    if said is None:
        lines += ["(erased)", ""]
    elif isinstance(said, str):
        lines += _quoted(said)
    else:
        lines += _quoted(json.dumps(said, ensure_ascii=False, indent=2))
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """A text in one line that makes no link, image, code, emphasis or HTML."""
    return re.sub(r"([\\`\[\]<>*&]|(?<!\w)_|_(?!\w))", r"\\\1", one_line(text))


def _quoted(text: str) -> list[str]:
    """Indented by four: shown as it is, and unable to pass for a heading of ours."""
    return [*(f"    {line}" for line in plain(text).split("\n")), ""]
