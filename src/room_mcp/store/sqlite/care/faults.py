"""What a check finds, in sentences that anybody may see."""

from __future__ import annotations

from dataclasses import dataclass

RESTORE = "Put a backup in its place: `room-mcp restore FILE`."
REPORT = "The rooms can be used; `room-mcp report` collects what a bug report needs."


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it must be; `advice` is what to do.

    `kind` is one word of ours for it, the same whatever the store holds. `mode` is that of a file
    which others may open.
    """

    kind: str
    detail: str
    advice: str
    room_id: str = ""
    mode: str = ""
