"""Who keeps saying nothing new: a score for the room, for each sender, and for two together."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from sys import getsizeof
from typing import Any, NamedTuple

from .levels import MAX_SCORE
from .signals import FLAGGED

VOICE_BYTES = 400  # with CPython 3.11, without the name
MAX_VOICES = 512  # senders with a score of their own; a room has at most 500 members
RECENT = 20  # messages among whose senders a partner is looked for
TALKING = 6  # messages that tell whether only two are talking
OTHERS_PROGRESS_KEEPS = 0.9  # of a sender's own score, after a fact of somebody else
PAIR_FROM = 1.5  # own score that each of two has who loop with one another
NOUGHT = 0.01  # a score up to here is none
RECEIPTS = 2
PAIR_LEAD = 0.5  # by so much the one may count more than the other


class Turn(NamedTuple):
    """What a message does to scores: adds `unprogress`, or else leaves the share it `keeps`.

    It lifts no score above `highest`.
    """

    unprogress: float
    progress: bool
    keeps: float
    is_warm: bool
    highest: float


class Voice(NamedTuple):
    """A score, 0 to 12; messages since the last fact or question; the warm ones of them, less
    those that were not."""

    score: float = 0.0
    dry: int = 0
    warm: int = 0

    def after(self, turn: Turn) -> Voice:
        score, dry, warm = self
        unprogress, progress, keeps, is_warm, highest = turn
        if unprogress < FLAGGED:
            score = score * keeps if score > NOUGHT else 0.0
        else:
            raised = score + unprogress
            score = raised if raised <= highest else max(score, highest)
        if progress:
            return Voice(score, 0, 0) if score else SILENT
        return Voice(score, dry + 1, warm + 1 if is_warm else warm and warm - 1)


class Standing(NamedTuple):
    """Where a sender is after a message.

    `score` is what thresholds are held against. While at most two talk it is the room's; in a
    busier room the pair's, when `partner` loops too, else the lesser of own and room's.
    """

    score: float
    partner: str | None
    dry: int
    own: Voice
    room: Voice


SILENT = Voice()
CLEAN = Standing(0.0, None, 0, SILENT, SILENT)


class Voices:
    """The scores of one room."""

    __slots__ = ("_own", "_recent", "_room", "_talkers", "_talking")

    def __init__(self) -> None:
        self._room = SILENT
        self._own: OrderedDict[str, Voice] = OrderedDict()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._talking: deque[str] = deque(maxlen=TALKING - 1)  # before the next message
        self._talkers: tuple[str, ...] = ()  # the same, each once

    def __len__(self) -> int:
        return len(self._own)

    @property
    def size_bytes(self) -> int:
        """Estimated from above."""
        return sum(VOICE_BYTES + getsizeof(name) for name in self._own)

    def standing(self, sender: str) -> Standing:
        """Where the sender is now, before a next message."""
        return self._standing(sender, self._own.get(sender, SILENT), self._room)

    def warm_of(self, sender: str) -> int:
        return self._own.get(sender, SILENT).warm

    def is_log(self, sender: str) -> bool:
        """Whether nobody else has talked of late: what nobody answers is no exchange."""
        return self._talking.count(sender) == TALKING - 1

    def may_acknowledge(self, sender: str) -> bool:
        """Whether to thank is work here: between two it is, among many for who works too."""
        return self._are_two(sender) or self._own.get(sender, SILENT).dry <= RECEIPTS

    def after(self, sender: str, turn: Turn) -> Standing:
        """Where the sender would be; nothing changes."""
        own = self._own.get(sender, SILENT).after(turn)
        room = self._room.after(turn)
        standing = self._standing(sender, own, room)
        return standing if standing.score <= turn.highest else standing._replace(score=turn.highest)

    def hear(self, sender: str, standing: Standing, progress: bool) -> None:
        """Take over what `after` has told."""
        own, talking = self._own, self._talking
        if progress:
            for name in set(self._recent):
                score, dry, warm = own.get(name, SILENT)
                if score:
                    own[name] = Voice(score * OTHERS_PROGRESS_KEEPS, dry, warm)
        own[sender] = standing.own
        own.move_to_end(sender)
        if len(own) > MAX_VOICES:
            own.popitem(last=False)
        self._room = standing.room
        self._recent.append(sender)
        oldest = talking[0] if talking else sender
        talking.append(sender)
        if sender not in self._talkers or oldest not in talking:
            self._talkers = tuple(dict.fromkeys(talking))

    def forget(self) -> None:
        """A human spoke: everybody begins anew."""
        self._room = SILENT
        self._own.clear()

    def _are_two(self, sender: str) -> bool:
        talkers = self._talkers
        return len(talkers) <= (2 if sender in talkers else 1)

    def _standing(self, sender: str, own: Voice, room: Voice) -> Standing:
        if self._are_two(sender):
            talkers = self._talkers
            other = None
            if talkers:
                other = talkers[0] if talkers[0] != sender else talkers[-1]
            return Standing(room.score, other if other != sender else None, room.dry, own, room)
        # Ordered by arrival: the order of a set differs between processes.
        voices = {name: self._own.get(name, SILENT) for name in self._recent}
        voices[sender] = own
        partner = _beside(sender, voices)
        if partner is not None and min(own.score, voices[partner].score) >= PAIR_FROM:
            theirs = voices[partner]
            return Standing(_together(own, theirs), partner, own.dry + theirs.dry, own, room)
        return Standing(min(own.score, room.score), None, own.dry, own, room)

    # ---- keeping --------------------------------------------------------------------------

    def snapshot(self) -> list[Any]:
        return [self._room, list(self._recent), [[name, *own] for name, own in self._own.items()]]

    @classmethod
    def restore(cls, kept: list[Any]) -> Voices:
        voices = cls()
        room, recent, own = kept
        voices._room = Voice(*room)
        voices._recent.extend(recent)
        voices._talking.extend(recent)
        voices._talkers = tuple(dict.fromkeys(voices._talking))
        voices._own.update((name, Voice(*voice)) for name, *voice in own)
        return voices


def _beside(sender: str, voices: Mapping[str, Voice]) -> str | None:
    """Who stands beside the sender when all stand two by two, the highest scores first.

    So a looping pair finds itself, and somebody who is merely polite does not stand with it.
    """
    row = sorted(voices, key=lambda name: -voices[name].score)
    at = row.index(sender) ^ 1
    return row[at] if at < len(row) else None


def _together(one: Voice, other: Voice) -> float:
    """The sum of both, the larger cut: who only acknowledges those who work loops with nobody."""
    low, high = sorted((one.score, other.score))
    return min(MAX_SCORE, low + min(high, low + PAIR_LEAD))
