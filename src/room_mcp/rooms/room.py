"""A room: small state, and the acts that change it.

`Room` never holds the past, only counters and what the next decision needs. An act takes the
room, the time and ids, and gives back the room after it and the messages it made; or it raises a
`Refusal` and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from .closing import MAX_CONCLUSION_CHARS, Closing, closing_notice, conclusion_of, notice
from .contract import OPEN, Contract
from .expectations import Expectation, after_leaving, after_message, newest_met_by
from .members import Member, Proof
from .message import Draft, Message, SenderType, Stamp, Wakes, wake_rule
from .names import mentioned, skeleton
from .refusals import (
    Malformed,
    NameProtected,
    NameTaken,
    NotAMember,
    NotTheOwner,
    RoomClosed,
    RoomFull,
    RoomPaused,
    SeqMismatch,
)
from .waking import AuthorOf, woken_by

Lifecycle = Literal["open", "paused", "closed"]

MAX_MEMBERS = 500  # those who left included: their names stay theirs
FULL_ROOM_RESERVE_BYTES = 16 * 1024  # a full room can still be ended


class Step(NamedTuple):
    """What an act did: the room after it, and the messages to store with it."""

    room: Room
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """The state of one room. `members` is keyed by the skeleton of the name."""

    id: str
    name: str
    created_at: datetime
    created_by: str = ""
    purpose: str = ""
    listed: bool = True
    contract: Contract = OPEN
    owner_key_hash: str | None = None
    max_bytes: int | None = None
    lifecycle: Lifecycle = "open"
    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
    expectations: tuple[Expectation, ...] = ()
    last_seq: int = 0
    last_at: datetime | None = None
    size_bytes: int = 0
    closing: Closing | None = None
    erasures: int = 0

    # ---- questions about the room -------------------------------------------------------

    def member(self, name: str) -> Member | None:
        """The member of that name who has not left, or None."""
        found = self.members.get(skeleton(name))
        return found if found is not None and found.active else None

    def member_with(self, proof: Proof) -> Member | None:
        """The active member whose key the caller has shown, or None."""
        return next((one for one in self.active_members if proof.shows(one.key_hash)), None)

    @property
    def active_members(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members.values() if member.active)

    def expected_of(self, name: str) -> tuple[Expectation, ...]:
        """Questions and work that wait for this member, oldest first."""
        return tuple(one for one in self.expectations if one.is_on(name))

    def must_be_member(self, name: str) -> Member:
        """The active member of that name; raises NotAMember."""
        member = self.member(name)
        if member is None:
            raise NotAMember(f"{name!r} is not a member of this room.")
        return member

    def must_speak_as(self, name: str, proof: Proof) -> Member:
        """The active member of that name, for a caller who may use it.

        Raises:
            NotAMember: Nobody of that name is here.
            NameProtected: The name belongs to a key that was not shown.
        """
        member = self.must_be_member(name)
        self.must_hold_name(member, proof)
        return member

    def is_owned_by(self, proof: Proof) -> bool:
        return proof.trusted or proof.shows(self.owner_key_hash)

    def must_be_owned_by(self, proof: Proof) -> None:
        """Raises NotTheOwner."""
        if not self.is_owned_by(proof):
            raise NotTheOwner("Only the owner of this room may do this.")

    # ---- acts -----------------------------------------------------------------------------

    def join(
        self,
        name: str,
        *,
        proof: Proof,
        stamp: Stamp,
        new_key_hash: str | None = None,
        protect: bool = False,
        kind: SenderType = "agent",
    ) -> Step:
        """Become a member, or come back as one.

        A name that nobody holds a key for may be taken up by anybody; a member who shows his
        key keeps it; a trusted caller may take up every name.

        Raises:
            NameTaken: The name is in use by somebody else.
            NameProtected: The name belongs to a key that was not shown.
            RoomClosed: The room has ended.
            RoomFull: The room has `MAX_MEMBERS` members.
        """
        self._must_not_be_closed()
        known = self.members.get(skeleton(name))
        if known is None:
            if len(self.members) >= MAX_MEMBERS:
                raise RoomFull(f"The room has {MAX_MEMBERS} members, as many as it may have.")
            return Step(
                self._with(
                    Member(
                        name=name,
                        kind=kind,
                        joined_at=stamp.at,
                        joined_seq=self.last_seq,
                        key_hash=new_key_hash,
                        protected=protect and new_key_hash is not None,
                    )
                )
            )
        keeps_key = proof.shows(known.key_hash)
        if not keeps_key and not proof.trusted:
            if known.protected:
                raise NameProtected(f"The name {known.name!r} is protected by a key in this room.")
            if known.active and known.key_hash is not None:
                raise NameTaken(f"{known.name!r} is already in this room.", name=known.name)
        key_hash = known.key_hash if keeps_key or new_key_hash is None else new_key_hash
        back = replace(
            known,
            active=True,
            key_hash=key_hash,
            protected=(known.protected or protect or keeps_key) and key_hash is not None,
            joined_seq=known.joined_seq if known.active else self.last_seq,
        )
        return Step(self if back == known else self._with(back))

    def leave(self, name: str, *, proof: Proof) -> Step:
        """Stop being a member; questions that waited for the leaver no longer do.

        Raises:
            NotAMember, NameProtected: As `must_speak_as`.
            RoomClosed: The room has ended.
        """
        self._must_not_be_closed()
        member = self.must_speak_as(name, proof)
        room = replace(self, expectations=after_leaving(self.expectations, member.name))
        return Step(room._with(replace(member, active=False)))

    def post(self, draft: Draft, *, proof: Proof, stamp: Stamp, author_of: AuthorOf) -> Step:
        """Say something; a message that meets a terminal rule ends the room in the same step.

        An unknown name joins by its first message, and whoever left comes back.

        Raises:
            RoomClosed, RoomPaused, RoomFull: The room takes no messages, or not this one.
            NameProtected: The name belongs to a key that was not shown.
            SeqMismatch: Somebody spoke after `draft.if_last_seq`.
            Malformed: The draft replies to a number that does not exist, or hands over to nobody.
        """
        self._must_not_be_closed()
        if self.lifecycle == "paused" and draft.sender_type != "human":
            raise RoomPaused("The owner has paused this room.")
        if draft.if_last_seq is not None and draft.if_last_seq != self.last_seq:
            raise SeqMismatch(
                f"The room is at #{self.last_seq}, not at #{draft.if_last_seq}.",
                lastSeq=self.last_seq,
            )
        size_bytes = draft.size_bytes
        ending = self.contract.ending(draft.type)
        self._must_have_space_for(size_bytes, reserve=FULL_ROOM_RESERVE_BYTES if ending else 0)
        sender = self._speaker(draft, proof, stamp)
        room = self if self.member(sender.name) else self._with(sender)
        message = room._message_from(draft, sender, stamp, author_of)
        room = room._after(message, sender, size_bytes)
        if ending is None:
            return Step(room, (message,))
        closing = Closing(
            seq=message.seq,
            by=message.sender,
            outcome=ending.outcome(draft.content),
            conclusion=conclusion_of(draft.content),
            at=message.at,
        )
        step = room._closed(closing, stamp.ids[1])
        return Step(step.room, (message, *step.messages))

    def close(self, by: str, conclusion: str, *, proof: Proof, stamp: Stamp) -> Step:
        """End the room without a terminal message; the owner's right.

        Raises:
            NotTheOwner: The caller holds neither the owner key nor the store.
            RoomClosed: It has ended already.
        """
        self._must_not_be_closed()
        if not self.is_owned_by(proof):
            types = " or ".join(rule.type for rule in self.contract.terminal)
            raise NotTheOwner(
                "Only the owner closes this room without a terminal message.",
                advice=f"End it with a message of type {types}, or send the ownerKey.",
            )
        closing = Closing(
            seq=self.last_seq + 1,
            by=by,
            outcome="closed",
            conclusion=conclusion[:MAX_CONCLUSION_CHARS],
            at=self._time(stamp),
        )
        return self._closed(closing, stamp.ids[0])

    def pause(self, by: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Refuse all messages but people's until `resume`; the owner's right."""
        return self._held("paused", "room.paused", by, proof, stamp)

    def resume(self, by: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Take messages again after `pause`; the owner's right."""
        return self._held("open", "room.resumed", by, proof, stamp)

    # ---- how acts work ----------------------------------------------------------------------

    def _held(self, to: Lifecycle, notice_type: str, by: str, proof: Proof, stamp: Stamp) -> Step:
        self._must_not_be_closed()
        self.must_be_owned_by(proof)
        if self.lifecycle == to:
            return Step(self)
        said = notice(
            self.id,
            self.last_seq + 1,
            stamp.ids[0],
            notice_type,
            {"by": by},
            self._time(stamp),
        )
        return Step(replace(self, lifecycle=to, last_seq=said.seq, last_at=said.at), (said,))

    def _with(self, member: Member) -> Room:
        members = {**self.members, skeleton(member.name): member}
        return replace(self, members=MappingProxyType(members))

    def _time(self, stamp: Stamp) -> datetime:
        """The stamp's time, never before the last message: timestamps are monotone."""
        return stamp.at if self.last_at is None else max(stamp.at, self.last_at)

    def _must_not_be_closed(self) -> None:
        if self.closing is None:
            return
        end = self.closing
        stop = "" if end.conclusion.endswith((".", "!", "?")) else "."
        said = f' It concluded: "{end.conclusion}"{stop}' if end.conclusion else ""
        raise RoomClosed(
            f"This room is closed: {end.outcome}, by {end.by} (#{end.seq}).{said}",
            outcome=end.outcome,
            closedBy=end.by,
            closingSeq=end.seq,
            conclusion=end.conclusion,
        )

    def must_hold_name(self, member: Member, proof: Proof) -> None:
        """A key that was shown must be the member's; a protected name needs one."""
        if proof.trusted or proof.shows(member.key_hash):
            return
        if member.protected:
            raise NameProtected(f"The name {member.name!r} is protected by a key in this room.")
        if proof.key_hash is not None and not proof.shows(self.owner_key_hash):
            raise NameProtected(f"The key is not the one of {member.name!r} in this room.")

    def _speaker(self, draft: Draft, proof: Proof, stamp: Stamp) -> Member:
        """The sender, who joins or comes back by speaking; using a key protects the name."""
        known = self.members.get(skeleton(draft.sender))
        if known is None or not known.active:
            if known is not None:
                self.must_hold_name(known, proof)
            joined = self.join(
                draft.sender, proof=proof if known else Proof(), stamp=stamp, kind=draft.sender_type
            )
            return joined.room.must_be_member(draft.sender)
        self.must_hold_name(known, proof)
        if known.protected or not proof.shows(known.key_hash):
            return known
        return replace(known, protected=True)

    def _must_have_space_for(self, size_bytes: int, reserve: int) -> None:
        if self.max_bytes is None or self.size_bytes + size_bytes <= self.max_bytes + reserve:
            return
        raise RoomFull(
            f"The room holds {self.size_bytes} of {self.max_bytes} bytes; "
            f"this message has {size_bytes}.",
            bytes=self.size_bytes,
            maxBytes=self.max_bytes,
        )

    def _message_from(
        self, draft: Draft, sender: Member, stamp: Stamp, author_of: AuthorOf
    ) -> Message:
        reply_to = draft.reply_to
        if reply_to is not None and not 1 <= reply_to <= self.last_seq:
            raise Malformed(
                f"There is no #{reply_to} to reply to; the newest is #{self.last_seq}.",
                advice="Reply to the number of an earlier message, or leave replyTo out.",
            )
        if reply_to is None and wake_rule(draft.type, "agent") is Wakes.AUTHOR:
            reply_to = newest_met_by(self.expectations, draft.type, sender.name)
        here = self.active_members
        message = Message(
            room_id=self.id,
            seq=self.last_seq + 1,
            id=stamp.ids[0],
            at=self._time(stamp),
            sender=sender.name,
            sender_type=draft.sender_type,
            type=draft.type,
            content=draft.content,
            to=tuple(dict.fromkeys(self._known_as(name) for name in draft.to)),
            reply_to=reply_to,
            mentions=mentioned(draft.text, [member.name for member in here]),
        )
        woken = woken_by(message, here, author_of)
        return replace(message, wakes=woken) if woken else message

    def _known_as(self, name: str) -> str:
        """The spelling under which a member joined; names of strangers stay as they are."""
        known = self.members.get(skeleton(name))
        return name if known is None else known.name

    def _after(self, message: Message, sender: Member, size_bytes: int) -> Room:
        spent = replace(
            sender, messages=sender.messages + 1, size_bytes=sender.size_bytes + size_bytes
        )
        return replace(
            self,
            members=MappingProxyType({**self.members, skeleton(sender.name): spent}),
            last_seq=message.seq,
            last_at=message.at,
            size_bytes=self.size_bytes + size_bytes,
            expectations=after_message(self.expectations, message),
        )

    def _closed(self, closing: Closing, notice_id: str) -> Step:
        said = closing_notice(self.id, self.last_seq + 1, notice_id, closing)
        room = replace(
            self,
            lifecycle="closed",
            closing=closing,
            expectations=(),
            last_seq=said.seq,
            last_at=said.at,
        )
        return Step(room, (said,))
