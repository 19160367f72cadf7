"""A chain of hashes over a room's messages: who keeps its head can tell whether any was changed.

Every message carries the SHA-256 of itself and of the one before it. Whoever can write the store
can write a whole new chain as well; what he cannot do is make it end in a head that others know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .copying import changed
from .message import Message
from .room import Step

NO_HEAD = ""  # where a chain begins, and begins anew after texts were erased
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)  # times travel with no more digits than that
# Sorted and in ASCII: the same bytes whoever writes the content down in between.
_canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def link(previous: str, message: Message) -> str:
    """The hash, in hexadecimal, of a message behind the one whose hash is `previous`."""
    fields = (
        previous,
        message.room_id,
        message.seq,
        message.id,
        (message.at - _EPOCH) // _MILLISECOND,
        message.sender,
        message.sender_type,
        message.type,
        message.content,
        message.to,
        message.reply_to,
        message.mentions,
        message.wakes,
    )
    return hashlib.sha256(_canonical(fields).encode()).hexdigest()


def chained(head: str | None, step: Step) -> Step:
    """The step with its messages linked to that head, and the room with the new one.

    Args:
        head: None: the room has no chain, and the step stays as it is.
    """
    if head is None:
        return step
    linked: list[Message] = []
    for message in step.messages:
        head = link(head, message)
        linked.append(message._replace(chain=head))
    if step.room.chain == head:
        return step
    return step._replace(room=changed(step.room, chain=head), messages=tuple(linked))


@dataclass(frozen=True, slots=True)
class Verification:
    """What a transcript proves. `broken_at` is the first seq that is wrong, and `problem` why.

    `unverified` are seqs whose texts were erased, and with them what they could be held against;
    `head` is the hash of the last message.
    """

    count: int = 0
    head: str = NO_HEAD
    unverified: tuple[int, ...] = ()
    broken_at: int | None = None
    problem: str = ""


def verified(messages: Iterable[Message], head: str | None = None) -> Verification:
    """Hold a whole transcript, from its first message on, against its chain.

    Args:
        head: The room's head as it is known from elsewhere; without it nobody can tell whether
            messages are missing at the end, or whether all was written anew.
    """
    count, before, room_id = 0, NO_HEAD, None
    unverified: list[int] = []
    for message in messages:
        expected = count + 1
        problem = ""
        if message.seq != expected:
            problem = _out_of_order(message.seq, expected)
        elif room_id not in (None, message.room_id):
            problem = "it is from another room than those before it"
        elif message.chain is None:
            problem = _unchained(message, before)
        elif link(before, message) != message.chain:
            problem = "it, or the hash of the one before it, was changed"
        if problem:
            return Verification(
                count, before, tuple(unverified), min(message.seq, expected), problem
            )
        if message.chain is None:
            unverified.append(message.seq)
        count, before, room_id = expected, message.chain or NO_HEAD, message.room_id
    if head is not None and head != before:
        problem = "messages are missing at the end, or all were written anew: the head differs"
        return Verification(count, before, tuple(unverified), count + 1, problem)
    return Verification(count, before, tuple(unverified))


def _out_of_order(seq: int, expected: int) -> str:
    if seq > expected:
        return f"it is missing: #{seq} follows #{expected - 1}"
    return f"it comes again, or too late: #{expected} was to follow"


def _unchained(message: Message, before: str) -> str:
    if message.content is not None:
        return "it has no hash"
    return "its text and hash are gone behind a message that has them" if before else ""
