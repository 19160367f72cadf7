"""What a room is between two acts: small state, never the past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, Self

from .budget import NOTHING_SPENT, Deadline, Spent, deadlines
from .closing import Closing
from .contract import Contract
from .expectations import Expectations
from .members import Member, Proof
from .message import Stamp
from .names import skeleton
from .refusals import (
    NameProtected,
    NotAMember,
    NotTheOwner,
    Overdue,
    RoomClosed,
)
from .templates import OPEN
from .verdicts import Verdict, Verdicts, deciding

Lifecycle = Literal["open", "paused", "closed"]


@dataclass(frozen=True, slots=True)
class RoomState:
    """The state of one room. `members` is keyed by the skeleton of the name.

    `spent`, `verdicts` and the guard's standings count since `began_at`, when it was opened or
    last reopened; `reserve_since` is when its budget was spent.
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
    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
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

    # ---- questions --------------------------------------------------------------------------

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

    @property
    def began_at(self) -> datetime:
        return self.reopened_at or self.created_at

    @property
    def deadline(self) -> Deadline | None:
        """When the room closes by itself; a paused room is not idle."""
        if self.closing is not None:
            return None
        due = deadlines(
            self.contract.budget,
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
        return proof.trusted or proof.shows(self.owner_key_hash)

    # ---- laws -------------------------------------------------------------------------------

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

    def must_hold_name(self, member: Member, proof: Proof) -> None:
        """A key that was shown must be the member's; a protected name needs one."""
        if proof.trusted or proof.shows(member.key_hash):
            return
        if member.protected:
            raise NameProtected(f"The name {member.name!r} is protected by a key in this room.")
        if proof.key_hash is not None and not proof.shows(self.owner_key_hash):
            raise NameProtected(f"The key is not the one of {member.name!r} in this room.")

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
        members = {**self.members, skeleton(member.name): member}
        return replace(self, members=MappingProxyType(members))

    def time(self, stamp: Stamp) -> datetime:
        """The stamp's time, never before the last message: timestamps are monotone."""
        return stamp.at if self.last_at is None else max(stamp.at, self.last_at)
