"""Words for talking to a `Room` in tests: rooms with members, drafts, times and ids."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from room_mcp.rooms import Draft, Message, Proof, Room, Stamp, Step
from room_mcp.rooms.guard import Features

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NO_PROOF = Proof()
TRUSTED = Proof(trusted=True)
OWNER = Proof(key_hash="owner-hash")
_numbers = itertools.count(1)


def stamp(seconds: float = 0) -> Stamp:
    return Stamp(
        NOON + timedelta(seconds=seconds), (f"id-{next(_numbers)}", f"id-{next(_numbers)}")
    )


def key(name: str) -> Proof:
    """What the holder of a member's key shows."""
    return Proof(key_hash=f"{name}-hash")


class Past:
    """A past in which these names sent these seqs, and no guard has heard anything."""

    def __init__(self, authors: Mapping[int, str] | None = None) -> None:
        self.author_of = (authors or {}).get

    def judge(self, features: Features, sender: str, *, scored: bool, human: bool) -> None:
        return None


def room(*names: str, **fields: Any) -> Room:
    """An open room with these members."""
    it = Room(id="r", name="review", created_at=NOON, owner_key_hash="owner-hash", **fields)
    for name in names:
        it = it.join(name, proof=NO_PROOF, stamp=stamp()).room
    return it


def post(
    it: Room,
    sender: str,
    content: str | dict[str, Any] = "hello",
    *,
    proof: Proof = NO_PROOF,
    authors: dict[int, str] | None = None,
    seconds: float = 0,
    **fields: Any,
) -> Step:
    """One message; `authors` are who sent the seqs that it may reply to."""
    draft = Draft(sender, content, **{**fields, "to": tuple(fields.get("to", ()))})
    return it.post(draft, proof=proof, stamp=stamp(seconds), past=Past(authors))


def said(it: Room, sender: str, content: str | dict[str, Any] = "hello", **fields: Any) -> Message:
    """The message that a post makes."""
    return post(it, sender, content, **fields).messages[0]


def after(it: Room, *posts: tuple[str, str, dict[str, Any]]) -> Room:
    """The room after these posts: sender, type and further fields."""
    for sender, type, fields in posts:
        it = post(it, sender, type=type, **fields).room
    return it
