"""What a node tells the others with a commit: which rooms have changed. A hint, no truth."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

CHANNEL = "room_mcp"
MAX_BYTES = 7_900  # PostgreSQL takes 8,000
_EVERYTHING = "*"  # too many rooms to name
_DIRECTORY = "/"

ALL_CHANGED = f"- {_DIRECTORY} {_EVERYTHING}"
"""A notice of no node: whoever waits for anything looks again."""


class Notice(NamedTuple):
    """`room_ids` is None when it may be any room."""

    node: str
    directory: bool
    room_ids: Collection[str] | None


def notice(node: str, room_ids: Collection[str], *, directory: bool) -> str:
    """The payload of a NOTIFY; ids hold no spaces, nor do names of nodes."""
    head = f"{node} {_DIRECTORY if directory else '-'}"
    whole = " ".join((head, *room_ids))
    return whole if len(whole.encode()) <= MAX_BYTES else f"{head} {_EVERYTHING}"


def read(payload: str) -> Notice:
    """What `notice` wrote."""
    node, mark, *ids = payload.split(" ")
    return Notice(node, mark == _DIRECTORY, None if ids == [_EVERYTHING] else ids)
