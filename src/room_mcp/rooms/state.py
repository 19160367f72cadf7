"""What a room is between two acts: small state, never the past."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal, Self

from .admission import EVERYBODY, Admission
from .budget import NOTHING_SPENT, Deadline, Spent, deadlines
from .closing import Closing
from .contract import Contract
from .copying import changed
from .expectations import Expectations
from .members import Member, Proof
from .message import Stamp
from .names import OWNER, skeleton
from .refusals import (
    Barred,
    NameProtected,
    NotAMember,
    NotTheOwner,
    NotYetAdmitted,
    Overdue,
    RoomClosed,
    RoomNotFound,
)
from .templates import OPEN
from .verdicts import Verdict, Verdicts, deciding

Lifecycle = Literal["open", "paused", "closed"]
Members = MappingProxyType[str, Member]


@dataclass(frozen=True)
class RoomState:
    """The state of one room. `members` is keyed by the skeleton of the name.

    `chain` is the hash of the last message, where the room has a chain of them.
    `spent`, `verdicts` and the guard's standings count since `began_at`, when it was opened or
    last reopened; `reserve_since` is when its budget was spent. `archived_at` is when its owner
    put it away.
    """

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
    members: Members = field(default_factory=lambda: MappingProxyType({}))
    expectations: Expectations = ()
    verdicts: Verdicts = ()
    spent: Spent = NOTHING_SPENT
    reserve_since: datetime | None = None
    reopened_at: datetime | None = None
    last_seq: int = 0
    last_at: datetime | None = None
    size_bytes: int = 0
    closing: Closing | None = None
    erasures: int = 0
    chain: str | None = None
    admission: Admission = EVERYBODY
    archived_at: datetime | None = None

    # ---- questions --------------------------------------------------------------------------

    def member(self, name: str) -> Member | None:
        """The member of that name who has not left, or None."""
        found = self.members.get(skeleton(name))
        return found if found is not None and found.active else None

    def member_with(self, proof: Proof) -> Member | None:
        """The active member whose key the caller has shown, or None."""
        return next((one for one in self.active_members if one.is_by(proof)), None)

    @property
    def active_members(self) -> tuple[Member, ...]:
        return tuple([member for member in self.members.values() if member.active])

    @property
    def is_archived(self) -> bool:
        """Whether it is left out of lists; a version that knows no archive may have reopened it."""
        return self.archived_at is not None and self.closing is not None

    @property
    def began_at(self) -> datetime:
        return self.reopened_at or self.created_at

    @property
    def deadline(self) -> Deadline | None:
        """When the room closes by itself; a paused room is not idle."""
        budget = self.contract.budget
        if self.closing is not None or not (budget.is_timed or self.reserve_since):
            return None
        due = deadlines(
            budget,
            began_at=self.began_at,
            last_at=max(self.last_at or self.began_at, self.began_at),
            reserve_since=self.reserve_since,
        )
        paused = self.lifecycle == "paused"
        return min((one for one in due if not (paused and one.reason == "idle")), default=None)

    @property
    def deciding(self) -> Verdict | None:
        """The verdict that ends the room now, or None."""
        if not self.verdicts:
            return None
        return deciding(self.contract, self.verdicts, self.active_members, self.expectations)

    def expected_of(self, name: str) -> Expectations:
        """Questions and work that wait for this member, oldest first.

        Work for anybody is not for a member whose role may not send what answers it.
        """
        member = self.member(name)
        role = None if member is None else self.contract.roles.get(member.role or "")
        return tuple(
            one
            for one in self.expectations
            if one.is_on(name)
            and (one.of or role is None or any(role.allows(type) for type in one.answers))
        )

    def is_owned_by(self, proof: Proof) -> bool:
        """Whether the caller has the rights of the owner; an admin has those of all rooms."""
        return proof.shows(self.owner_key_hash) or self._is_owned_without_key(proof)

    def _is_owned_without_key(self, proof: Proof) -> bool:
        """By having the store open, or by a server key: rights that come unasked."""
        owner = self.admission.owner
        return proof.trusted or proof.admin or (owner != "" and owner == proof.principal)

    def is_known_to(self, proof: Proof) -> bool:
        """Whether the room exists for this caller; whoever has its id may knock."""
        return not proof.stranger or self.admission.demo

    def may_be_read_by(self, proof: Proof) -> bool:
        """Whether the caller may know more of it than that it exists."""
        if not self.is_known_to(proof):
            return False
        if self.is_owned_by(proof):
            return True
        if proof.principal and self.admission.bars("", proof.principal):
            return False
        return self.admission.access == "open" or self.member_with(proof) is not None

    # ---- laws -------------------------------------------------------------------------------

    def must_be_member(self, name: str) -> Member:
        """The active member of that name; raises NotAMember."""
        member = self.member(name)
        if member is None:
            if self.admission.bars(name, ""):
                raise Barred(f"The owner has sent {name!r} away.")
            raise NotAMember(f"{name!r} is not a member of this room.")
        return member

    def must_be_known_to(self, proof: Proof) -> None:
        """Raises RoomNotFound."""
        if not self.is_known_to(proof):
            raise RoomNotFound("No room has this id.")

    def must_be_read_by(self, proof: Proof) -> None:
        """Whoever may not read an unlisted room is told no more than of one that does not exist.

        Raises:
            RoomNotFound, NotYetAdmitted, Barred, NotAMember: As they say.
        """
        if self.may_be_read_by(proof):
            return
        if any(one.is_by(proof) for one in self.admission.knocking):
            raise NotYetAdmitted("The owner of this room has not admitted you yet.")
        if not self.listed or not self.is_known_to(proof):
            raise RoomNotFound("No room has this id.")
        if proof.principal and self.admission.bars("", proof.principal):
            raise Barred("The owner of this room has sent you away.")
        raise NotAMember(
            f"This room is {self.admission.access}: only its members read it.",
            advice='Join it first, as in POST /agent/rooms/ID/join {"agentName":"…"}, and send '
            "the key that the answer gives in the header Room-Key.",
        )

    def must_speak_as(self, name: str, proof: Proof) -> Member:
        """The active member of that name, for a caller who may use it.

        Raises:
            NotAMember: Nobody of that name is here.
            NameProtected: The name belongs to a key that was not shown.
        """
        member = self.must_be_member(name)
        self.must_hold_name(member, proof)
        return member

    def must_hold_name(self, member: Member, proof: Proof) -> None:
        """A key that was shown must be the member's; a protected name needs one."""
        if skeleton(member.name) == OWNER:
            if self.is_owned_by(proof):
                return
            if self._keeps_owner_apart(proof):
                raise NameProtected("'owner' is the name of whoever has the rights of the owner.")
        if proof.trusted or member.is_by(proof):
            return
        if member.principal:
            raise NameProtected(
                f"The name {member.name!r} belongs to another key of this server.",
                advice="Speak under the name of your own key.",
            )
        if member.protected:
            raise NameProtected(f"The name {member.name!r} is protected by a key in this room.")
        if skeleton(member.name) != OWNER:
            proof.must_be(member.name)  # it may be from a time when nobody had a key
        if proof.key_hash is not None and not proof.shows(self.owner_key_hash):
            raise NameProtected(f"The key is not the one of {member.name!r} in this room.")

    def must_act_as(self, name: str, proof: Proof) -> None:
        """Nobody does anything in a member's name, or the owner's, but the member and the owner.

        Raises:
            NameProtected, NameNotYours: The name belongs to somebody else.
        """
        if skeleton(name) != OWNER:
            proof.must_be(name)
        if (member := self.members.get(skeleton(name))) is not None:
            try:
                self.must_hold_name(member, proof)
            except NameProtected as refusal:
                raise NameProtected(
                    refusal.detail,
                    advice="Leave the name out to act as the owner, or send the member's key too, "
                    "in the header Room-Key.",
                ) from None
        elif skeleton(name) == OWNER and self._keeps_owner_apart(proof):
            raise NameProtected(
                "'owner' is the name of whoever holds the owner key of this room.",
                advice="Choose another name, or send the ownerKey.",
            )

    def _keeps_owner_apart(self, proof: Proof) -> bool:
        """Whether this caller may not be called owner. On a server without keys the owner's calls
        of the origin come without any proof, until he uses his key."""
        knows_callers = proof.principal != "" or proof.stranger or self.admission.owner != ""
        return not self.is_owned_by(proof) and (knows_callers or self.admission.access != "open")

    def must_be_owned_by(self, proof: Proof) -> None:
        """Raises NotTheOwner."""
        if not self.is_owned_by(proof):
            raise NotTheOwner("Only the owner of this room may do this.")

    def must_go_on(self, at: datetime) -> None:
        """Raises RoomClosed when the room has ended, Overdue when its time is over."""
        deadline = self.deadline
        if deadline is not None and at >= deadline.at:
            raise Overdue(f"This room's time is over ({deadline.reason}).")
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
            reason=end.reason,
        )

    # ---- steps ------------------------------------------------------------------------------

    def having(self, member: Member) -> Self:
        """The room with this member, new or changed."""
        members = self.members | {skeleton(member.name): member}
        return changed(self, members=MappingProxyType(members))

    def time(self, stamp: Stamp) -> datetime:
        """The stamp's time, never before the last message: timestamps are monotone."""
        return stamp.at if self.last_at is None else max(stamp.at, self.last_at)
