"""What happens to a draft: it becomes a message, or is refused, and the room takes note of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Protocol, TypeVar

from .budget import Allowance, Spent, is_told, newly_told
from .checking import Checked
from .closing import conclusion_of
from .contract import Contract
from .copying import changed
from .expectations import Expectations, after_message, meant_by, meets
from .guard import Features, Verdict
from .guarding import AS_BEFORE, AT_REST, BEGUN_ANEW, Judged, judged
from .members import Member
from .message import BUILT_IN_TYPES, Draft, Message, Stamp, Wakes
from .names import mentioned, skeleton
from .refusals import BudgetSpent, Malformed, NotAMember, RoleMayNot, RoomFull
from .state import RoomState
from .verdicts import Verdict as Cast
from .verdicts import with_verdict
from .waking import AuthorOf, woken_by

FULL_ROOM_RESERVE_BYTES = 16 * 1024  # a full room can still be ended

R = TypeVar("R", bound=RoomState)


class Past(Protocol):
    """What a decision may ask about the room's earlier messages."""

    def author_of(self, seq: int) -> str | None:
        """Who sent that number; None when there is no such message."""
        ...

    def judge(
        self, features: Features, sender: str, *, scored: bool, human: bool
    ) -> Verdict | None:
        """What the guard thinks of the next message; None when it cannot tell.

        The message is remembered when the decision is accepted.
        """
        ...


def posted(
    room: R, draft: Draft, checked: Checked, sender: Member, stamp: Stamp, past: Past
) -> tuple[R, Message, tuple[str, ...], bool]:
    """Take a draft of a sender who may speak.

    Returns:
        The room after the message, the message, what its sender is told beside it, and whether
        the room goes on without progress, and its contract wants such a room closed.

    Raises:
        RoleMayNot, NotAMember, RoomFull, BudgetSpent, Hushed, WorkTaken, Malformed: As they say.
    """
    contract = room.contract
    _must_be_allowed(room, draft, sender)
    may_end = _may_end(contract, checked, sender)
    here = room.active_members
    size_bytes = draft.size_bytes
    _must_have_space(room, size_bytes, reserve=FULL_ROOM_RESERVE_BYTES if may_end else 0)
    if draft.sender_type != "human":
        _must_be_within_budget(room, draft.type, size_bytes, sender, may_end=may_end)
    message = _message_from(room, draft, sender, here, stamp, past.author_of)
    by_guard = _judged(room, message, checked, sender, past, may_end=may_end)
    if by_guard.is_quiet:
        message = message._replace(wakes=())
    # A user type answers all of its kind, unless it says which.
    answers_all = draft.reply_to is None and draft.type not in BUILT_IN_TYPES
    open_now = after_message(room.expectations, message, contract, here, answers_all=answers_all)
    after, notices = _after(room, message, checked, sender, size_bytes, by_guard, open_now)
    return after, message, notices, by_guard.is_stalled


# ---- what is refused -----------------------------------------------------------------------------


def _must_be_allowed(room: RoomState, draft: Draft, sender: Member) -> None:
    if not room.contract.roles or draft.sender_type == "human":
        return
    role = room.contract.roles.get(sender.role or "")
    if role is None:
        raise NotAMember(
            f"This room has roles, and {sender.name!r} has none.",
            advice=f"Join with a role first: {', '.join(room.contract.roles)}.",
            roles=list(room.contract.roles),
        )
    if not role.allows(draft.type):
        may = role.may or ()
        ends = room.contract.ends_of(role.name)
        told = f" {' or '.join(ends)} ends the room." if ends else ""
        raise RoleMayNot(
            f"As {role.name} you may not send {draft.type}.",
            advice=f"You may send: {', '.join(may)}.{told}",
            role=role.name,
            maySend=list(may),
        )


def _may_end(contract: Contract, checked: Checked, sender: Member) -> bool:
    rules = [contract.terminal[at] for at in checked.endings]
    return any(not rule.by or sender.role in rule.by for rule in rules)


def _must_have_space(room: RoomState, size_bytes: int, reserve: int) -> None:
    if room.max_bytes is None or room.size_bytes + size_bytes <= room.max_bytes + reserve:
        return
    raise RoomFull(
        f"The room holds {room.size_bytes} of {room.max_bytes} bytes; "
        f"this message has {size_bytes}.",
        bytes=room.size_bytes,
        maxBytes=room.max_bytes,
    )


