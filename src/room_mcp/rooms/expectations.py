"""Open questions and work: what a room waits for, and who owes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .message import EXPECTS, Message, Wakes, addressed, wake_rule

MAX_EXPECTATIONS = 64  # remembered per room, newest kept


@dataclass(frozen=True, slots=True)
class Expectation:
    """A question without answer, or work without result.

    `of` are the names that it was addressed to and who have not answered; empty means anybody.
    """

    seq: int
    type: str
    asker: str
    of: tuple[str, ...]

    def is_on(self, name: str) -> bool:
        return name in self.of or (not self.of and name != self.asker)

    def is_met_by(self, type: str) -> bool:
        return type == EXPECTS[self.type] or type == "refuse"


Expectations = tuple[Expectation, ...]


def newest_met_by(of: Expectations, type: str, name: str) -> int | None:
    """The seq of the newest one that a message of this type, sent by `name`, would meet."""
    for one in reversed(of):
        if one.is_met_by(type) and one.is_on(name):
            return one.seq
    return None


def after_message(before: Expectations, message: Message) -> Expectations:
    """What is open once this was said: an addressee who answers no longer owes it."""
    if message.type in EXPECTS:
        new = Expectation(message.seq, message.type, message.sender, addressed(message))
        return (*before, new)[-MAX_EXPECTATIONS:]
    if message.reply_to is None or wake_rule(message.type, "agent") is not Wakes.AUTHOR:
        return before
    left: list[Expectation] = []
    for one in before:
        if one.seq != message.reply_to or not one.is_met_by(message.type):
            left.append(one)
        elif rest := tuple(name for name in one.of if name != message.sender):
            left.append(replace(one, of=rest))
    return tuple(left)


def after_leaving(before: Expectations, name: str) -> Expectations:
    """What is open once a member left: what only he owed no longer is."""
    return tuple(
        replace(one, of=tuple(who for who in one.of if who != name)) if name in one.of else one
        for one in before
        if one.of != (name,)
    )
