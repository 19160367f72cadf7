"""How members come into a room, and how they are sent out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from .admission import MAX_KNOCKING, Knock
from .copying import changed
from .expectations import after_leaving
from .members import Member, Proof
from .message import SenderType, Stamp
from .names import OWNER, skeleton
from .refusals import Barred, NameProtected, NameTaken, NotAMember, RoomFull
from .roles import role_for
from .state import RoomState
from .verdicts import without

MAX_MEMBERS = 500  # those who left included: their names stay theirs
MAX_NAMES_OF_KEY = 50  # in a room: else one key could fill it
MAX_KNOCKS_OF_KEY = 5

R = TypeVar("R", bound=RoomState)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for who wants to come in. Without `role` he gets what is needed."""

    name: str
    role: str | None = None
    new_key_hash: str | None = None
    protect: bool = False
    kind: SenderType = "agent"


def entered(room: R, wish: Wish, proof: Proof, stamp: Stamp) -> R:
    """The room with a new member, or one who came back or changed his role; or with somebody who
    waits for the owner.

    Raises:
        Barred: The owner has sent him away.
        NameTaken, NameProtected, RoleTaken, RoomFull, Malformed: As `Room.join`.
    """
    known = room.members.get(skeleton(wish.name))
    if known is not None and skeleton(wish.name) == OWNER:
        room.must_hold_name(known, proof)
        return room if known.active else room.having(changed(known, active=True))
    if known is None:
        room.must_act_as(wish.name, proof)
    elif not known.is_by(proof):
        proof.must_be(known.name)
    if not room.is_owned_by(proof) and room.admission.bars(wish.name, proof.principal):
        raise Barred("The owner of this room has not let you in, or has sent you away.")
    if known is not None and room.admission.access != "open":
        _must_be_himself(room, known, proof)
    if known is None and room.admission.access == "approval" and not room.is_owned_by(proof):
        return _knocked(room, wish, proof, stamp.at)
    if known is None:
        _must_have_place(room, proof)
        if room.admission.knock(wish.name) is not None:  # the owner takes the name himself
            room = changed(room, admission=room.admission.without_knock(wish.name))
    back = (
        _new_member(room, wish, proof, stamp.at)
        if known is None
        else _taken_up(room, known, wish, proof)
    )
    return _with_role(room, back, known, wish.role, wish.kind)


def _must_be_himself(room: RoomState, known: Member, proof: Proof) -> None:
    """Where not everybody may come in, nobody does by a name that nobody holds a key for."""
    if not (known.is_by(proof) or room.is_owned_by(proof)):
        raise NameProtected(f"The name {known.name!r} belongs to somebody else in this room.")


def _must_have_place(room: RoomState, proof: Proof) -> None:
    """Raises RoomFull."""
    if len(room.members) >= MAX_MEMBERS and not room.is_owned_by(proof):
        raise RoomFull(f"The room has {MAX_MEMBERS} members, as many as it may have.")
    of_key = sum(one.principal == proof.principal for one in room.members.values())
    if proof.principal and of_key >= MAX_NAMES_OF_KEY:
        raise RoomFull(
            f"Your key has {MAX_NAMES_OF_KEY} names in this room, as many as it may have.",
            advice="Come back under one of them.",
        )


def _new_member(room: RoomState, wish: Wish, proof: Proof, at: datetime) -> Member:
    if skeleton(wish.name) == OWNER:
        # Whoever has the owner's rights speaks under it; it is bound to none of them.
        return Member(
            name=wish.name,
            kind=wish.kind,
            joined_at=at,
            joined_seq=room.last_seq,
            protected=room.is_owned_by(proof),
        )
    key_hash = None if proof.principal else wish.new_key_hash
    protect = wish.protect or room.admission.access != "open"
    return Member(
        name=wish.name,
        kind=wish.kind,
        joined_at=at,
        joined_seq=room.last_seq,
        key_hash=key_hash,
        protected=(protect and key_hash is not None) or proof.principal != "",
        principal=proof.principal,
        muted=_is_muted(room, proof.principal),
    )


def _is_muted(room: RoomState, principal: str) -> bool:
    """Whether a new name of a server key has to be silent, because another one of it is: else
    nobody who has a key could be muted."""
    return principal != "" and any(
        one.muted for one in room.members.values() if one.principal == principal
    )


def _taken_up(room: RoomState, known: Member, wish: Wish, proof: Proof) -> Member:
    keeps_key = known.is_by(proof)
    if not keeps_key and not proof.trusted:
        if known.principal:
            room.must_hold_name(known, proof)
        if known.protected:
            raise NameProtected(f"The name {known.name!r} is protected by a key in this room.")
        if known.active and known.key_hash is not None:
            raise NameTaken(f"{known.name!r} is already in this room.", name=known.name)
    joined_seq = known.joined_seq if known.active else room.last_seq
    if known.principal or (proof.principal and not keeps_key):
        return changed(
            known,
            active=True,
            key_hash=None,
            protected=True,
            principal=known.principal or proof.principal,
            joined_seq=joined_seq,
        )
    kept = keeps_key or wish.new_key_hash is None
    key_hash = known.key_hash if kept else wish.new_key_hash
    protected = known.protected or wish.protect or keeps_key or room.admission.access != "open"
    return changed(
        known,
        active=True,
        key_hash=key_hash,
        protected=protected and key_hash is not None,
        joined_seq=joined_seq,
    )