def _must_be_within_budget(
    room: RoomState, type: str, size_bytes: int, sender: Member, *, may_end: bool
) -> None:
    budget = room.contract.budget
    if budget.is_unlimited:
        return
    for allowance, spent, whose in (
        (budget.room, room.spent, "the room"),
        (budget.member, sender.spent, sender.name),
    ):
        limit = allowance.per_type.get(type)
        if limit is not None and spent.of(type) >= limit:
            raise BudgetSpent(
                f"All {limit} messages of type {type} that {whose} has are spent.",
                advice="Say it in a message of another type"
                + _or_end(room, sender, " or end the room with {}"),
                left=0,
                messageType=type,
            )
    widened = budget.with_reserve if may_end else budget
    for allowance, limits, spent, whose in (
        (widened.room, budget.room, room.spent, "The room"),
        (widened.member, budget.member, sender.spent, sender.name),
    ):
        if not allowance.covers(spent, size_bytes):
            advice = "Read on" if limits is budget.member else "Only read from now on"
            raise BudgetSpent(
                f"{whose} has {_left(limits, spent)} left; this message has {size_bytes} bytes.",
                advice=advice + _or_end(room, sender, ", or end the room with {}"),
                messagesLeft=limits.messages_left(spent),
                bytesLeft=limits.bytes_left(spent),
            )


def _left(limits: Allowance, spent: Spent) -> str:
    messages, size_bytes = limits.messages_left(spent), limits.bytes_left(spent)
    parts: list[str] = []
    if messages is not None:
        parts.append(f"{messages} of {limits.messages} messages")
    if size_bytes is not None:
        parts.append(f"{size_bytes} of {limits.size_bytes} bytes")
    return " and ".join(parts)


def _or_end(room: RoomState, sender: Member, words: str) -> str:
    ends = room.contract.good_ends_of(sender.role)
    return f"{words.format(' or '.join(ends))}." if ends else "."


# ---- the message ---------------------------------------------------------------------------------


def _message_from(
    room: RoomState,
    draft: Draft,
    sender: Member,
    here: Sequence[Member],
    stamp: Stamp,
    author_of: AuthorOf,
) -> Message:
    contract = room.contract
    reply_to = draft.reply_to
    if reply_to is not None and not 1 <= reply_to <= room.last_seq:
        raise Malformed(
            f"There is no #{reply_to} to reply to; the newest is #{room.last_seq}.",
            advice="Reply to the number of an earlier message, or leave replyTo out.",
        )
    if reply_to is None and (draft.type in contract.answering or draft.type == "accept"):
        reply_to = meant_by(room.expectations, draft.type, sender.name)
    message = Message(
        room_id=room.id,
        seq=room.last_seq + 1,
        id=stamp.ids[0],
        at=room.time(stamp),
        sender=sender.name,
        sender_type=draft.sender_type,
        type=draft.type,
        content=draft.content,
        to=tuple(dict.fromkeys([_known_as(room, name) for name in draft.to])) if draft.to else (),
        reply_to=reply_to,
        mentions=mentioned(draft.text, (member.name for member in here)),
    )
    rule = contract.wake_rule(draft.type, draft.sender_type)
    if rule is Wakes.AUTHOR and reply_to is None and draft.type not in BUILT_IN_TYPES:
        rule = Wakes.SMALL_ROOM  # it answers nothing that is open
    return message._replace(wakes=woken_by(message, rule, here, author_of))


def _known_as(room: RoomState, name: str) -> str:
    """The spelling under which a member joined; names of strangers stay as they are."""
    known = room.members.get(skeleton(name))
    return name if known is None else known.name


def _judged(
    room: RoomState,
    message: Message,
    checked: Checked,
    sender: Member,
    past: Past,
    *,
    may_end: bool,
) -> Judged:
    contract = room.contract
    human = message.sender_type == "human"
    if checked.features is None:
        return AS_BEFORE
    scored = not contract.is_exempt(message.type, sender.role)
    verdict = past.judge(checked.features, sender.name, scored=scored, human=human)
    if verdict is None:
        return AS_BEFORE
    if human:
        return BEGUN_ANEW
    in_loop = {sender.name, verdict.partner}
    return judged(
        contract,
        verdict,
        sender.standing,
        type=message.type,
        seq=message.seq,
        is_held=contract.is_free_text(message.type)
        and not may_end
        and not meets(room.expectations, message),
        may_hush=checked.may_hush,
        others_wait=any(one.asker not in in_loop for one in room.expectations),
        passing=_passing(room, sender),
    )


