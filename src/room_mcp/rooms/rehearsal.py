"""A room that lives in memory only, to try rules on: a replay, a test, a demonstration."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .guard import Features, Memory, Verdict, type_as
from .message import Message
from .room import Room, Step


class _Heard(NamedTuple):
    features: Features
    sender: str
    scored: bool
    human: bool


class Rehearsal:
    """A room, its messages and the guard's memory, after the acts so far."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.messages: list[Message] = []
        self._memory = Memory(numbers=room.contract.guard.numbers)
        self._judged: _Heard | None = None

    def act(self, decide: Callable[[Room, Rehearsal], Step]) -> Step:
        """Take the step that `decide` makes of the room and its past; a refusal changes nothing."""
        self._judged = None
        step = decide(self.room, self)
        if step.messages:
            self._hear(self._judged)
        self.room = step.room
        self.messages += step.messages
        return step

    def _hear(self, one: _Heard | None) -> None:
        if one is not None:
            type = type_as(one.scored)
            self._memory.take(one.features, one.sender, type=type, human=one.human)

    def author_of(self, seq: int) -> str | None:
        return self.messages[seq - 1].sender if 1 <= seq <= len(self.messages) else None

    def judge(self, features: Features, sender: str, *, scored: bool, human: bool) -> Verdict:
        self._judged = _Heard(features, sender, scored, human)
        return self._memory.judge(features, sender, type=type_as(scored), human=human)
