"""How a room ends, and the notices that it writes itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .message import SYSTEM, Message

MAX_CONCLUSION_CHARS = 2_000
Reason = Literal["terminal", "closed", "budget", "lifetime", "idle", "stalled"]
_SUMMARIES = ("conclusion", "summary", "rationale", "reason", "text")


@dataclass(frozen=True)
class Closing:
    """How a room ended. `seq` is the message that ended it, or the notice itself.

    `reason` tells what ended it: a terminal message, its owner, or a limit.
    """

    seq: int
    by: str
    outcome: str
    conclusion: str
    at: datetime
    reason: Reason


def conclusion_of(content: str | dict[str, Any], field_name: str = "") -> str:
    """The words that sum up a terminal message: its text, or a summary inside its body."""
    if isinstance(content, str):
        return content[:MAX_CONCLUSION_CHARS]
    for name in (field_name, *_SUMMARIES):
        value = content.get(name)
        if isinstance(value, str):
            return value[:MAX_CONCLUSION_CHARS]
    return ""


def closing_notice(room_id: str, seq: int, id: str, closing: Closing) -> Message:
    content = {
        "outcome": closing.outcome,
        "by": closing.by,
        "conclusion": closing.conclusion,
        "closingSeq": closing.seq,
        "reason": closing.reason,
    }
    return notice(room_id, seq, id, "room.closed", content, closing.at)


def notice(
    room_id: str, seq: int, id: str, type: str, content: dict[str, Any], at: datetime
) -> Message:
    """A message of the room itself. It wakes nobody: every wait ends with the change."""
    return Message(
        room_id=room_id,
        seq=seq,
        id=id,
        at=at,
        sender=SYSTEM,
        sender_type="system",
        type=type,
        content=content,
    )
