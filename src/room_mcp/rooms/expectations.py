"""Open questions and work: what a room waits for, and who owes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .contract import Contract
from .members import Member
from .message import BUILT_IN_TYPES, Message, addressed
from .refusals import RoomFull, WorkTaken

MAX_OPEN_QUESTIONS = 64  # per room; the oldest is forgotten
MAX_OPEN_WORK = 256  # per room; more is refused


@dataclass(frozen=True, slots=True)
class Expectation:
    """A question without answer, or work without result.

    `of` are the names that it was addressed to and who have not answered; empty means anybody.
    `answers` are the types that meet it, beside `refuse`; `accepted_by` is who said that he does
    the work, and `for_anybody` whether it was offered to all, of whom `declined` will not.
    """

    seq: int
    type: str
    asker: str
    of: tuple[str, ...]
    answers: tuple[str, ...]
    accepted_by: str = ""
    for_anybody: bool = False
    declined: tuple[str, ...] = ()

    @property
    def is_work(self) -> bool:
        return self.type != "question"

    def is_on(self, name: str) -> bool:
        return name in self.of or (not self.of and name != self.asker and name not in self.declined)

    def is_met_by(self, type: str) -> bool:
        return type in self.answers or type == "refuse"


Expectations = tuple[Expectation, ...]


def meant_by(of: Expectations, type: str, name: str) -> int | None:
    """The seq that a message of this type, sent by `name`, answers when it does not say so.

    What he has accepted comes first, then what he was asked by name, then what anybody may
    answer; of these the newest. An `accept` takes the oldest that nobody has accepted.
    """
    if type == "accept":
        free = [one for one in of if one.is_work and one.is_on(name) and not one.accepted_by]
        return min(free, key=lambda one: (name not in one.of, one.seq)).seq if free else None
    fitting = [one for one in of if one.is_met_by(type) and one.is_on(name)]
    if not fitting:
        return None
    return max(fitting, key=lambda one: (one.accepted_by == name, name in one.of, one.seq)).seq


def meets(of: Expectations, message: Message) -> bool:
    """Whether the message answers something that is open."""
    return any(one.seq == message.reply_to and one.is_met_by(message.type) for one in of)


def after_message(
    before: Expectations,
    message: Message,
    contract: Contract,
    here: Sequence[Member],
    *,
    answers_all: bool = False,
) -> Expectations:
    """What is open once this was said: an addressee who answers no longer owes it.

    Args:
        here: The active members.
        answers_all: It answers everything of its kind that its sender owes, not one number.

    Raises:
        WorkTaken: It accepts work that was offered to anybody and that somebody has accepted.
        RoomFull: It asks for more work than a room keeps in mind.
    """
    if not before and message.type not in contract.expects:
        return before
    left: list[Expectation] = []
    for one in before:
        is_meant = one.seq == message.reply_to or (answers_all and one.is_on(message.sender))
        if _is_withdrawn(one, message) or _is_asked_anew(one, message, contract):
            continue
        if one.seq == message.reply_to and message.type == "accept":
            left.append(_accepted(one, message))
        elif not (is_meant and one.is_met_by(message.type)):
            left.append(one)
        elif (rest := _unanswered(one, message, contract, here)) is not None:
            left.append(rest)
    if message.type in contract.expects:
        left.append(_asked(message, contract, here))
    return _within_bounds(left)


def _asked(message: Message, contract: Contract, here: Sequence[Member]) -> Expectation:
    """What the message expects; where roles answer, of everybody who has such a role."""
    answers = contract.expects[message.type]
    of = addressed(message)
    if not of and contract.roles and message.type not in BUILT_IN_TYPES:
        of = tuple(
            one.name
            for one in here
            if one.name != message.sender and _can_answer(one, answers, contract)
        )
    return Expectation(message.seq, message.type, message.sender, of, answers, for_anybody=not of)


def _can_answer(member: Member, answers: Sequence[str], contract: Contract) -> bool:
    """Whether the member's role lets him send one of these types."""
    role = contract.roles.get(member.role or "")
    return not contract.roles or (role is not None and any(role.allows(type) for type in answers))


def _is_withdrawn(one: Expectation, message: Message) -> bool:
    """Whether the asker takes it back."""
    return (
        message.sender == one.asker
        and message.reply_to == one.seq
        and message.type in ("refuse", "cancel")
    )


def _is_asked_anew(one: Expectation, message: Message, contract: Contract) -> bool:
    """Whether a newer message of the asker stands for it, as a revision does.

    Only what answers something itself does: two tasks of one type are two.
    """
    return (
        message.sender == one.asker
        and one.type not in BUILT_IN_TYPES
        and message.type not in BUILT_IN_TYPES
        and message.type in contract.answering
        and contract.expects.get(message.type) == one.answers
    )


def _unanswered(
    one: Expectation, message: Message, contract: Contract, here: Sequence[Member]
) -> Expectation | None:
    """What is left of it after this answer."""
    if message.type == "refuse" and one.for_anybody:
        declined = (*one.declined, message.sender)
        asked = {one.asker, *declined}
        agents = (member for member in here if member.kind == "agent")
        if all(by.name in asked or not _can_answer(by, one.answers, contract) for by in agents):
            return None
        is_his = one.accepted_by in ("", message.sender)
        free = replace(one, of=(), accepted_by="") if is_his else one
        return replace(free, declined=declined)
    rest = tuple(name for name in one.of if name != message.sender)
    return replace(one, of=rest) if rest else None


def _within_bounds(left: list[Expectation]) -> Expectations:
    questions = [one for one in left if not one.is_work]
    if len(left) - len(questions) > MAX_OPEN_WORK:
        raise RoomFull(
            f"{MAX_OPEN_WORK} pieces of work are open here, as many as a room keeps in mind.",
            advice="Wait for results, or withdraw some: refuse them with replyTo.",
        )
    if len(questions) > MAX_OPEN_QUESTIONS:
        left.remove(questions[0])
    return tuple(left)


def _accepted(one: Expectation, message: Message) -> Expectation:
    if not one.is_work or not (one.for_anybody or one.is_on(message.sender)):
        return one
    if message.sender == one.asker:
        return one
    if one.for_anybody and one.accepted_by and one.accepted_by != message.sender:
        raise WorkTaken(
            f"{one.accepted_by} has accepted #{one.seq} already.",
            seq=one.seq,
            acceptedBy=one.accepted_by,
        )
    of = (message.sender,) if one.for_anybody else one.of
    return replace(one, of=of, accepted_by=message.sender)


def after_leaving(before: Expectations, name: str) -> Expectations:
    """What is open once a member left: what only he owed no longer is.

    Work that was for anybody, and that he had accepted, is for anybody again.
    """
    left: list[Expectation] = []
    for one in before:
        if one.for_anybody and one.accepted_by == name:
            left.append(replace(one, of=(), accepted_by=""))
        elif one.of != (name,):
            by = "" if one.accepted_by == name else one.accepted_by
            of = tuple(who for who in one.of if who != name)
            left.append(replace(one, of=of, accepted_by=by))
    return tuple(left)
