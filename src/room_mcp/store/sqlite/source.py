"""What a transaction looks up of the rooms it holds, as SQL."""

from __future__ import annotations

import apsw

from room_mcp.rooms import Message

from ..hearing import FeatureRow, Kept
from .connection import Database
from .rows import key_of, messages_where


class SqliteSource:
    """A `Source` on the writer's connection."""

    failures: tuple[type[BaseException], ...] = (apsw.Error,)

    def __init__(self, db: Database) -> None:
        self._db = db

    def author(self, no: int, seq: int) -> str | None:
        row = self._db.row("SELECT sender FROM messages WHERE key = ?", (key_of(no, seq),))
        return None if row is None else str(row[0])

    def messages(self, no: int, room_id: str, first: int, last: int) -> list[Message]:
        bounds = {"low": key_of(no, first), "high": key_of(no, last)}
        return messages_where(self._db, room_id, "key BETWEEN :low AND :high", bounds)

    def heard(self, no: int, known: int | None, last: int) -> Kept:
        row = self._db.row("SELECT seq, data FROM memories WHERE room_no = ?", (no,))
        snapshot_seq, snapshot = (0, None) if row is None else (int(row[0]), str(row[1]))
        rows = self._db.rows(
            "SELECT key & 0xffffffff, sender, scored, sender_type <> 'agent', data"
            " FROM features JOIN messages USING (key) WHERE key BETWEEN ? AND ? ORDER BY key",
            (key_of(no, max(known or 0, snapshot_seq) + 1), key_of(no, last)),
        )
        found = [
            FeatureRow(seq, sender, bool(scored), bool(human), data)
            for seq, sender, scored, human, data in rows
        ]
        return Kept(snapshot_seq, snapshot, found)