def _with_role(
    room: R, back: Member, known: Member | None, role: str | None, kind: SenderType
) -> R:
    if known is None or not known.active or role not in (None, known.role):
        others = (one for one in room.active_members if one.name != back.name)
        kept = None if known is None else known.role
        back = changed(back, role=role_for(room.contract, role, back.name, kind, others, kept))
    if back == known:
        return room
    after = room.having(back)
    if known is not None and known.role != back.role:
        after = changed(after, verdicts=without(after.verdicts, back, room.contract))
    return after


# ---- the door ------------------------------------------------------------------------------------


def _knocked(room: R, wish: Wish, proof: Proof, at: datetime) -> R:
    """The room with somebody more at its door; whoever stands there already goes on waiting."""
    before = room.admission.knock(wish.name)
    if before is not None:
        if before.is_by(proof):
            return room
        raise NameTaken(f"{wish.name!r} waits for this room already.", name=wish.name)
    of_key = sum(one.principal == proof.principal for one in room.admission.knocking)
    if proof.principal and of_key >= MAX_KNOCKS_OF_KEY:
        raise RoomFull(
            f"Your key waits under {MAX_KNOCKS_OF_KEY} names already.",
            advice="Wait until the owner has decided about them.",
        )
    if len(room.admission.knocking) >= MAX_KNOCKING:
        raise RoomFull(
            f"{MAX_KNOCKING} others wait to be admitted, as many as may.",
            advice="Try again once the owner has looked after them.",
        )
    # Told now and not when the owner admits him: he can still choose another one.
    role_for(room.contract, wish.role, wish.name, wish.kind, room.active_members)
    knock = Knock(
        name=wish.name,
        kind=wish.kind,
        at=at,
        role=wish.role,
        key_hash=None if proof.principal else wish.new_key_hash,
        principal=proof.principal,
    )
    admission = room.admission
    return changed(room, admission=changed(admission, knocking=(*admission.knocking, knock)))


def admitted(room: R, name: str, stamp: Stamp) -> R:
    """The room with whoever waits under that name as a member; or in which somebody who was sent
    away may come back. Raises NotAMember when there is nobody of that name."""
    knock = room.admission.knock(name)
    if knock is None:
        admission = room.admission.letting_back(name)
        if admission == room.admission:
            raise _nobody(room, name)
        return changed(room, admission=admission)
    if skeleton(name) in room.members:
        raise NameTaken(f"{knock.name!r} is somebody else in this room by now.", name=knock.name)
    member = Member(
        name=knock.name,
        kind=knock.kind,
        joined_at=stamp.at,
        joined_seq=room.last_seq,
        key_hash=knock.key_hash,
        protected=True,
        principal=knock.principal,
        muted=_is_muted(room, knock.principal),
    )
    after = _with_role(room, member, None, knock.role, knock.kind)
    admission = room.admission.without_knock(name).letting_back(name)
    return changed(after, admission=admission)


def declined(room: R, name: str) -> R:
    """The room without whoever waits under that name, who may not come back, nor wait under other
    names of his server key. Raises NotAMember."""
    knock = room.admission.knock(name)
    if knock is None:
        raise _nobody(room, name)
    admission = room.admission.without_knock(name).without_knocks_of(knock.principal)
    return changed(room, admission=admission.barring(knock.name, knock.principal))


def _nobody(room: RoomState, name: str) -> NotAMember:
    waiting = ", ".join(one.name for one in room.admission.knocking) or "nobody"
    return NotAMember(f"Nobody waits under the name {name!r}.", advice=f"Waiting: {waiting}.")


def muted(room: R, name: str, *, silent: bool) -> R:
    """The room in which this member, by all names of his server key, may only read, or may speak
    again. Raises NotAMember."""
    for one in _all_of(room, room.must_be_member(name)):
        if one.muted != silent:
            room = room.having(changed(one, muted=silent))
    return room


def _all_of(room: RoomState, member: Member) -> tuple[Member, ...]:
    """The member, and who else is here by the same server key: one who has a key could else go on
    under another name."""
    if not member.principal:
        return (member,)
    return tuple(one for one in room.active_members if one.principal == member.principal)


def without_member(room: R, member: Member) -> R:
    """The room after a member left: nothing waits for him, and his verdict counts no longer."""
    gone = changed(member, active=False)
    return changed(
        room.having(gone),
        expectations=after_leaving(room.expectations, gone.name),
        verdicts=without(room.verdicts, gone, room.contract),
    )


def removed(room: R, name: str) -> R:
    """The room without a member, by all names of his server key; he may not come back. Raises
    NotAMember."""
    member = room.must_be_member(name)
    after = room
    for one in _all_of(room, member):
        after = without_member(after, one)
    admission = room.admission.without_knocks_of(member.principal)
    return changed(after, admission=admission.barring(member.name, member.principal))
