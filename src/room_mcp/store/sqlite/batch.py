"""One write transaction: rooms are loaded, acts decided in memory, and all rows written last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from room_mcp.rooms import Room, skeleton
from room_mcp.rooms.names import folded

from ..cache import Kept, RoomCache
from ..codec import micros, state_from, to_json
from ..deciding import Decisions, is_listed_otherwise, key_row, member_changes
from ..interface import MAX_AHEAD, IdempotencyKey
from ..memories import Memories
from ..moved import must_be_here
from ..tokens import content_tokens
from . import auditing, scrubbing
from .connection import Database
from .rows import (
    MESSAGE_COLUMNS,
    STORED_EPOCH,
    Row,
    insert,
    key_of,
    message_row,
    rows_matching,
    stored,
)
from .source import SqliteSource


class Changes(NamedTuple):
    """What a commit changed, for those who wait for it; rev 0: nothing."""

    rev: int = 0
    room_ids: tuple[str, ...] = ()
    directory: bool = False


class Batch(Decisions):
    """The acts of one transaction on the writer's connection."""

    def __init__(self, db: Database, cache: RoomCache, memories: Memories, now: datetime) -> None:
        super().__init__(SqliteSource(db), memories)
        self.db = db
        self._cache = cache
        ((rev, newest, epoch),) = db.rows(
            "SELECT (SELECT coalesce(max(rev), 0) FROM rooms),"
            " (SELECT coalesce(max(updated_at), 0) FROM rooms WHERE updated_at <= ?),"
            f" {STORED_EPOCH}",
            (micros(now + MAX_AHEAD),),
        )
        must_be_here(str(epoch))
        self.rev = 1 + int(rev)
        cache.found_epoch(str(epoch), int(rev))
        self.is_restored = memories.belong_to(str(epoch))  # since the last transaction of ours
        # The directory goes by it: never back, but for what a clock far ahead has left behind.
        self._now = max(micros(now), int(newest) + 1)
        self._directory = False
        self._gone: list[str] = []

    # ---- what is there --------------------------------------------------------------------------

    def load(self, room_ids: Iterable[str]) -> None:
        """Bring in rooms; ids without a room are passed over."""
        wanted = {room_id: None for room_id in room_ids if room_id not in self.loaded}
        found = self.db.rows(
            "SELECT id, no, rev FROM rooms"
            " WHERE id IN (SELECT value FROM json_each(?)) AND lifecycle <> 'deleted'",
            (to_json(list(wanted)),),
        )
        for id, no, rev in found:
            kept = self._cache.get(id)
            if kept is None or kept.rev != rev:
                kept = stored(self.db, no, rev, id)
            self.loaded[id] = kept

    def load_keys(self, keys: Iterable[tuple[str, IdempotencyKey]]) -> None:
        """Look up idempotency keys by room id, all at once."""
        wanted = [
            key_row(self.loaded[room_id].no, key) for room_id, key in keys if room_id in self.loaded
        ]
        found = rows_matching(
            self.db,
            "SELECT k.room_no, k.sender, k.key, k.fingerprint, k.seq FROM",
            wanted,
            "AS wanted JOIN keys AS k ON k.room_no = wanted.column1"
            " AND k.sender = wanted.column2 AND k.key = wanted.column3",
        )
        for no, sender, key, fingerprint, seq in found:
            self.earlier[no, sender, key] = (fingerprint, seq)

    def has(self, room_id: str) -> bool:
        """Whether the id is taken, if only by a tombstone."""
        return self.db.row("SELECT 1 FROM rooms WHERE id = ?", (room_id,)) is not None

    # ---- creating and removing; each alone in its transaction -----------------------------------

    def create(self, room: Room, *, creator: str) -> None:
        """Keep a new room, which counts for its creator."""
        rowid = self.db.value(
            "INSERT INTO rooms (id, rev, dir_rev, lifecycle, listed, last_seq, updated_at,"
            " name_key, searchable, creator)"
            " VALUES (?, 0, 0, 'open', 0, 0, 0, '', '', ?) RETURNING no",
            (room.id, creator),
        )
        empty = Room(id=room.id, name="", created_at=room.created_at, lifecycle="closed")
        self.loaded[room.id] = Kept(int(rowid), 0, empty)
        self.rooms[room.id] = room

    def open_room_named(self, like: Room) -> Room | None:
        """The room of the same name that has not ended, and is listed or of the same owner; of
        several the last changed."""
        row = self.db.row(
            "SELECT id FROM rooms WHERE name_key = ?1 AND lifecycle IN ('open', 'paused')"
            " AND (listed OR (owner = ?2 AND owner <> '')) ORDER BY updated_at DESC LIMIT 1",
            (skeleton(like.name), like.admission.owner),
        )
        if row is None:
            return None
        self.load([str(row[0])])
        return self.room(str(row[0]))

    def erase_texts(self, room_id: str) -> None:
        """Remove the contents of all messages and the words they are found by; after `put`."""
        bounds = self._bounds(self.no(room_id))
        if self._has_texts(room_id, bounds):
            scrubbing.note(self.db)
        self.db.run(
            "UPDATE messages SET content = NULL, chain = NULL WHERE key BETWEEN ? AND ?", bounds
        )
        # Whoever has the hash of a short text can guess the text.
        self.db.run("UPDATE keys SET fingerprint = x'' WHERE room_no = ?", (self.no(room_id),))
        self._forget_words(bounds)
        self._forget_hearing(room_id, bounds)

    def _has_texts(self, room_id: str, bounds: tuple[int, int]) -> bool:
        """Whether anything is left to erase: else nobody has to write the whole store anew."""
        before, after = self.loaded[room_id].room, self.rooms[room_id]
        if (before.purpose, before.closing, before.verdicts) != (
            after.purpose,
            after.closing,
            after.verdicts,
        ):
            return True
        found = self.db.value(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE key BETWEEN ? AND ?"
            " AND content IS NOT NULL)"
            # Earlier versions leave these, and the bytes of the texts in the files.
            " OR EXISTS (SELECT 1 FROM keys WHERE room_no = ? AND fingerprint <> x'')",
            (*bounds, self.no(room_id)),
        )
        return bool(found)

    def delete(self, room_id: str) -> None:
        """Remove everything but a tombstone, which tells other processes."""
        no = self.no(room_id)
        bounds = self._bounds(no)
        self._forget_words(bounds)
        self.db.run("DELETE FROM messages WHERE key BETWEEN ? AND ?", bounds)
        self.db.run("DELETE FROM keys WHERE room_no = ?", (no,))
        self.db.run("DELETE FROM members WHERE room_no = ?", (no,))
        self.db.run("DELETE FROM contracts WHERE room_no = ?", (no,))
        self._forget_hearing(room_id, bounds)
        scrubbing.note(self.db)
        self.db.run(
            "UPDATE rooms SET rev = ?1, dir_rev = ?1, lifecycle = 'deleted', listed = 0,"
            " last_seq = 0, updated_at = ?2, name_key = '', searchable = '', state = NULL"
            " WHERE no = ?3",
            (self.rev, self._now, no),
        )
        self._gone.append(room_id)
        self._directory = True

    def _forget_words(self, bounds: tuple[int, int]) -> None:
        self.db.run("DELETE FROM words WHERE rowid BETWEEN ? AND ?", bounds)
        # The index only notes that these messages are gone. Merging all of its parts drops their
        # words too; that is begun here, and the writer goes on with it when it is idle.
        self.db.run("INSERT INTO words (words, rank) VALUES ('merge', -1)")

    def _forget_hearing(self, room_id: str, bounds: tuple[int, int]) -> None:
        self.hearing.forget(room_id)
        self.db.run("DELETE FROM features WHERE key BETWEEN ? AND ?", bounds)
        self.db.run("DELETE FROM memories WHERE room_no = ?", (self.no(room_id),))

    @staticmethod
    def _bounds(no: int) -> tuple[int, int]:
        return key_of(no, 0), key_of(no + 1, 0) - 1

    # ---- writing --------------------------------------------------------------------------------

    def write(self) -> Changes:
        """Write what was decided; the rest is COMMIT."""
        rows = [message_row(no, message) for (no, _), message in self.messages.items()]
        insert(self.db, f"messages ({MESSAGE_COLUMNS})", rows)
        words: list[Row] = [
            (key_of(no, seq), " ".join(found))
            for (no, seq), message in self.messages.items()
            if (found := content_tokens(message.content))
        ]
        insert(self.db, "words (rowid, tokens)", words)
        insert(
            self.db,
            "keys (room_no, sender, key, fingerprint, seq)",
            [(*key, *value) for key, value in self.keys.items()],
        )
        self._write_hearing()
        if self.entries:
            auditing.append(self.db, self.entries)
        changed = self.changed()
        for offset, room in enumerate(changed):
            # Apart by a microsecond, so that a page of the directory can end between them.
            self._write_room(self.loaded[room.id], room, self._now + offset)
        touched = (*(room.id for room in changed), *self._gone)
        return Changes(self.rev, touched, self._directory) if touched else Changes()

    def _write_hearing(self) -> None:
        features, snapshots = self.hearing.written()
        rows: list[Row] = [
            (key_of(no, one.seq), int(one.scored), one.features.to_json()) for no, one in features
        ]
        insert(self.db, "features (key, scored, data)", rows)
        for no, seq, data in snapshots:
            self.db.run(
                "INSERT OR REPLACE INTO memories (room_no, seq, data) VALUES (?, ?, ?)",
                (no, seq, data),
            )
            self.db.run(
                "DELETE FROM features WHERE key BETWEEN ? AND ?", (key_of(no, 0), key_of(no, seq))
            )

    def remember(self) -> None:
        """Let the process know the new state; after COMMIT only."""
        for id, kept in self.loaded.items():
            room = self.rooms.get(id, kept.room)
            self._cache.put(kept if room is kept.room else kept._replace(rev=self.rev, room=room))
        self.hearing.remember()
        for id in self._gone:
            self._cache.drop(id)

    def _write_room(self, before: Kept, room: Room, now: int) -> None:
        self.db.run(
            "UPDATE rooms SET rev = ?, last_seq = ?, updated_at = ?, state = ?, archived_at = ?"
            " WHERE no = ?",
            (
                self.rev,
                room.last_seq,
                now,
                state_from(room, before.unknown),
                # Always: versions that do not know it reopen a room and leave it standing.
                micros(room.archived_at) if room.archived_at and room.is_archived else None,
                before.no,
            ),
        )
        if is_listed_otherwise(before.room, room):
            self._directory = True
            self.db.run(
                "UPDATE rooms SET dir_rev = ?, lifecycle = ?, listed = ?, owner = ?, name_key = ?,"
                " searchable = ? WHERE no = ?",
                (
                    self.rev,
                    room.lifecycle,
                    room.listed,
                    room.admission.owner,
                    skeleton(room.name),
                    folded(f"{room.name}\n{room.purpose}"),
                    before.no,
                ),
            )
        if room.members is not before.room.members:
            self._write_members(before, room)
        if before.rev == 0 or room.contract != before.room.contract:
            self.db.run(
                "INSERT OR REPLACE INTO contracts (room_no, source) VALUES (?, ?)",
                (before.no, room.contract.source),
            )

    def _write_members(self, before: Kept, room: Room) -> None:
        there, gone = member_changes(before.room, room)
        rows = [
            (before.no, key, member.name, member.active, member.principal)
            for key, member in there.items()
        ]
        insert(
            self.db,
            "members (room_no, skeleton, name, active, principal)",
            rows,
            after="ON CONFLICT DO UPDATE SET name = excluded.name, active = excluded.active,"
            " principal = excluded.principal",
        )
        for key in gone:
            self.db.run("DELETE FROM members WHERE room_no = ? AND skeleton = ?", (before.no, key))
