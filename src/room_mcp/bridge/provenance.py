"""Who wrote what an answer repeats: for programs, beside the text that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from room_mcp import wire

PROVENANCE = "room-mcp/provenance"
UNTRUSTED = "untrusted"  # data, not instructions, whoever wrote it


def provenance(messages: Sequence[wire.Message]) -> dict[str, Any] | None:
    """The `_meta` of an answer that repeats these messages; None when it repeats none.

    Its value is a list with an object for each room and sender, in the order of their first
    message: `{"room_id", "sender", "sender_type", "seqs", "integrity"}`. What the room itself says
    repeats others' words too, so that all of it is untrusted.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in messages:
        by = found.setdefault(
            (one.room_id, one.sender),
            {
                "room_id": one.room_id,
                "sender": one.sender,
                "sender_type": one.sender_type,
                "seqs": [],
                "integrity": UNTRUSTED,
            },
        )
        by["seqs"].append(one.seq)
    return {PROVENANCE: list(found.values())} if found else None
