"""From the rules' and the store's objects to the wire's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from room_mcp import wire
from room_mcp.rooms import Allowance, Expectation, Member, Message, Proof, Room, Spent
from room_mcp.store.interface import Reading

NOTHING_SHOWN = Proof()


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(of: Message) -> wire.Message:
    return wire.Message.model_construct(None, **message_fields(of))


def message_fields(of: Message) -> dict[str, Any]:
    return {
        "id": of.id,
        "seq": of.seq,
        "room_id": of.room_id,
        "sender": of.sender,
        "sender_type": of.sender_type,
        "type": of.type,
        "content": of.content,
        "timestamp": timestamp(of.at),
        "to": list(of.to),
        "reply_to": of.reply_to,
        "mentions": list(of.mentions),
        "wakes": list(of.wakes),
        "chain": of.chain,
    }


def messages(of: Iterable[Message]) -> list[wire.Message]:
    return [message(one) for one in of]


def expected(of: Iterable[Expectation]) -> list[wire.Expected]:
    return [
        wire.Expected(
            seq=one.seq,
            type=one.type,
            asker=one.asker,
            of=list(one.of),
            answer_type=one.answers[0],
            accepted_by=one.accepted_by or None,
        )
        for one in of
    ]


def epoch(store_epoch: str, of: Room) -> str:
    """Changes when a cursor into this room may no longer mean what it meant."""
    return f"{store_epoch}.{of.erasures}"


def waiting(readings: Mapping[str, Reading], now: datetime) -> list[str]:
    """The names that sit in a wait at this moment."""
    return [
        name
        for name, one in readings.items()
        if one.waiting_until is not None and one.waiting_until > now
    ]


def _plate(of: Room, updated_at: datetime) -> dict[str, object]:
    """What stands on a room's door."""
    return {
        "room_id": of.id,
        "id": of.id,
        "name": of.name,
        "purpose": of.purpose,
        "template": of.contract.template,
        "lifecycle": of.lifecycle,
        "access": of.admission.access,
        "listed": of.listed,
        "created_at": timestamp(of.created_at),
        "updated_at": timestamp(updated_at),
    }


def room_fields(of: Room, store_epoch: str, updated_at: datetime) -> dict[str, object]:
    return {
        **_plate(of, updated_at),
        "message_count": of.last_seq,
        "last_seq": of.last_seq,
        "epoch": epoch(store_epoch, of),
        "max_bytes": of.max_bytes,
        "outcome": of.closing.outcome if of.closing else None,
        "conclusion": of.closing.conclusion if of.closing else None,
        "archived_at": timestamp(of.archived_at) if of.archived_at and of.is_archived else None,
        "members": [member.name for member in of.active_members],
    }


def seen(of: Room, proof: Proof, store_epoch: str, updated_at: datetime) -> dict[str, object]:
    """What the directory shows this caller of a room: of one that he may not read, how to ask."""
    if not of.may_be_read_by(proof):
        return _from_outside(of)
    fields = room_fields(of, store_epoch, updated_at)
    if of.is_owned_by(proof):
        fields["knocks"] = len(of.admission.knocking)
    return fields


def _from_outside(of: Room) -> dict[str, object]:
    # When it changed is nobody's business who may not read it.
    return {**_plate(of, of.created_at), "message_count": 0, "last_seq": 0, "epoch": ""}


def outside(of: Room) -> wire.Info:
    """What somebody is told of a room who waits to be admitted."""
    return wire.Info.model_validate(
        {
            **_from_outside(of),
            "created_by": "",
            "size_bytes": 0,
            "max_bytes": None,
            "terminal_types": [],
            "members": [],
            "expected": [],
        }
    )


def closing(of: Room) -> wire.Closing | None:
    if of.closing is None:
        return None
    return wire.Closing(
        seq=of.closing.seq,
        by=of.closing.by,
        outcome=of.closing.outcome,
        conclusion=of.closing.conclusion,
        at=timestamp(of.closing.at),
        reason=of.closing.reason,
    )


