"""What the guard has heard of each room of a transaction, read from the store and written to it.

A memory is what the newest snapshot holds and the features of all messages since. It is taken out
of the process' cache by the first who asks, and put back after COMMIT only: what a transaction
that failed has told it is lost with it.
"""

from __future__ import annotations

import json
import logging

from room_mcp.rooms import Contract, Room, features_of
from room_mcp.rooms.guard import Features, Memory

from ..codec import to_json
from ..memories import SNAPSHOT_MESSAGES, Heard, Memories, Remembered
from .connection import Database
from .rows import Row, insert, key_of, messages_where

logger = logging.getLogger(__name__)

REBUILT_MESSAGES = 1_024  # at most, when an earlier version's memory cannot be read


class Hearing:
    """The guard's memories of the rooms in one transaction."""

    def __init__(self, db: Database, memories: Memories) -> None:
        self._db = db
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
        self._of.pop(room_id, None)
        heard = self._heard.pop(room_id, [])
        if kept := [one for one in heard if one.seq <= last_seq]:
            self._heard[room_id] = kept

    def forget(self, room_id: str, no: int, bounds: tuple[int, int]) -> None:
        """The texts of a room are removed, and what the guard knows of them."""
        self._of.pop(room_id, None)
        self._db.run("DELETE FROM features WHERE key BETWEEN ? AND ?", bounds)
        self._db.run("DELETE FROM memories WHERE room_no = ?", (no,))

    def write(self) -> None:
        rows: list[Row] = []
        for room_id, heard in self._heard.items():
            no = self._nos[room_id]
            known = self._of.get(room_id)
            is_due = known is not None and known.seq - known.snapshot_seq >= SNAPSHOT_MESSAGES
            if known is None or not is_due or not self._took_snapshot(no, known):
                rows += [
                    (key_of(no, one.seq), int(one.scored), one.features.to_json()) for one in heard
                ]
        insert(self._db, "features (key, scored, data)", rows)

    def remember(self) -> None:
        """Keep the memories for the next transaction; after COMMIT only."""
        for room_id, known in self._of.items():
            self._memories.put_back(room_id, known)

    # ---- reading ----------------------------------------------------------------------------

    def _caught_up(
        self, no: int, stored: Room, contract: Contract, known: Remembered | None
    ) -> Remembered:
        row = self._db.row("SELECT seq, data FROM memories WHERE room_no = ?", (no,))
        snapshot_seq = 0 if row is None else int(row[0])
        numbers = contract.guard.numbers
        if known is None or known.seq < snapshot_seq:
            memory = Memory(numbers=numbers)
            if row is not None:
                kept = Memory.restore(json.loads(str(row[1])), numbers=numbers)
                if kept is None:
                    return self._rebuilt(no, stored, contract)
                memory = kept
            known = Remembered(memory, snapshot_seq, snapshot_seq, stored.erasures)
        known.snapshot_seq = snapshot_seq
        rows = self._db.rows(
            "SELECT key & 0xffffffff, sender, scored, sender_type, data"
            " FROM features JOIN messages USING (key) WHERE key BETWEEN ? AND ? ORDER BY key",
            (key_of(no, known.seq + 1), key_of(no, stored.last_seq)),
        )
        for seq, sender, scored, kind, data in rows:
            features = Features.from_json(data)
            if features is None:
                return self._rebuilt(no, stored, contract)
            known.hear(Heard(seq, sender, bool(scored), kind != "agent", features))
        known.seq = stored.last_seq
        return known

    def _rebuilt(self, no: int, stored: Room, contract: Contract) -> Remembered:
        """A memory of the newest texts: what is kept was made by another version."""
        first = max(1, stored.last_seq - REBUILT_MESSAGES + 1)
        # Its own snapshot is due at once.
        known = Remembered(
            Memory(numbers=contract.guard.numbers), first - 1, -SNAPSHOT_MESSAGES, stored.erasures
        )
        bounds = {"low": key_of(no, first), "high": key_of(no, stored.last_seq)}
        for one in messages_where(self._db, stored.id, "key BETWEEN :low AND :high", bounds):
            if one.sender_type == "system" or one.content is None:
                continue
            features = features_of(contract, one.content)
            if features is not None:
                scored = not contract.is_exempt(one.type, None)
                human = one.sender_type == "human"
                known.hear(Heard(one.seq, one.sender, scored, human, features))
        known.seq = stored.last_seq
        return known

    def _took_snapshot(self, no: int, known: Remembered) -> bool:
        """The features up to here are in the snapshot, and are needed no more."""
        try:
            snapshot = to_json(known.memory.snapshot())
        except Exception:
            logger.exception("The guard's memory could not be written")
            return False
        self._db.run(
            "INSERT OR REPLACE INTO memories (room_no, seq, data) VALUES (?, ?, ?)",
            (no, known.seq, snapshot),
        )
        self._db.run(
            "DELETE FROM features WHERE key BETWEEN ? AND ?", (key_of(no, 0), key_of(no, known.seq))
        )
        known.snapshot_seq = known.seq
        return True
