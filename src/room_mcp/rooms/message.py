"""A message, the types that everybody knows, and whom each of them wakes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

SenderType = Literal["agent", "human", "system"]
Content = str | dict[str, Any] | None  # None: the text was erased, the number stays

SYSTEM = "room"  # the sender of the room's own messages

WAKE_ALL_MEMBERS = 8  # in a larger room what is addressed to nobody wakes nobody


class Wakes(Enum):
    """Whom a message without address wakes."""

    SMALL_ROOM = "all others in a small room"
    AUTHOR = "the author of what it answers"
    ADDRESSED = "only those it names"
    ALL = "everybody, whoever is named"
    NOBODY = "nobody, whoever is named"


_WAKES: Mapping[str, Wakes] = {
    "note": Wakes.SMALL_ROOM,
    "question": Wakes.SMALL_ROOM,
    "request": Wakes.SMALL_ROOM,
    "answer": Wakes.AUTHOR,
    "result": Wakes.AUTHOR,
    "refuse": Wakes.AUTHOR,
    "handoff": Wakes.ADDRESSED,
    "decision": Wakes.ALL,
    "propose": Wakes.ALL,
    "cancel": Wakes.ALL,
    "ack": Wakes.NOBODY,
    "heartbeat": Wakes.NOBODY,
    "pass": Wakes.NOBODY,
    "progress": Wakes.NOBODY,
    "accept": Wakes.NOBODY,
    "vote": Wakes.NOBODY,
}

BUILT_IN_TYPES = tuple(_WAKES)

EXPECTS: Mapping[str, str] = {"question": "answer", "request": "result", "handoff": "result"}
"""Type that expects an answer → type that gives it. `refuse` gives every one of them."""


MAX_TYPE_CHARS = 64
OWN_TYPES = "room."  # only the room itself says these


def is_type_name(value: str) -> bool:
    """Whether a type may be called so: one printable word."""
    return (
        0 < len(value) <= MAX_TYPE_CHARS
        and value.isprintable()
        and not any(char.isspace() for char in value)
    )


# Made once: json.dumps would make an encoder for every message.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def wake_rule(type: str, sender_type: SenderType) -> Wakes:
    """How a type wakes; a type that nobody declared wakes like `note`."""
    if sender_type == "human":
        return Wakes.ALL
    return _WAKES.get(type, Wakes.SMALL_ROOM)


class Draft(NamedTuple):
    """What a sender wants to say, before the room has numbered it.

    `content` is kept exactly as sent; `to` are names; `reply_to` is a seq of the same room;
    `if_last_seq` refuses the draft when somebody spoke after that seq.
    """

    sender: str
    content: str | dict[str, Any]
    type: str = "note"
    to: tuple[str, ...] = ()
    reply_to: int | None = None
    sender_type: SenderType = "agent"
    if_last_seq: int | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the content as compact UTF-8 JSON."""
        return len(_to_json(self.content).encode())

    @property
    def text(self) -> str:
        """The words of the content, for mentions and search."""
        content = self.content
        return content if isinstance(content, str) else " ".join(words_in(content))


def words_in(content: Content) -> Sequence[str]:
    """All texts of a content, in order: itself, or the strings inside an object."""
    if isinstance(content, str):
        return [content]
    found: list[str] = []
    stack: list[Any] = [content]
    while stack:
        value = stack.pop()
        match value:
            case str():
                found.append(value)
            case dict():
                stack.extend(reversed(list(value.values())))  # pyright: ignore[reportUnknownArgumentType,reportUnknownMemberType] -- any JSON
            case list():
                stack.extend(reversed(value))  # pyright: ignore[reportUnknownArgumentType] -- any JSON
            case _:
                pass
    return found


class Stamp(NamedTuple):
    """The time and the ids that an act may use; handed in, so that an act may run twice.

    `ids` are as many UUIDs as the act can make messages: the message and the closing notice.
    """

    at: datetime
    ids: tuple[str, str]


class Message(NamedTuple):
    """A message as the room keeps it; `seq` counts 1, 2, 3 … in its room without gaps.

    `chain` is its hash in a room that has a chain, while its text is there.
    """

    room_id: str
    seq: int
    id: str
    at: datetime
    sender: str
    sender_type: SenderType
    type: str
    content: Content
    to: tuple[str, ...] = ()
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    wakes: tuple[str, ...] = ()
    chain: str | None = None


def addressed(message: Message) -> tuple[str, ...]:
    """The names that a message is meant for, in `to` or mentioned; not the sender's own."""
    if not message.to and not message.mentions:
        return ()
    names = dict.fromkeys((*message.to, *message.mentions))
    return tuple(name for name in names if name != message.sender)