def info(
    of: Room,
    store_epoch: str,
    readings: Mapping[str, Reading],
    now: datetime,
    proof: Proof = NOTHING_SHOWN,
) -> wire.Info:
    owned = of.is_owned_by(proof)
    here = set(waiting(readings, now))
    return wire.Info(
        room_id=of.id,
        id=of.id,
        name=of.name,
        purpose=of.purpose,
        access=of.admission.access,
        owned=owned,
        knocking=[
            wire.Knock(name=one.name, type=one.kind, role=one.role, at=timestamp(one.at))
            for one in (of.admission.knocking if owned else ())
        ],
        template=of.contract.template,
        lifecycle=of.lifecycle,
        closing=closing(of),
        outcome=of.closing.outcome if of.closing else None,
        conclusion=of.closing.conclusion if of.closing else None,
        listed=of.listed,
        created_at=timestamp(of.created_at),
        created_by=of.created_by,
        message_count=of.last_seq,
        last_seq=of.last_seq,
        size_bytes=of.size_bytes,
        max_bytes=of.max_bytes,
        terminal_types=list(of.contract.terminal_types),
        roles=_roles(of),
        types=[
            wire.MessageType(
                name=one.name,
                about=one.about,
                body=one.body,
                example=one.example,
                expects=list(one.expects),
            )
            for one in of.contract.types.values()
        ],
        verdicts=[
            wire.Verdict(
                name=one.name,
                type=of.contract.terminal[one.rule].type,
                outcome=one.outcome,
                seq=one.seq,
            )
            for one in of.verdicts
        ],
        budget=_budget(of),
        contract=of.contract.document,
        good=is_good(of),
        chain=of.chain,
        members=[_member(of, name, readings, here) for name in of.members],
        expected=expected(of.expectations),
        epoch=epoch(store_epoch, of),
    )


def is_good(of: Room) -> bool | None:
    """Whether the room ended as its contract calls good; None while it is open."""
    if of.closing is None:
        return None
    return of.contract.is_good(of.closing.outcome, by_message=of.closing.reason == "terminal")


def standing(of: Room, member: Member) -> wire.Standing:
    budget = of.contract.budget
    left = (budget.room.messages_left(of.spent), budget.member.messages_left(member.spent))
    return wire.Standing(
        score=round(member.standing.score, 1),
        dry=member.standing.dry,
        budget_left=min((one for one in left if one is not None), default=None),
    )


def _roles(of: Room) -> list[wire.Role]:
    contract = of.contract
    return [
        wire.Role(
            name=role.name,
            about=role.about,
            min=role.min,
            max=role.max,
            may=None if role.may is None else list(role.may),
            ends=[
                type
                for type in contract.terminal_types
                if role.allows(type) and contract.can_end(type, role.name)
            ],
            members=[one.name for one in of.active_members if one.role == role.name],
        )
        for role in contract.roles.values()
    ]


def _budget(of: Room) -> wire.Budget:
    budget = of.contract.budget
    deadline = of.deadline
    return wire.Budget(
        **_allowance(budget.room, of.spent),
        per_member=wire.Allowance(**_allowance(budget.member, None)),
        reserve_messages=budget.reserve_messages,
        lifetime_s=budget.lifetime_s,
        idle_s=budget.idle_s,
        closes_at=timestamp(deadline.at) if deadline else None,
    )


def _allowance(of: Allowance, spent: Spent | None) -> dict[str, Any]:
    """The limits; and what is left of them, where it is the same for all."""
    return {
        "messages": of.messages,
        "messages_left": of.messages_left(spent) if spent else None,
        "bytes": of.size_bytes,
        "bytes_left": of.bytes_left(spent) if spent else None,
        "per_type": dict(of.per_type),
    }


def _member(
    of: Room, skeleton: str, readings: Mapping[str, Reading], here: set[str]
) -> wire.Member:
    member = of.members[skeleton]
    reading = readings.get(member.name, Reading())
    return wire.Member(
        name=member.name,
        type=member.kind,
        active=member.active,
        protected=member.protected,
        muted=member.muted,
        joined_at=timestamp(member.joined_at),
        messages=member.messages,
        role=member.role,
        standing=standing(of, member),
        waiting=member.name in here,
        seen_at=timestamp(reading.seen_at) if reading.seen_at else None,
        read_to=max(reading.read_to, member.joined_seq),
    )
