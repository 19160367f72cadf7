"""Who keeps saying nothing new: a score for the room, for each sender, and for two together."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from .levels import MAX_SCORE
from .signals import FLAGGED

MAX_VOICES = 512  # senders with a score of their own; a room has at most 500 members
RECENT = 20  # messages among whose senders a partner is looked for
TALKING = 6  # messages that tell whether only two are talking
OTHERS_PROGRESS_KEEPS = 0.9  # of a sender's own score, after a fact of somebody else
PAIR_FROM = 1.5  # own score that each of two has who loop with one another
PAIR_LEAD = 0.5  # by so much the one may count more than the other


class Turn(NamedTuple):
    """What a message does to scores: adds `unprogress`, or else leaves the share it `keeps`."""

    unprogress: float
    progress: bool
    keeps: float
    warm: bool


class Voice(NamedTuple):
    """A score, 0 to 12; messages since the last fact or question; warm ones in a row."""

    score: float = 0.0
    dry: int = 0
    warm: int = 0

    def after(self, turn: Turn) -> Voice:
        if turn.unprogress >= FLAGGED:
            score = min(MAX_SCORE, self.score + turn.unprogress)
        else:
            score = self.score * turn.keeps
        if turn.progress:
            return Voice(score, 0, 0)
        return Voice(score, self.dry + 1, self.warm + 1 if turn.warm else 0)


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

    __slots__ = ("_own", "_recent", "_room", "_talking")

    def __init__(self) -> None:
        self._room = SILENT
        self._own: OrderedDict[str, Voice] = OrderedDict()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._talking: deque[str] = deque(maxlen=TALKING - 1)  # before the next message

    def __len__(self) -> int:
        return len(self._own)

    def standing(self, sender: str) -> Standing:
        """Where the sender is now, before a next message."""
        return self._standing(sender, self._own.get(sender, SILENT), self._room)

    def warm_of(self, sender: str) -> int:
        return self._own.get(sender, SILENT).warm

    def after(self, sender: str, turn: Turn) -> Standing:
        """Where the sender would be; nothing changes."""
        return self._standing(
            sender, self._own.get(sender, SILENT).after(turn), self._room.after(turn)
        )

    def hear(self, sender: str, standing: Standing, progress: bool) -> None:
        """Take over what `after` has told."""
        own = self._own
        if progress:
            for name in dict.fromkeys(self._recent):
                voice = own.get(name, SILENT)
                if voice.score:
                    own[name] = voice._replace(score=voice.score * OTHERS_PROGRESS_KEEPS)
        own[sender] = standing.own
        own.move_to_end(sender)
        if len(own) > MAX_VOICES:
            own.popitem(last=False)
        self._room = standing.room
        self._recent.append(sender)
        self._talking.append(sender)

    def forget(self) -> None:
        """A human spoke: everybody begins anew."""
        self._room = SILENT
        self._own.clear()

    def _standing(self, sender: str, own: Voice, room: Voice) -> Standing:
        talking = {sender, *self._talking}
        if len(talking) <= 2:
            talking.remove(sender)
            return Standing(room.score, talking.pop() if talking else None, room.dry, own, room)
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
