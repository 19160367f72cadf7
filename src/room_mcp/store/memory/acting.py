"""Acts on a room in memory: all are decided first, and then kept together or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from room_mcp.rooms import Refusal, Room, Step, skeleton
from room_mcp.rooms.chain import chained
from room_mcp.rooms.guard import Features, Memory, Verdict, type_as
from room_mcp.rooms.refusals import KeyReused

from ..auditing import Entry, entries_of
from ..interface import Act, Decide, Done, IdempotencyKey
from ..memories import Heard
from .place import KeptMessage, KeptRoom, KeyName, KeyUse, Place, kept

logger = logging.getLogger(__name__)


class _Stage:
    """What acts have decided so far; also what the next decision may ask."""

    def __init__(self, of: KeptRoom) -> None:
        self._of = of
        self.room = of.room
        self.messages: list[KeptMessage] = []
        self.keys: dict[KeyName, KeyUse] = {}
        self.entries: list[Entry] = []
        self.judged: Heard | None = None  # the message that the guard was last asked about

    def message(self, seq: int) -> KeptMessage | None:
        found = (*self._of.messages, *self.messages)
        return found[seq - 1] if 1 <= seq <= len(found) else None

    def author_of(self, seq: int) -> str | None:
        found = self.message(seq)
        return None if found is None else found.bare.sender

    def judge(
        self, features: Features, sender: str, *, scored: bool, human: bool
    ) -> Verdict | None:
        heard = Heard(self.room.last_seq + 1, sender, scored, human, features)
        try:
            memory = _memory(self._of)
            verdict = memory.judge(features, sender, type=type_as(scored), human=human)
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not judge a message")
            return None
        self.judged = heard
        return verdict


def act_all(place: Place, room_id: str, acts: Sequence[Act]) -> list[Done | Refusal]:
    """As `Store.act_all` promises it."""
    of = place.kept(room_id)
    stage = _Stage(of)
    heard = len(of.heard)
    results: list[Done | Refusal] = []
    try:
        for act in acts:
            try:
                results.append(_done(of, stage, act))
            except Refusal as refusal:
                results.append(refusal)
    except BaseException:
        _unhear(of, heard)
        raise
    of.keys.update(stage.keys)
    place.change(of, stage.room, stage.messages)
    place.record(stage.entries)
    return results


def _done(of: KeptRoom, stage: _Stage, act: Act) -> Done:
    key = None if act.key is None else (skeleton(act.key.sender), act.key.key)
    if key is not None and act.key is not None:
        use = stage.keys.get(key) or of.keys.get(key)
        if use is not None:
            return _replayed(stage, act.key, use)
    stage.judged = None
    step = act.decide(stage.room, stage)
    if step.room.last_seq != stage.room.last_seq + len(step.messages):
        raise ValueError("A step must number its messages without gaps.")
    step = chained(stage.room.chain, step)
    stage.messages += [kept(message) for message in step.messages]
    if stage.judged is not None and step.messages:
        _hear(of, stage.judged)
    stage.entries += entries_of(act.entry, stage.room, step)
    stage.room = step.room
    if key is not None and act.key is not None and step.messages:
        stage.keys[key] = KeyUse(act.key.fingerprint, step.messages[0].seq)
    return Done(step.room, step.messages, notices=step.notices)


def _replayed(stage: _Stage, key: IdempotencyKey, use: KeyUse) -> Done:
    if use.fingerprint not in (None, key.fingerprint):
        raise KeyReused(f"The idempotency key already stands for #{use.seq}, another message.")
    first = stage.message(use.seq)
    assert first is not None
    return Done(stage.room, (first.message,), replayed=True)


def _memory(of: KeptRoom) -> Memory:
    """The guard's, which has heard all that was accepted."""
    if of.memory is None:
        of.memory = Memory(numbers=of.room.contract.guard.numbers)
        for one in of.heard:
            _take(of.memory, one)
    return of.memory


def _hear(of: KeptRoom, one: Heard) -> None:
    """The guard remembers a message that was accepted."""
    try:
        _take(_memory(of), one)
    except Exception:
        # A guard that fails must not hold a message back.
        logger.exception("The guard could not remember a message")
        of.memory = None
    else:
        of.heard.append(one)


def _take(memory: Memory, one: Heard) -> None:
    memory.take(one.features, one.sender, type=type_as(one.scored), human=one.human)


def _unhear(of: KeptRoom, count: int) -> None:
    """Only so many messages were accepted, or are left."""
    del of.heard[count:]
    of.memory = None


# ---- removing ------------------------------------------------------------------------------------


def erase(place: Place, room_id: str, decide: Decide, entry: Entry | None) -> Room:
    """As `Store.erase` promises it."""
    of = place.kept(room_id)
    step = decide(of.room, _Stage(of))
    room = step.room.without_texts()
    room, messages, _ = chained(room.chain, Step(room, step.messages))
    added = [kept(message) for message in messages]
    of.messages = [one.without_text() for one in of.messages]
    of.keys = {name: KeyUse(None, use.seq) for name, use in of.keys.items()}
    place.change(of, room, added)
    _unhear(of, 0)
    place.record(() if entry is None else (entry,))
    return room


def delete(place: Place, room_id: str, decide: Decide, entry: Entry | None) -> None:
    """As `Store.delete` promises it."""
    of = place.kept(room_id)
    decide(of.room, _Stage(of))
    place.remove(room_id)
    place.record(() if entry is None else (entry,))
