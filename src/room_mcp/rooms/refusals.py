"""Every way in which a room says no.

A refusal changes nothing. `code` is for programs, `detail` says what was wrong,
`advice` says what to do instead, `facts` are fields a program may want.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """The root of all refusals; raised by the rules, translated once by the backend."""

    code: ClassVar[str] = "refused"
    advice: str = ""

    def __init__(self, detail: str, *, advice: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts: Mapping[str, Any] = facts
        if advice is not None:
            self.advice = advice


class Malformed(Refusal):
    """The request cannot mean anything here: wrong shape, bad name, impossible number."""

    code = "malformed"


class NotYetKnown(Refusal):
    """The request asks for something that this version does not know."""

    code = "malformed"


class TooLarge(Refusal):
    """One message is larger than a message may be."""

    code = "too_large"
    advice = "Send a shorter message; put long text into a file and name its path."


class RoomNotFound(Refusal):
    """No room has this id, or the caller may not know it."""

    code = "room_not_found"
    advice = "List the rooms, or create one."


class NotAMember(Refusal):
    """The act needs a member, and the name has not joined."""

    code = "not_a_member"
    advice = "Join the room first."


class NameTaken(Refusal):
    """Another caller speaks under this name in this room."""

    code = "name_taken"
    advice = "Join under another name."


class NameProtected(Refusal):
    """The name is bound to a key, and the caller did not show it."""

    code = "name_protected"
    advice = "Send the member key that the join answer gave, or join under another name."


class NameNotYours(Refusal):
    """The caller's server key stands for another name."""

    code = "name_not_yours"
    advice = "Speak under the name of your key."


class Muted(Refusal):
    """The owner lets this member read, and not speak."""

    code = "muted"
    advice = "Read on; the owner of the room can let you speak again."


class Barred(Refusal):
    """The owner has removed this caller, or declined to let him in."""

    code = "barred"
    advice = "It is the owner's decision: tell your user, and do not try again."


class NotYetAdmitted(Refusal):
    """The owner has not decided yet whether the caller comes in."""

    code = "not_yet_admitted"
    advice = "Wait: your wait ends when the owner decides."


class QuotaExceeded(Refusal):
    """The caller has as many rooms, or as much, as he may have."""

    code = "quota_exceeded"
    advice = "Close or delete a room of yours first."


class NotTheOwner(Refusal):
    """Only whoever holds the room's owner key may do this."""

    code = "not_the_owner"
    advice = "Send the ownerKey that the creation answer gave."


class RoomClosed(Refusal):
    """The conversation has ended, whatever anybody wants to say next."""

    code = "room_closed"
    advice = "It is over: send nothing more here, and report the outcome to your user."


class RoomOpen(Refusal):
    """It is for rooms that have ended, and this one goes on."""

    code = "room_open"
    advice = "Close it first: `room-mcp close ROOM`, or POST /agent/rooms/ID/close."


class RoomPaused(Refusal):
    """The owner holds the conversation."""

    code = "room_paused"
    advice = "Wait: the room wakes you when it goes on."


class RoomFull(Refusal):
    """The room holds all the bytes or members that it may."""

    code = "room_full"
    advice = "End this room with a decision, and go on in a new one."


class SeqMismatch(Refusal):
    """Somebody spoke since the caller last read, and he asked to be told so."""

    code = "if_last_seq"
    advice = "Read the new messages, then decide again."


class CursorAhead(Refusal):
    """The cursor is beyond the room's last message: the store was restored or erased."""

    code = "cursor_ahead"
    advice = "Read again from after=0."


class KeyReused(Refusal):
    """The idempotency key already stands for a different message."""

    code = "key_reused"
    advice = "Use a new idempotency key for a new message."


class ContractViolation(Refusal):
    """The body of a typed message does not match what the room agreed on."""

    code = "contract_violation"
    advice = "Send a body that passes the schema of its type; the room's info shows it."


class ContractChanged(Refusal):
    """The contract is another one than the draft was checked against: check again."""

    code = "contract_changed"
    advice = "Try again."


class RoleMayNot(Refusal):
    """The sender's role does not send such messages."""

    code = "role_may_not"
    advice = "Send a type that your role may send; the room's info lists them."


class RoleTaken(Refusal):
    """The role has as many members as it may, or is not for this name."""

    code = "role_taken"
    advice = "Join with another role, or read along without one."


class BudgetSpent(Refusal):
    """The room or the sender has no messages, bytes or messages of this type left."""

    code = "budget_spent"
    advice = "Only read from now on, or end the room."


class Hushed(Refusal):
    """The sender goes on without progress after two notices."""

    code = "hushed"
    advice = "Send something with a fact, a result or a terminal message; or stop."


class WorkTaken(Refusal):
    """Somebody else has accepted the work."""

    code = "work_taken"
    advice = "Leave it to him, and take other work."


class PeopleOnly(Refusal):
    """Only a person may do this, and the caller is none, or cannot show it."""

    code = "people_only"
    advice = "Ask your user: `room-mcp reopen ROOM --human`, at a terminal of the rooms' machine."


class LooksLikeSecret(Refusal):
    """The message seems to hold a secret, and whoever may read the room would have it."""

    code = "looks_like_secret"
    advice = "Take it out and name the place where it is kept."


class Overdue(RoomClosed):
    """The room's time is over, and nobody has written that down yet: run `expire`."""
