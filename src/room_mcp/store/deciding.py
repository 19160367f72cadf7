"""Decides the acts of one transaction in memory: an engine reads before, and writes after.

Nothing is written before every act of the transaction is decided, so an act that is refused, or
fails, leaves nothing behind.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from room_mcp.rooms import Member, Message, Past, Refusal, Room, skeleton
from room_mcp.rooms.chain import chained
from room_mcp.rooms.guard import Features, Memory, Verdict, type_as
from room_mcp.rooms.refusals import KeyReused, RoomNotFound

from .auditing import Entry, entries_of
from .cache import Kept
from .hearing import Hearing, Source
from .interface import Act, Done, IdempotencyKey
from .memories import Heard, Memories

logger = logging.getLogger(__name__)

KeyRow = tuple[int, str, str]  # room no, skeleton of the sender, key
_skeleton = lru_cache(maxsize=4_096)(skeleton)


class Stage:
    """What one piece of work has decided so far; dropped as a whole when it fails."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.messages: list[Message] = []
        self.keys: dict[KeyRow, tuple[bytes, int]] = {}
        self.entries: list[Entry] = []


class _Past:
    """What one decision may ask; `judged` is the message that the guard was asked about."""

    def __init__(self, decisions: Decisions, no: int, stage: Stage) -> None:
        self._decisions = decisions
        self._no = no
        self._stage = stage
        self.judged: Heard | None = None

    def author_of(self, seq: int) -> str | None:
        for message in self._stage.messages:
            if message.seq == seq:
                return message.sender
        return self._decisions.author(self._no, seq)

    def judge(
        self, features: Features, sender: str, *, scored: bool, human: bool
    ) -> Verdict | None:
        room = self._stage.room
        self.judged = Heard(room.last_seq + 1, sender, scored, human, features)
        try:
            memory = self._decisions.memory(self._no, room)
            return memory.judge(features, sender, type=type_as(scored), human=human)
        except self._decisions.source.failures:
            raise
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not judge a message")
            self.judged = None
            return None


