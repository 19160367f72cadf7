"""Whom a message wakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .members import Member
from .message import WAKE_ALL_MEMBERS, Message, Wakes, addressed
from .refusals import Malformed

AuthorOf = Callable[[int], str | None]
"""Looks up who sent a seq of this room; the store gives it to acts that reply."""


def woken_by(
    message: Message, rule: Wakes, here: Sequence[Member], author_of: AuthorOf
) -> tuple[str, ...]:
    """The members whose wait it ends, out of those who are `here`; never the sender.

    Raises:
        Malformed: The type needs a receiver, and the message names none.
    """
    if rule is Wakes.NOBODY:
        return ()
    others = tuple([member.name for member in here if member.name != message.sender])
    if rule is Wakes.ALL:
        return others
    named = addressed(message)
    if named or (message.to and rule is not Wakes.ADDRESSED):
        return tuple(name for name in others if name in named)
    if rule is Wakes.SMALL_ROOM:
        return others if _is_small(here) else ()
    if rule is Wakes.AUTHOR:
        author = None if message.reply_to is None else author_of(message.reply_to)
        return tuple(name for name in others if name == author)
    raise Malformed(
        f"A message of type {message.type} names its receiver.",
        advice=f"Send it with to=[…]; here are: {', '.join(others) or 'nobody yet'}.",
    )


def _is_small(here: Sequence[Member]) -> bool:
    return (
        len(here) <= WAKE_ALL_MEMBERS
        or sum(member.kind == "agent" for member in here) <= WAKE_ALL_MEMBERS
    )
