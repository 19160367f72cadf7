"""What the owner does with a room as a whole: its name, its place in the archive, its texts."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from .closing import notice
from .contract import Contract
from .copying import changed
from .members import Proof
from .message import Message, Stamp
from .names import room_name
from .refusals import RoomOpen
from .state import RoomState

R = TypeVar("R", bound=RoomState)


def renamed(
    room: R, name: str, by: str, proof: Proof, stamp: Stamp
) -> tuple[R, tuple[Message, ...]]:
    """The room under another name, and the notice that says so; after its end nothing is said
    any more. Raises Malformed when it is no name for a room."""
    if room.closing is None:
        room.must_go_on(stamp.at)
    room.must_be_owned_by(proof)
    room.must_act_as(by, proof)
    new = room_name(name)
    if new == room.name:
        return room, ()
    after = changed(room, name=new)
    if room.closing is not None:
        return after, ()
    content = {"by": by, "from": room.name, "to": new}
    at = room.time(stamp)
    said = notice(room.id, room.last_seq + 1, stamp.ids[0], "room.renamed", content, at)
    return changed(after, last_seq=said.seq, last_at=at), (said,)


def archived(room: R, at: datetime, proof: Proof) -> R:
    """The room in the archive. Raises RoomOpen: what goes on is not put away."""
    room.must_be_owned_by(proof)
    if room.closing is None:
        raise RoomOpen("Only a room that has ended is archived.")
    return room if room.is_archived else changed(room, archived_at=at)


def taken_out(room: R, proof: Proof) -> R:
    """The room, not archived any more."""
    room.must_be_owned_by(proof)
    return room if room.archived_at is None else changed(room, archived_at=None)


def without_texts(room: R) -> R:
    """The room once its messages are erased: what it repeats of them is gone as well.

    After its end nobody needs the purpose any more, and it goes, too. Names stay: of the room, its
    members, roles and types; and the contract, which is rules.
    """
    closing = room.closing and changed(
        room.closing, conclusion="", outcome=_known(room.contract, room.closing.outcome)
    )
    verdicts = tuple(
        one._replace(conclusion="", outcome=_known(room.contract, one.outcome))
        for one in room.verdicts
    )
    return changed(
        room,
        size_bytes=0,
        erasures=room.erasures + 1,
        purpose=room.purpose if closing is None else "",
        closing=closing,
        verdicts=verdicts,
        chain=None if room.chain is None else "",  # begun anew: a hash would tell of the text
    )


ERASED_OUTCOME = "erased"
_OWN_OUTCOMES = frozenset({"closed", "budget_spent", "expired", "idle", "stalled"})


def _known(contract: Contract, outcome: str) -> str:
    """The outcome, if it is the room's own or the contract names it; else it is somebody's text."""
    named = {
        *_OWN_OUTCOMES,
        *contract.good,
        *contract.bad,
        *contract.outcome_order,
        contract.budget.outcome,
        *(one for rule in contract.terminal for one in (rule.outcome, rule.type)),
    }
    return outcome if outcome in named else ERASED_OUTCOME
