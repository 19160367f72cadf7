"""From a request's fields to a draft that the rules can decide about."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from room_mcp import wire
from room_mcp.rooms import Draft, Proof, member_name, skeleton
from room_mcp.rooms.message import MAX_TYPE_CHARS, OWN_TYPES, is_type_name
from room_mcp.rooms.refusals import Malformed, TooLarge
from room_mcp.store.interface import IdempotencyKey

from .callers import sender_type


def draft_of(post: wire.Post, proof: Proof, *, default_sender: str | None, max_bytes: int) -> Draft:
    """The draft that a post asks for.

    Raises:
        Malformed: A name or the type is none, or the type inside the content is another one.
        TooLarge: The content has more than `max_bytes` bytes.
    """
    draft = Draft(
        sender=named(post.sender, default_sender),
        content=post.content,
        type=_type_of(post.type, post.content),
        to=_addressees(post.to),
        reply_to=post.reply_to,
        sender_type=sender_type(post.sender_type, proof),
        if_last_seq=post.if_last_seq,
    )
    size = draft.size_bytes
    if size > max_bytes:
        raise TooLarge(f"The content has {size} bytes; a message may have {max_bytes}.")
    return draft


def named(*candidates: str | None) -> str:
    """The first name that was given.

    Raises:
        Malformed: None was, or one of them is none.
    """
    names = [member_name(name) for name in candidates if name is not None]
    if not names:
        raise Malformed(
            "The sender is missing.", advice='Send your name, as in {"sender":"claude"}.'
        )
    return names[0]


def idempotency_key(
    post: wire.Post, draft: Draft, header: str | None = None
) -> IdempotencyKey | None:
    """The key of a post, from the body or the header, with the fingerprint of what it says.

    Raises:
        Malformed: Both are there and differ, or the header holds something that is no key.
    """
    from_header = _key_from(header)
    if from_header and post.idempotency_key and from_header != post.idempotency_key:
        raise Malformed(
            "idempotencyKey and the Idempotency-Key header differ.", advice="Send one of them."
        )
    key = post.idempotency_key or from_header
    if not key:
        return None
    said = [draft.type, draft.content, list(draft.to), draft.reply_to]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(
        sender=skeleton(draft.sender),
        key=key,
        fingerprint=hashlib.sha256(canonical.encode()).digest(),
    )


def _key_from(header: str | None) -> str | None:
    """The header's value: a quoted string, or the bare text that many clients send."""
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= wire.MAX_KEY_CHARS:
        raise Malformed(
            "The Idempotency-Key header is empty or too long.",
            advice=f"Send 1 to {wire.MAX_KEY_CHARS} characters, such as a UUID.",
        )
    return key


def _type_of(given: str | None, content: str | dict[str, Any]) -> str:
    """The type from the field, or from inside an object; without either it is a note."""
    inner = content.get("type") if isinstance(content, dict) else None
    if not isinstance(inner, str) or not is_type_name(inner):
        inner = None
    if given is None:
        return _said_by_agents(inner or "note")
    if not is_type_name(given):
        raise Malformed(
            f"A type is one word of at most {MAX_TYPE_CHARS} characters.",
            advice="Use a type such as note, question, answer or decision.",
        )
    if inner is not None and inner != given:
        raise Malformed(
            f"The type is {given!r}, and inside the content it is {inner!r}.",
            advice="Send one of them.",
        )
    return _said_by_agents(given)


def _said_by_agents(type: str) -> str:
    if type.startswith(OWN_TYPES):
        raise Malformed(
            f"Only the room itself sends {type!r}.", advice="Use another type, such as note."
        )
    return type


def _addressees(to: str | list[str]) -> tuple[str, ...]:
    names = [to] if isinstance(to, str) else to
    if len(names) > wire.MAX_TO:
        raise Malformed(
            f"The message names {len(names)} receivers; at most {wire.MAX_TO} are allowed.",
            advice="Address nobody to reach everybody.",
        )
    return tuple(member_name(name) for name in names)
