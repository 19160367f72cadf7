"""What the guard has heard of each room of a transaction, on any engine.

A memory is what the newest snapshot holds and the features of all messages since. It is taken out
of the process' cache by the first who asks, and put back after COMMIT only: what a transaction
that failed has told it is lost with it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from room_mcp.rooms import Contract, Message, Room, features_of
from room_mcp.rooms.guard import Features, Memory

from .codec import to_json
from .memories import SNAPSHOT_MESSAGES, Heard, Memories, Remembered

logger = logging.getLogger(__name__)

REBUILT_MESSAGES = 1_024  # at most, when an earlier version's memory cannot be read


class FeatureRow(NamedTuple):
    """The features of a message, as the store keeps them."""

    seq: int
    sender: str
    scored: bool
    human: bool
    data: str


class Kept(NamedTuple):
    """What the store keeps of a memory: the newest snapshot, 0 and None without one, and the
    features of messages behind it."""

    snapshot_seq: int
    snapshot: str | None
    rows: Sequence[FeatureRow]


class Source(Protocol):
    """What a transaction can look up of the rooms that it holds.

    `failures` are the errors of the store itself; they concern more than the one who asked.
    """

    failures: tuple[type[BaseException], ...]

    def author(self, no: int, seq: int) -> str | None:
        """Who sent that number."""
        ...

    def messages(self, no: int, room_id: str, first: int, last: int) -> list[Message]:
        """The messages of a room from one seq to another, in order."""
        ...

    def heard(self, no: int, known: int | None, last: int) -> Kept:
        """What the guard keeps of a room.

        Args:
            known: Up to where it is known already: only rows behind it are wanted, unless a
                snapshot is newer.
            last: The last message of the room.
        """
        ...


class Written(NamedTuple):
    """What a transaction has to keep for the guard, by room no."""

    features: list[tuple[int, Heard]]
    snapshots: list[tuple[int, int, str]]  # no, seq, data; features up to it are needed no more


class Hearing:
    """The guard's memories of the rooms in one transaction."""

    def __init__(self, source: Source, memories: Memories) -> None:
        self._source = source
        self._memories = memories
        self._of: dict[str, Remembered] = {}
        self._heard: dict[str, list[Heard]] = {}  # by this transaction
        self._nos: dict[str, int] = {}

    def of(self, no: int, stored: Room, contract: Contract) -> Remembered:
        """The memory of a room; `stored` is the room as the table has it."""
        known = self._of.get(stored.id)
        if known is None:
            self._nos[stored.id] = no
            known = self._memories.take_out(stored.id, stored.erasures)
            if known is None or known.seq != stored.last_seq:
                known = self._caught_up(no, stored, contract, known)
            for one in self._heard.get(stored.id, ()):
                known.hear(one)
            self._of[stored.id] = known
        return known

    def hear(self, room_id: str, one: Heard) -> None:
        """A message that was judged has been accepted."""
        self._of[room_id].hear(one)
        self._heard.setdefault(room_id, []).append(one)

    def unhear(self, room_id: str, last_seq: int) -> None:
        """What was heard after `last_seq` was not accepted after all."""
        known = self._of.get(room_id)
        if known is None or known.seq > last_seq:
            self.distrust(room_id, last_seq)

    def distrust(self, room_id: str, last_seq: int) -> None:
        """Make the memory anew, of what was heard up to `last_seq`."""
        self._of.pop(room_id, None)
        heard = self._heard.pop(room_id, [])
        if kept := [one for one in heard if one.seq <= last_seq]:
            self._heard[room_id] = kept

    def forget(self, room_id: str) -> None:
        """The texts of a room are removed, and what the guard knows of them."""
        self._of.pop(room_id, None)
        self._heard.pop(room_id, None)

    def written(self) -> Written:
        """What is to be kept; a snapshot takes the place of features when it is due."""
        written = Written([], [])
        for room_id, heard in self._heard.items():
            no = self._nos[room_id]
            known = self._of.get(room_id)
            is_due = known is not None and known.seq - known.snapshot_seq >= SNAPSHOT_MESSAGES
            if known is None or not is_due or not self._took_snapshot(no, known, written):
                written.features.extend((no, one) for one in heard)
        return written

    def remember(self) -> None:
        """Keep the memories for the next transaction; after COMMIT only."""
        for room_id, known in self._of.items():
            self._memories.put_back(room_id, known)

    def _caught_up(
        self, no: int, stored: Room, contract: Contract, known: Remembered | None
    ) -> Remembered:
        try:
            kept = self._source.heard(no, known and known.seq, stored.last_seq)
        except BaseException:
            if known is not None:
                self._memories.put_back(stored.id, known)
            raise
        numbers = contract.guard.numbers
        if known is None or known.seq < kept.snapshot_seq:
            memory = Memory(numbers=numbers)
            if kept.snapshot is not None:
                restored = Memory.restore(json.loads(kept.snapshot), numbers=numbers)
                if restored is None:
                    return self._rebuilt(no, stored, contract)
                memory = restored
            known = Remembered(memory, kept.snapshot_seq, kept.snapshot_seq, stored.erasures)
        known.snapshot_seq = kept.snapshot_seq
        for seq, sender, scored, human, data in kept.rows:
            features = Features.from_json(data)
            if features is None:
                return self._rebuilt(no, stored, contract)
            known.hear(Heard(seq, sender, scored, human, features))
        known.seq = stored.last_seq
        return known

    def _rebuilt(self, no: int, stored: Room, contract: Contract) -> Remembered:
        """A memory of the newest texts: what is kept was made by another version."""
        first = max(1, stored.last_seq - REBUILT_MESSAGES + 1)
        # Its own snapshot is due at once.
        known = Remembered(
            Memory(numbers=contract.guard.numbers), first - 1, -SNAPSHOT_MESSAGES, stored.erasures
        )
        for one in self._source.messages(no, stored.id, first, stored.last_seq):
            if one.sender_type == "system" or one.content is None:
                continue
            features = features_of(contract, one.content)
            if features is not None:
                scored = not contract.is_exempt(one.type, None)
                human = one.sender_type == "human"
                known.hear(Heard(one.seq, one.sender, scored, human, features))
        known.seq = stored.last_seq
        return known

    @staticmethod
    def _took_snapshot(no: int, known: Remembered, written: Written) -> bool:
        """The features up to here are in the snapshot, and are needed no more."""
        try:
            snapshot = to_json(known.memory.snapshot())
        except Exception:
            logger.exception("The guard's memory could not be written")
            return False
        written.snapshots.append((no, known.seq, snapshot))
        known.snapshot_seq = known.seq
        return True