class Decisions:
    """The acts of one transaction, and what it knows of the rooms in it.

    An engine fills `loaded` with the rooms that it has locked, and `earlier` with what the
    idempotency keys of these acts stand for already.
    """

    def __init__(self, source: Source, memories: Memories) -> None:
        self.source = source
        self._memories = memories
        self.loaded: dict[str, Kept] = {}
        self.earlier: dict[KeyRow, tuple[bytes, int]] = {}  # fingerprint, seq
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing is decided yet."""
        self.hearing = Hearing(self.source, self._memories)
        self.rooms: dict[str, Room] = {}  # after the acts so far
        self.messages: dict[tuple[int, int], Message] = {}  # of these acts, by room no and seq
        self.keys: dict[KeyRow, tuple[bytes, int]] = {}  # of these acts
        self.entries: list[Entry] = []

    # ---- what is there --------------------------------------------------------------------------

    def no(self, room_id: str) -> int:
        """The room's number. Raises RoomNotFound."""
        kept = self.loaded.get(room_id)
        if kept is None:
            raise RoomNotFound("No room has this id.")
        return kept.no

    def room(self, room_id: str) -> Room:
        """The room after what this transaction did to it so far. Raises RoomNotFound."""
        self.no(room_id)
        return self.rooms.get(room_id) or self.loaded[room_id].room

    def past(self, room_id: str) -> Past:
        """What a decision may ask, also about messages that are not written yet."""
        return _Past(self, self.no(room_id), Stage(self.room(room_id)))

    def author(self, no: int, seq: int) -> str | None:
        """Who sent that number, as far as earlier work of this transaction and the store know."""
        fresh = self.messages.get((no, seq))
        return self.source.author(no, seq) if fresh is None else fresh.sender

    def memory(self, no: int, room: Room) -> Memory:
        """The guard's memory of a room, after the acts so far."""
        return self.hearing.of(no, self.loaded[room.id].room, room.contract).memory

    def changed(self) -> list[Room]:
        """The rooms that are not as they were loaded."""
        return [room for id, room in self.rooms.items() if room is not self.loaded[id].room]

    # ---- acts -----------------------------------------------------------------------------------

    def act(self, room_id: str, acts: Sequence[Act]) -> list[Done | Refusal]:
        """Decide in order; a refusal stands in place of what its act would have done."""
        no = self.no(room_id)
        before = self.room(room_id)
        stage = Stage(before)
        results: list[Done | Refusal] = []
        try:
            for act in acts:
                try:
                    results.append(self._decided(no, stage, act))
                except Refusal as refusal:
                    results.append(refusal)
        except BaseException:
            self.hearing.unhear(room_id, before.last_seq)
            raise
        self.accept(no, stage)
        return results

    def put(self, room: Room, messages: Sequence[Message] = ()) -> None:
        """Take a room as it is now, with new messages of it."""
        stage = Stage(room)
        stage.messages += messages
        self.accept(self.no(room.id), stage)

    def record(self, entry: Entry | None) -> None:
        """Put an entry into the audit, with all else that this transaction writes."""
        if entry is not None:
            self.entries.append(entry)

    def _decided(self, no: int, stage: Stage, act: Act) -> Done:
        key = None if act.key is None else key_row(no, act.key)
        if key is not None and act.key is not None:
            first = stage.keys.get(key) or self.keys.get(key) or self.earlier.get(key)
            if first is not None:
                return self._replayed(no, stage, act.key, *first)
        past = _Past(self, no, stage)
        step = act.decide(stage.room, past)
        if step.room.last_seq != stage.room.last_seq + len(step.messages):
            raise ValueError("A step must number its messages without gaps.")
        step = chained(stage.room.chain, step)
        stage.messages += step.messages
        if past.judged is not None and step.messages:
            self._hear(stage.room, past.judged)
        if act.entry is not None:
            stage.entries += entries_of(act.entry, stage.room, step)
        stage.room = step.room
        if key is not None and act.key is not None and step.messages:
            stage.keys[key] = (act.key.fingerprint, step.messages[0].seq)
        return Done(step.room, step.messages, notices=step.notices)

    def _hear(self, before: Room, one: Heard) -> None:
        try:
            self.hearing.hear(before.id, one)
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not remember a message")
            self.hearing.distrust(before.id, before.last_seq)

    def _replayed(
        self, no: int, stage: Stage, key: IdempotencyKey, fingerprint: bytes, seq: int
    ) -> Done:
        if fingerprint and fingerprint != key.fingerprint:  # none: the text was erased
            raise KeyReused(f"The idempotency key already stands for #{seq}, another message.")
        first = next((one for one in stage.messages if one.seq == seq), None)
        first = first or self.messages.get((no, seq))
        first = first or self.source.messages(no, stage.room.id, seq, seq)[0]
        return Done(stage.room, (first,), replayed=True)

    def accept(self, no: int, stage: Stage) -> None:
        """What was decided holds, unless the transaction fails."""
        self.rooms[stage.room.id] = stage.room
        self.keys.update(stage.keys)
        self.entries += stage.entries
        for message in stage.messages:
            self.messages[no, message.seq] = message


def key_row(no: int, key: IdempotencyKey) -> KeyRow:
    """An idempotency key as it is kept."""
    return (no, _skeleton(key.sender), key.key)


def is_listed_otherwise(before: Room, after: Room) -> bool:
    """Whether the directory shows another room now, or finds it by other words."""
    return _listing(before) != _listing(after)


def _listing(room: Room) -> tuple[str, bool, str, str, datetime | None]:
    return room.lifecycle, room.listed, room.name, room.purpose, room.archived_at


def member_changes(before: Room, after: Room) -> tuple[Mapping[str, Member], Collection[str]]:
    """The members whose rows are others now, and those who are gone, by skeleton."""
    there = {
        key: member
        for key, member in after.members.items()
        if not _is_same(before.members.get(key), member)
    }
    return there, before.members.keys() - after.members.keys()


def _is_same(before: Member | None, after: Member) -> bool:
    return before is after or (
        before is not None
        and (before.name, before.active, before.principal)
        == (after.name, after.active, after.principal)
    )
