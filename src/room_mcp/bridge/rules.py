"""What an agent is told of a room's rules: its role, what it may send, and what ends the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from room_mcp import wire
from room_mcp.plain import one_line, plain

from .replies import call, quoted

SHOWN_TYPES = 24
ENDS = " (ends the room)"


def you_are(name: str, role: str | None) -> str:
    return f"You are {name}, {role}." if role else f"You are {name}."


def role_lines(info: wire.Info, name: str | None) -> list[str]:
    """What a member of this role does and may send; in a room without roles, what ends it."""
    role = next((one for one in info.roles if one.name == name), None)
    if role is None:
        types = [_described(info, type) for type in info.terminal_types]
        own = [one.name for one in info.types if one.name not in info.terminal_types]
        lines = [f"Its own types: {', '.join(_described(info, type) for type in own)}"]
        return [
            *(lines if own else []),
            *([f"What ends the room: {', '.join(types)}"] if _is_special(info) else []),
        ]
    about = [f"Your part: {one_line(role.about)}"] if role.about else []
    if role.may is None:
        return [*about, f"You may send everything; {', '.join(role.ends)} ends the room."]
    shown = [
        _described(info, type) + (ENDS if type in role.ends else "")
        for type in role.may[:SHOWN_TYPES]
    ]
    return [*about, f"You may send: {', '.join(shown)}"]


def _is_special(info: wire.Info) -> bool:
    """Whether a room without roles has rules that the server's instructions do not tell."""
    return info.template != "open" and bool(info.terminal_types)


def _described(info: wire.Info, type: str) -> str:
    """A type, with the fields that its body must have."""
    body: Any = next((one.body for one in info.types if one.name == type), None)
    needed = cast("Mapping[str, Any]", body).get("required") if isinstance(body, dict) else None
    if not isinstance(needed, list) or not needed:
        return plain(type)
    return plain(f"{type} {{{', '.join(map(str, cast('list[Any]', needed)))}}}")


def needs_role(info: wire.Info) -> str:
    """Why a message or a wait does not join this room by itself, and the calls that do."""
    free = [one for one in info.roles if one.max is None or len(one.members) < one.max]
    if not free:
        return (
            f"Every role of {quoted(info.name)} is taken. You can only read: "
            f"{call('read_history', room=info.name)}"
        )
    calls = " or ".join(call("join_room", room=info.name, role=one.name) for one in free)
    return f"In {quoted(info.name)} members have roles. Join with yours first: {calls}"
