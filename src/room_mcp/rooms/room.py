"""A room, and the acts that change it.

An act takes the room, the time and ids, and gives back the room after it and the messages it
made; or it raises a `Refusal` and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from . import keeping
from .budget import NOTHING_SPENT
from .checking import Checked, checked
from .closing import MAX_CONCLUSION_CHARS, Closing, Reason, closing_notice, conclusion_of, notice
from .contract import Contract, TerminalRule
from .copying import changed
from .entering import Wish, admitted, declined, entered, muted, removed, without_member
from .guard import features
from .guarding import AT_REST
from .members import Member, Proof
from .message import SYSTEM, Draft, Message, SenderType, Stamp
from .names import skeleton
from .posting import Past, posted
from .refusals import (
    Barred,
    ContractChanged,
    Malformed,
    Muted,
    NotAMember,
    NotTheOwner,
    NotYetAdmitted,
    PeopleOnly,
    RoomClosed,
    RoomPaused,
    SeqMismatch,
)
from .state import Lifecycle, RoomState
from .verdicts import Verdict

_AFTER = {  # how a room says that a limit ended it
    "budget": "The budget of this room is spent.",
    "lifetime": "The time of this room is over.",
    "idle": "Nobody has spoken for too long.",
    "stalled": "The conversation went on without progress.",
}
_OUTCOMES = {"budget": "budget_spent", "lifetime": "expired", "idle": "idle", "stalled": "stalled"}


class Step(NamedTuple):
    """What an act did: the room after it, and the messages to store with it.

    `notices` are sentences for whoever acted; they are told to nobody else and stored nowhere.
    """

    room: Room
    messages: tuple[Message, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room(RoomState):
    """The state of a room, with what can be done to it."""

    # ---- members ----------------------------------------------------------------------------

    def join(
        self,
        name: str,
        *,
        proof: Proof,
        stamp: Stamp,
        role: str | None = None,
        new_key_hash: str | None = None,
        protect: bool = False,
        kind: SenderType = "agent",
    ) -> Step:
        """Become a member, come back as one, or change the role.

        A name that nobody holds a key for may be taken up by anybody; a member who shows his
        key keeps it; a trusted caller may take up every name. Without `role`, a member keeps
        his, and a new one gets the first that lacks somebody. A room whose owner admits people
        notes that somebody waits: he is no member then, but `admission` has his knock.

        Raises:
            NameTaken: The name is in use by somebody else.
            NameProtected: The name belongs to a key that was not shown.
            Barred: The owner has sent him away.
            RoleTaken: The role has as many members as it may; or every role has.
            RoomClosed, Overdue: The room has ended, or has to.
            RoomFull: The room has `MAX_MEMBERS` members.
            Malformed: There is no such role.
        """
        if self.closing is not None and not self.may_be_read_by(proof):
            raise RoomClosed("This room is closed.")  # how it ended is for those who were in it
        self.must_go_on(stamp.at)
        wish = Wish(name, role, new_key_hash, protect, kind)
        room = entered(self, wish, proof, stamp)
        return Step(self) if room is self else room._ended_if_decided(stamp)

    def leave(self, name: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Stop being a member, or waiting to be one; questions that waited for the leaver no
        longer do.

        His verdict no longer counts, which may end the room.

        Raises:
            NotAMember, NameProtected: As `must_speak_as`.
            RoomClosed, Overdue: The room has ended, or has to.
        """
        self.must_go_on(stamp.at)
        if (knock := self.admission.knock(name)) is not None and knock.is_by(proof):
            return Step(changed(self, admission=self.admission.without_knock(name)))
        room = without_member(self, self.must_speak_as(name, proof))
        return room._ended_if_decided(stamp)

    def admit(self, name: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Let somebody in who waits, or let somebody come back who was sent away; the owner's
        right, as all that follows here.

        Raises:
            NotTheOwner, RoomClosed, Overdue: As they say.
            NotAMember: Nobody of that name waits.
            RoleTaken: The role that he asked for is full by now.
        """
        self._must_be_in_order(proof, stamp)
        return admitted(self, name, stamp)._ended_if_decided(stamp)

    def decline(self, name: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Send somebody away who waits; he may not knock again until he is admitted."""
        self._must_be_in_order(proof, stamp)
        return Step(declined(self, name))

    def mute(self, name: str, *, silent: bool, proof: Proof, stamp: Stamp) -> Step:
        """Refuse all that a member says, or take it again."""
        self._must_be_in_order(proof, stamp)
        return Step(muted(self, name, silent=silent))

    def remove(self, name: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Send a member away; he may not come back until he is admitted."""
        self._must_be_in_order(proof, stamp)
        return removed(self, name)._ended_if_decided(stamp)

    def _must_be_in_order(self, proof: Proof, stamp: Stamp) -> None:
        self.must_go_on(stamp.at)
        self.must_be_owned_by(proof)

    # ---- messages ---------------------------------------------------------------------------

    def post(
        self,
        draft: Draft,
        *,
        proof: Proof,
        stamp: Stamp,
        past: Past,
        prepared: Checked | None = None,
    ) -> Step:
        """Say something; a message that meets a terminal rule ends the room in the same step.

        In a room without roles an unknown name joins by its first message, and whoever left
        comes back.

        Args:
            prepared: The draft, checked before the transaction; without it, that is done here.

        Raises:
            RoomClosed, Overdue, RoomPaused, RoomFull: The room takes no messages, or not this one.
            NameProtected: The name belongs to a key that was not shown.
            NotAMember, RoleMayNot: The room has roles, and the sender has none, or another.
            SeqMismatch: Somebody spoke after `draft.if_last_seq`.
            ContractViolation: The body is not as the contract wants it.
            ContractChanged: It was checked against another contract.
            BudgetSpent, Hushed, WorkTaken, Muted, Barred, NotYetAdmitted: As they say.
            Malformed: The draft replies to a number that does not exist, or hands over to nobody.
        """
        self.must_go_on(stamp.at)
        if self.lifecycle == "paused" and draft.sender_type != "human":
            raise RoomPaused("The owner has paused this room.")
        if draft.if_last_seq is not None and draft.if_last_seq != self.last_seq:
            raise SeqMismatch(
                f"The room is at #{self.last_seq}, not at #{draft.if_last_seq}.",
                lastSeq=self.last_seq,
            )
        if prepared is None:
            prepared = checked(self.contract, draft)
        elif prepared.contract is not self.contract and prepared.contract != self.contract:
            raise ContractChanged("The rules of this room have changed meanwhile.")
        room, sender = self._with_speaker(draft, proof, stamp)
        if sender.muted:
            raise Muted(f"The owner of this room has muted {sender.name!r}.")
        room, message, notices, is_stalled = posted(room, draft, prepared, sender, stamp, past)
        end = room._end_by(message, stamp, is_stalled=is_stalled)
        if end is None:
            return Step(room, (message,), notices)
        # Whoever has ended the room need not be told how to go on in it.
        return Step(end.room, (message, *end.messages))

    def _with_speaker(self, draft: Draft, proof: Proof, stamp: Stamp) -> tuple[Room, Member]:
        """The sender, and the room that he joins or comes back into by speaking; using a key
        protects the name."""
        known = self.members.get(skeleton(draft.sender))
        if known is not None:
            self.must_hold_name(known, proof)
        if known is None or not known.active:
            self._must_join_by_speaking(draft, proof)
            wish = Wish(draft.sender, kind=draft.sender_type)
            sender = entered(self, wish, proof, stamp).must_be_member(draft.sender)
            return self.having(sender), sender
        if not known.protected and proof.shows(known.key_hash):
            known = changed(known, protected=True)
        return self, known

    def _must_join_by_speaking(self, draft: Draft, proof: Proof) -> None:
        """Raises NotAMember, NotYetAdmitted or Barred where that takes more than a message."""
        if self.is_owned_by(proof) and not self.contract.roles:
            return
        if self.admission.bars(draft.sender, proof.principal):
            raise Barred(f"The owner of this room has sent {draft.sender!r} away.")
        if self.admission.knock(draft.sender) is not None:
            raise NotYetAdmitted(f"The owner has not admitted {draft.sender!r} yet.")
        if self.contract.roles and draft.sender_type != "human":
            raise NotAMember(
                f"{draft.sender!r} is not a member, and this room has roles.",
                advice="Join with a role first, as in POST /agent/rooms/ID/join "
                f'{{"agentName":"{draft.sender}","role":"…"}}; roles: '
                f"{', '.join(self.contract.roles)}.",
                roles=list(self.contract.roles),
            )
        if self.admission.access != "open" and not self.is_owned_by(proof):
            raise NotAMember(
                f"{draft.sender!r} is not a member, and this room is {self.admission.access}.",
                advice="Join first, as in POST /agent/rooms/ID/join "
                f'{{"agentName":"{draft.sender}"}}, and send the key that the answer gives.',
            )

    # ---- the end ----------------------------------------------------------------------------

    def close(
        self,
        by: str,
        conclusion: str,
        *,
        proof: Proof,
        stamp: Stamp,
        kind: SenderType = "agent",
    ) -> Step:
        """End the room without a terminal message; the right of its owner, and of people.

        Where the end belongs to certain roles, an agent needs the owner key for it: having the
        store open, or having opened the room, is not enough.

        Raises:
            NotTheOwner: The caller may not.
            RoomClosed, Overdue: It has ended already, or has to.
        """
        self.must_go_on(stamp.at)
        may = proof.shows(self.owner_key_hash) or (
            self._is_owned_without_key(proof)
            and (kind == "human" or not self.contract.ends_by_roles)
        )
        if not may:
            ends = self.contract.terminal if self.contract.ends_by_roles else ()
            raise NotTheOwner(
                "Only the owner closes this room without a terminal message.",
                advice=f"End it with {self._terminal_words()}, or send the ownerKey.",
                **({"endsBy": _said_by(ends), "terminalType": ends[0].type} if ends else {}),
            )
        self.must_act_as(by, proof)
        closing = Closing(
            seq=self.last_seq + 1,
            by=by,
            outcome="closed",
            conclusion=conclusion[:MAX_CONCLUSION_CHARS],
            at=self.time(stamp),
            reason="closed",
        )
        return self._closed(closing, stamp.ids[0])

    def _terminal_words(self) -> str:
        rules = self.contract.terminal
        return f"a message of type {_said_by(rules)}" if rules else "its time"

    def expire(self, stamp: Stamp) -> Step:
        """End the room if its time is over; else nothing."""
        deadline = self.deadline
        if deadline is None or stamp.at < deadline.at:
            return Step(self)
        return self._ended(deadline.reason, stamp.ids[0], self.time(stamp))

    def reopen(self, by: str, *, proof: Proof, stamp: Stamp, past: Past, kind: SenderType) -> Step:
        """Let the conversation go on after its end, with its budget and the guard begun anew.

        Raises:
            PeopleOnly: The caller is an agent, or cannot show that he is none.
            NotTheOwner: He is neither the owner nor a member.
        """
        if kind != "human" or not proof.is_person:
            raise PeopleOnly("Only a person reopens a room; else an end would be no end.")
        here = self.member_with(proof)
        if here is None or here.muted:
            self.must_be_owned_by(proof)
        self.must_act_as(by, proof)
        if self.closing is None:
            self.must_go_on(stamp.at)
            return Step(self)
        past.judge(features(""), by, scored=False, human=True)
        at = self.time(stamp)
        said = self._said("room.reopened", by, stamp.ids[0], at)
        members = {
            key: changed(one, spent=NOTHING_SPENT, standing=AT_REST, told_percent=0)
            for key, one in self.members.items()
        }
        room = changed(
            self,
            lifecycle="open",
            closing=None,
            verdicts=(),
            spent=NOTHING_SPENT,
            reserve_since=None,
            reopened_at=at,
            archived_at=None,
            members=MappingProxyType(members),
            last_seq=said.seq,
            last_at=at,
        )
        return Step(room, (said,))

    def adopt(
        self, contract: Contract, *, instead_of: Contract, proof: Proof, stamp: Stamp
    ) -> Step:
        """Go on by another contract; the owner's right.

        Raises:
            ContractChanged: The room has another contract than the one that this should replace.
            NotTheOwner, RoomClosed, Overdue: As they say.
        """
        self._must_be_in_order(proof, stamp)
        if self.contract != instead_of:
            raise ContractChanged("The rules of this room have changed meanwhile.")
        if self.admission.demo and contract.budget.idle_s != instead_of.budget.idle_s:
            raise Malformed(
                "A demo room closes after a day of silence, whatever is set.",
                advice="Leave idle_s as it is.",
            )
        if contract.guard.numbers != instead_of.guard.numbers:
            raise Malformed(
                "What the guard takes for a fact cannot change while a room is open.",
                advice="Choose guard.numbers when the room is made.",
            )
        room = changed(self, contract=contract)
        if contract.budget == instead_of.budget:
            return Step(room)
        members = {key: changed(one, told_percent=0) for key, one in self.members.items()}
        is_spent = contract.budget.room.is_spent(self.spent)
        since = (self.reserve_since or self.time(stamp)) if is_spent else None
        return Step(changed(room, members=MappingProxyType(members), reserve_since=since))

    def without_texts(self) -> Room:
        """The room once its messages are erased: what it repeats of them is gone as well."""
        return keeping.without_texts(self)

    def rename(self, name: str, by: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Be called otherwise, also after the end; the owner's right."""
        return Step(*keeping.renamed(self, name, by, proof, stamp))

    def archive(self, *, proof: Proof, stamp: Stamp, undo: bool = False) -> Step:
        """Leave lists and searches after the end, or come back into them; the owner's right."""
        if undo:
            return Step(keeping.taken_out(self, proof))
        return Step(keeping.archived(self, stamp.at, proof))

    def pause(self, by: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Refuse all messages but people's until `resume`; the owner's right."""
        return self._held("paused", "room.paused", by, proof, stamp)

    def resume(self, by: str, *, proof: Proof, stamp: Stamp) -> Step:
        """Take messages again after `pause`; the owner's right."""
        return self._held("open", "room.resumed", by, proof, stamp)

    # ---- how acts work ----------------------------------------------------------------------

    def _held(self, to: Lifecycle, notice_type: str, by: str, proof: Proof, stamp: Stamp) -> Step:
        self._must_be_in_order(proof, stamp)
        self.must_act_as(by, proof)
        if self.lifecycle == to:
            return Step(self)
        said = self._said(notice_type, by, stamp.ids[0], self.time(stamp))
        return Step(changed(self, lifecycle=to, last_seq=said.seq, last_at=said.at), (said,))

    def _said(self, type: str, by: str, id: str, at: datetime) -> Message:
        return notice(self.id, self.last_seq + 1, id, type, {"by": by}, at)

    def _ended_if_decided(self, stamp: Stamp) -> Step:
        """The room, closed if the verdicts that were cast are enough without who has left."""
        verdict = self.deciding
        return Step(self) if verdict is None else self._decided_by(verdict, stamp)

    def _end_by(self, message: Message, stamp: Stamp, *, is_stalled: bool) -> Step | None:
        """The end that this message, the last one, has brought about; None if it has not."""
        verdict = self.deciding
        if verdict is not None:
            return self._decided_by(verdict, stamp, message)
        if is_stalled:
            return self._ended("stalled", stamp.ids[1])
        if self._reserve_is_spent:
            return self._ended("budget", stamp.ids[1])
        return None

    def _decided_by(self, verdict: Verdict, stamp: Stamp, message: Message | None = None) -> Step:
        """The room, closed by a verdict; `message` is the last one, if it may be what cast it."""
        conclusion = verdict.conclusion
        if message is not None and message.seq == verdict.seq and message.content is not None:
            field_name = self.contract.terminal[verdict.rule].conclusion_from
            conclusion = conclusion_of(message.content, field_name)  # the whole of it
        closing = Closing(
            seq=verdict.seq,
            by=verdict.name,
            outcome=verdict.outcome,
            conclusion=conclusion,
            at=self.time(stamp),
            reason="terminal",
        )
        return self._closed(closing, stamp.ids[0 if message is None else 1])

    def _ended(self, reason: Reason, id: str, at: datetime | None = None) -> Step:
        """The room, closed because a limit was reached."""
        outcome = self.contract.budget.outcome if reason != "stalled" else ""
        closing = Closing(
            seq=self.last_seq + 1,
            by=SYSTEM,
            outcome=outcome or _OUTCOMES[reason],
            conclusion=_AFTER[reason],
            at=at or self.last_at or self.created_at,
            reason=reason,
        )
        return self._closed(closing, id)

    @property
    def _reserve_is_spent(self) -> bool:
        """Whether nothing can be said any more; at once, when no message could end the room."""
        if self.reserve_since is None:
            return False
        budget = self.contract.budget
        return not self.contract.terminal or budget.with_reserve.room.is_spent(self.spent)

    def _closed(self, closing: Closing, notice_id: str) -> Step:
        said = closing_notice(self.id, self.last_seq + 1, notice_id, closing)
        room = changed(
            self,
            lifecycle="closed",
            closing=closing,
            expectations=(),
            last_seq=said.seq,
            last_at=said.at,
        )
        return Step(room, (said,))


def _said_by(rules: Sequence[TerminalRule]) -> str:
    """For example "review_complete from reviewer or cancel from author"."""
    return " or ".join(
        f"{rule.type} from {' or '.join(rule.by)}" if rule.by else rule.type for rule in rules
    )
