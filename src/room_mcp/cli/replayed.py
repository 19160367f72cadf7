"""What a contract's rules would have made of a past conversation, message by message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from room_mcp.rooms import Closing, Contract, Proof, Refusal, Room, Stamp, Step, skeleton
from room_mcp.rooms.guard import Features, Verdict
from room_mcp.rooms.rehearsal import Rehearsal
from room_mcp.rooms.waking import woken_by

from .conversations import Conversation, Past

PACE = timedelta(minutes=1)  # between messages that tell no time
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # when a conversation without times begins
BUDGET = "Budget:"  # how the room's sentence about its budget begins

Kind = Literal["notice", "quiet", "budget", "refused"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a message would have met. `score` is the guard's, None where it said nothing;
    `code` is that of a refusal.
    """

    message: Past
    kind: Kind
    text: str
    score: float | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How the room would have ended.

    `message` is the one that it ended with, or before which it ended by itself; `decided_by` the
    number of the one that decided, None when that was a limit.
    """

    message: Past
    by_itself: bool
    decided_by: int | None
    closing: Closing
    good: bool


@dataclass(slots=True)
class Replayed:
    """`kept`, `refused` and `after_end` add up to the messages of the conversation."""

    conversation: Conversation
    speakers: int = 0
    kept: int = 0
    refused: int = 0
    after_end: int = 0
    highest: float = 0.0
    events: list[Event] = field(default_factory=list[Event])
    end: End | None = None


def replayed(conversation: Conversation, contract: Contract, roles: Mapping[str, str]) -> Replayed:
    """Act a conversation out again, in a room that nobody keeps.

    Args:
        roles: Skeleton of a name → the role that it takes; others get the first that lacks
            somebody.
    """
    first = next((one.at for one in conversation.messages if one.at is not None), LONG_AGO)
    replay = _Replay(contract, roles, first, Replayed(conversation))
    for message in conversation.messages:
        replay.hear(message)
    told = replay.told
    told.speakers = len({skeleton(one.draft.sender) for one in conversation.messages})
    return told


class _Replay(Rehearsal):
    def __init__(
        self, contract: Contract, roles: Mapping[str, str], began: datetime, told: Replayed
    ) -> None:
        super().__init__(Room(id="replay", name="replay", created_at=began, contract=contract))
        self.told = told
        self._roles = roles
        self._now = began - PACE
        self._seqs: dict[int, int] = {}  # a message's number then → its seq here
        self._verdict: Verdict | None = None

    def judge(self, features: Features, sender: str, *, scored: bool, human: bool) -> Verdict:
        self._verdict = super().judge(features, sender, scored=scored, human=human)
        return self._verdict

    def hear(self, message: Past) -> None:
        self._now = max(self._now, message.at or self._now + PACE)
        stamp = Stamp(self._now, (f"{message.number}", f"{message.number} end"))
        if self.room.closing is None:
            self.act(lambda room, _: room.expire(stamp))
            self._note_end(message, by_itself=True)
        if self.room.closing is not None:
            self.told.after_end += 1
            return
        self._verdict = None
        try:
            self._enter(message, stamp)
            step = self._post(message, stamp)
        except Refusal as refusal:
            self.told.refused += 1
            self._note_refusal(message, refusal)
        else:
            self.told.kept += 1
            self._seqs[message.number] = step.messages[0].seq
            self._note(message, step)
        self._note_end(message)

    def _enter(self, message: Past, stamp: Stamp) -> None:
        """Become a member with a role; without one, whoever speaks joins by that."""
        draft = message.draft
        role = self._roles.get(skeleton(draft.sender))
        is_here = self.room.member(draft.sender) is not None
        if is_here or (role is None and not self.room.contract.roles):
            return
        self.act(
            lambda room, _: room.join(
                draft.sender, proof=Proof(), stamp=stamp, role=role, kind=draft.sender_type
            )
        )

    def _post(self, message: Past, stamp: Stamp) -> Step:
        draft = message.draft
        if draft.reply_to is not None:
            # What answered a message that is not here now answers nothing.
            draft = draft._replace(reply_to=self._seqs.get(draft.reply_to))
        return self.act(lambda room, past: room.post(draft, proof=Proof(), stamp=stamp, past=past))

    # ---- what is told ---------------------------------------------------------------------------

    def _note(self, message: Past, step: Step) -> None:
        score = None
        if self._verdict is not None:
            score = round(self._verdict.score, 1)
            self.told.highest = max(self.told.highest, score)
        for text in step.notices:
            if text.startswith(BUDGET):
                event = Event(message, "budget", text.removeprefix(BUDGET).strip())
            else:
                kind: Kind = "quiet" if self._is_quiet(step) else "notice"
                event = Event(message, kind, text, score)
            self.told.events.append(event)

    def _is_quiet(self, step: Step) -> bool:
        """Whether the guard took it from the message to wake somebody."""
        said = step.messages[0]
        rule = step.room.contract.wake_rule(said.type, said.sender_type)
        here = step.room.active_members
        return not said.wakes and bool(woken_by(said, rule, here, self.author_of))

    def _note_refusal(self, message: Past, refusal: Refusal) -> None:
        score: Any = refusal.facts.get("score")
        if score is not None:
            self.told.highest = max(self.told.highest, score)
        self.told.events.append(Event(message, "refused", refusal.detail, score, refusal.code))

    def _note_end(self, message: Past, *, by_itself: bool = False) -> None:
        closing = self.room.closing
        if closing is None or self.told.end is not None:
            return
        by_message = closing.reason == "terminal"
        numbers = {seq: number for number, seq in self._seqs.items()}
        good = self.room.contract.is_good(closing.outcome, by_message=by_message)
        decided_by = numbers.get(closing.seq) if by_message else None
        self.told.end = End(message, by_itself, decided_by, closing, good)