def _passing(room: RoomState, sender: Member) -> tuple[str, ...]:
    """What the sender can do that the guard never holds back, as in "send the answer to #4"."""
    owed = room.expected_of(sender.name)[-2:]
    ends = room.contract.good_ends_of(sender.role)
    return (
        *(f"send the {one.answers[0]} to #{one.seq}" for one in owed),
        *((f"end the room with {' or '.join(ends)}",) if ends else ()),
    )


# ---- the room after it ---------------------------------------------------------------------------


def _after(
    room: R,
    message: Message,
    checked: Checked,
    sender: Member,
    size_bytes: int,
    by_guard: Judged,
    open_now: Expectations,
) -> tuple[R, tuple[str, ...]]:
    budget = room.contract.budget
    spent, own, told = room.spent, sender.spent, 0
    reserve_since = room.reserve_since
    by_agent = message.sender_type != "human"
    if by_agent:
        counted = budget.counts(message.type)
        spent = spent.after(message.type, size_bytes, counted=counted)
        own = own.after(message.type, size_bytes, counted=counted)
        if budget.can_be_spent:
            told = newly_told(sender.told_percent, _percent(room, spent, own, message.at))
    if reserve_since is None and budget.can_be_spent and budget.room.is_spent(spent):
        reserve_since = message.at
    member = changed(
        sender,
        messages=sender.messages + 1,
        size_bytes=sender.size_bytes + size_bytes,
        spent=own,
        standing=by_guard.standing or sender.standing,
        told_percent=told or sender.told_percent,
    )
    after = changed(
        room,
        members=MappingProxyType(room.members | {skeleton(sender.name): member}),
        spent=spent,
        reserve_since=reserve_since,
        last_seq=message.seq,
        last_at=message.at,
        size_bytes=room.size_bytes + size_bytes,
        expectations=open_now,
        verdicts=_verdicts(room, message, checked, sender),
    )
    if not by_agent:
        after = _heard_a_person(after)
    notices = [by_guard.notice] if by_guard.notice else []
    if told:
        notices.append(_budget_notice(after, member))
    if by_agent and not budget.is_unlimited:
        notices += _type_notices(after, member, message.type)
    return after, tuple(notices)


def _percent(room: RoomState, spent: Spent, own: Spent, at: datetime) -> int:
    """How much of its budget is spent, whatever part of it is spent most."""
    budget = room.contract.budget
    of_time = budget.percent_of_time(room.began_at, at)
    if budget.is_unlimited:
        return of_time
    return max(budget.room.percent(spent), budget.member.percent(own), of_time)


def _verdicts(
    room: RoomState, message: Message, checked: Checked, sender: Member
) -> tuple[Cast, ...]:
    verdicts = room.verdicts
    for at in checked.endings:
        rule = room.contract.terminal[at]
        if rule.by and sender.role not in rule.by:
            continue
        assert message.content is not None
        outcome = rule.outcome_of(message.content)
        conclusion = conclusion_of(message.content, rule.conclusion_from)
        cast = Cast(at, sender.name, message.seq, outcome, conclusion)
        verdicts = with_verdict(verdicts, cast)
    return verdicts


def _heard_a_person(room: R) -> R:
    """A person spoke: the guard begins anew with everybody."""
    members = {
        key: changed(member, standing=AT_REST) if member.standing.score else member
        for key, member in room.members.items()
    }
    return changed(room, members=MappingProxyType(members))


def _type_notices(room: RoomState, member: Member, type: str) -> list[str]:
    """Says how many messages of this type can follow, when most of them are spent."""
    budget = room.contract.budget
    notices: list[str] = []
    for allowance, spent, whose in (
        (budget.room, room.spent, "the room"),
        (budget.member, member.spent, member.name),
    ):
        limit, count = allowance.per_type.get(type), spent.of(type)
        if limit and is_told(limit, count):
            left = f"has {limit - count} of {limit} messages of type {type} left"
            notices.append(f"Budget: {whose} {left}.")
    return notices


def _budget_notice(room: RoomState, member: Member) -> str:
    budget = room.contract.budget
    parts = [
        f"{whose} has {_left(limits, spent)} left"
        for limits, spent, whose in (
            (budget.room, room.spent, "the room"),
            (budget.member, member.spent, member.name),
        )
        if limits.percent(spent) >= member.told_percent
    ]
    now = room.last_at or room.began_at
    if budget.lifetime_s and budget.percent_of_time(room.began_at, now) >= member.told_percent:
        left_s = budget.lifetime_s - int((now - room.began_at).total_seconds())
        parts.append(f"the room has {left_s} of {budget.lifetime_s} seconds left")
    told = "; ".join(parts)
    return f"Budget: {told}. Come to the end{_or_end(room, member, ' with {}')}"
