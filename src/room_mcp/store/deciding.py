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
    """What one piece of work has decided so far, which is the past of what it decides next;
    dropped as a whole when it fails.

    `judged` is the message that the guard was asked about last.
    """

    __slots__ = ("_decisions", "entries", "judged", "keys", "messages", "no", "room")

    def __init__(self, decisions: Decisions, no: int, room: Room) -> None:
        self._decisions = decisions
        self.no = no
        self.room = room
        self.messages: list[Message] = []
        self.keys: dict[KeyRow, tuple[bytes, int]] = {}
        self.entries: list[Entry] = []
        self.judged: Heard | None = None

    def author_of(self, seq: int) -> str | None:
        for message in self.messages:
            if message.seq == seq:
                return message.sender
        return self._decisions.author(self.no, seq)

    def judge(
        self, features: Features, sender: str, *, scored: bool, human: bool
    ) -> Verdict | None:
        room = self.room
        self.judged = Heard(room.last_seq + 1, sender, scored, human, features)
        try:
            memory = self._decisions.memory(self.no, room)
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
        return self._loaded(room_id).no

    def room(self, room_id: str) -> Room:
        """The room after what this transaction did to it so far. Raises RoomNotFound."""
        kept = self._loaded(room_id)
        return self.rooms.get(room_id) or kept.room

    def past(self, room_id: str) -> Past:
        """What a decision may ask, also about messages that are not written yet."""
        return self._stage(room_id)

    def _loaded(self, room_id: str) -> Kept:
        kept = self.loaded.get(room_id)
        if kept is None:
            raise RoomNotFound("No room has this id.")
        return kept

    def _stage(self, room_id: str) -> Stage:
        kept = self._loaded(room_id)
        return Stage(self, kept.no, self.rooms.get(room_id) or kept.room)

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
        stage = self._stage(room_id)
        last_seq = stage.room.last_seq
        results: list[Done | Refusal] = []
        try:
            for act in acts:
                try:
                    results.append(self._decided(stage, act))
                except Refusal as refusal:
                    results.append(refusal)
            self.accept(stage)
        except BaseException:
            self.hearing.unhear(room_id, last_seq)
            raise
        return results

    def put(self, room: Room, messages: Sequence[Message] = ()) -> None:
        """Take a room as it is now, with new messages of it."""
        stage = Stage(self, self.no(room.id), room)
        stage.messages += messages
        self.accept(stage)

    def record(self, entry: Entry | None) -> None:
        """Put an entry into the audit, with all else that this transaction writes."""
        if entry is not None:
            self.entries.append(entry)

    def _decided(self, stage: Stage, act: Act) -> Done:
        decide, key, entry = act
        row = None if key is None else key_row(stage.no, key)
        if key is not None and row is not None:
            first = stage.keys.get(row) or self.keys.get(row) or self.earlier.get(row)
            if first is not None:
                return self._replayed(stage, key, *first)
        before, stage.judged = stage.room, None
        room, messages, notices = step = chained(before.chain, decide(before, stage))
        if room.last_seq != before.last_seq + len(messages):
            raise ValueError("A step must number its messages without gaps.")
        stage.messages += messages
        if stage.judged is not None and messages:
            self._hear(before, stage.judged)
        if entry is not None:
            stage.entries += entries_of(entry, before, step)
        stage.room = room
        if key is not None and row is not None and messages:
            stage.keys[row] = (key.fingerprint, messages[0].seq)
        return Done(room, messages, notices=notices)

    def _hear(self, before: Room, one: Heard) -> None:
        try:
            self.hearing.hear(before.id, one)
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not remember a message")
            self.hearing.distrust(before.id, before.last_seq)

    def _replayed(self, stage: Stage, key: IdempotencyKey, fingerprint: bytes, seq: int) -> Done:
        if fingerprint and fingerprint != key.fingerprint:  # none: the text was erased
            raise KeyReused(f"The idempotency key already stands for #{seq}, another message.")
        first = next((one for one in stage.messages if one.seq == seq), None)
        first = first or self.messages.get((stage.no, seq))
        first = first or self.source.messages(stage.no, stage.room.id, seq, seq)[0]
        return Done(stage.room, (first,), replayed=True)

    def accept(self, stage: Stage) -> None:
        """What was decided holds, unless the transaction fails."""
        self.rooms[stage.room.id] = stage.room
        self.keys |= stage.keys
        self.entries += stage.entries
        for message in stage.messages:
            self.messages[stage.no, message.seq] = message


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
