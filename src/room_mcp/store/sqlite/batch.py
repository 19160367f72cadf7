"""One write transaction: rooms are loaded, acts decided in memory, and all rows written last.

Nothing is written before every act of the transaction is decided, so an act that is refused, or
fails, leaves nothing behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import apsw

from room_mcp.rooms import Member, Message, Past, Refusal, Room, skeleton
from room_mcp.rooms.chain import chained
from room_mcp.rooms.guard import Features, Verdict, type_as
from room_mcp.rooms.names import folded
from room_mcp.rooms.refusals import KeyReused, RoomNotFound

from ..auditing import Entry, entries_of
from ..codec import micros, state_from, to_json
from ..interface import MAX_AHEAD, Act, Done, IdempotencyKey
from ..memories import Heard, Memories, Remembered
from ..tokens import content_tokens
from . import auditing, scrubbing
from .cache import Kept, RoomCache
from .connection import Database
from .hearing import Hearing
from .rows import (
    MESSAGE_COLUMNS,
    Row,
    insert,
    key_of,
    message_row,
    messages_where,
    rows_matching,
    stored,
)

logger = logging.getLogger(__name__)

KeyRow = tuple[int, str, str]  # room no, skeleton of the sender, key
_skeleton = lru_cache(maxsize=4_096)(skeleton)


class Changes(NamedTuple):
    """What a commit changed, for those who wait for it; rev 0: nothing."""

    rev: int = 0
    room_ids: tuple[str, ...] = ()
    directory: bool = False


class _Stage:
    """What one piece of work has decided so far; dropped as a whole when it fails."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.messages: list[Message] = []
        self.rows: list[Row] = []
        self.words: list[Row] = []
        self.keys: dict[KeyRow, tuple[bytes, int]] = {}
        self.entries: list[Entry] = []


class _Past:
    """What one decision may ask; `judged` is the message that the guard was asked about."""

    def __init__(self, batch: Batch, no: int, stage: _Stage) -> None:
        self._batch = batch
        self._no = no
        self._stage = stage
        self.judged: Heard | None = None

    def author_of(self, seq: int) -> str | None:
        for message in self._stage.messages:
            if message.seq == seq:
                return message.sender
        return self._batch.author(self._no, seq)

    def judge(
        self, features: Features, sender: str, *, scored: bool, human: bool
    ) -> Verdict | None:
        room = self._stage.room
        self.judged = Heard(room.last_seq + 1, sender, scored, human, features)
        try:
            memory = self._batch.remembered(self._no, room).memory
            return memory.judge(features, sender, type=type_as(scored), human=human)
        except apsw.Error:
            raise
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not judge a message")
            self.judged = None
            return None


class Batch:
    """The acts of one transaction, and what it knows of the rooms in it."""

    def __init__(self, db: Database, cache: RoomCache, memories: Memories, now: datetime) -> None:
        self.db = db
        self._cache = cache
        ((rev, newest, epoch),) = db.rows(
            "SELECT (SELECT coalesce(max(rev), 0) FROM rooms),"
            " (SELECT coalesce(max(updated_at), 0) FROM rooms WHERE updated_at <= ?),"
            " (SELECT value FROM meta WHERE name = 'epoch')",
            (micros(now + MAX_AHEAD),),
        )
        self.rev = 1 + int(rev)
        cache.found_epoch(str(epoch), int(rev))
        self.is_restored = memories.belong_to(str(epoch))  # since the last transaction of ours
        self._hearing = Hearing(db, memories)
        # The directory goes by it: never back, but for what a clock far ahead has left behind.
        self._now = max(micros(now), int(newest) + 1)
        self._loaded: dict[str, Kept] = {}
        self._rooms: dict[str, Room] = {}  # after the acts so far
        self._messages: dict[tuple[int, int], Message] = {}
        self._rows: list[Row] = []
        self._words: list[Row] = []
        self._keys: dict[KeyRow, tuple[bytes, int]] = {}  # of this batch
        self._earlier: dict[KeyRow, tuple[bytes, int]] = {}  # from the table
        self._entries: list[Entry] = []
        self._directory = False
        self._gone: list[str] = []

    # ---- what is there --------------------------------------------------------------------------

    def load(self, room_ids: Iterable[str]) -> None:
        """Bring in rooms; ids without a room are passed over."""
        wanted = {room_id: None for room_id in room_ids if room_id not in self._loaded}
        found = self.db.rows(
            "SELECT id, no, rev FROM rooms"
            " WHERE id IN (SELECT value FROM json_each(?)) AND lifecycle <> 'deleted'",
            (to_json(list(wanted)),),
        )
        for id, no, rev in found:
            kept = self._cache.get(id)
            if kept is None or kept.rev != rev:
                kept = stored(self.db, no, rev, id)
            self._loaded[id] = kept

    def load_keys(self, keys: Iterable[tuple[str, IdempotencyKey]]) -> None:
        """Look up idempotency keys by room id, all at once."""
        wanted = [
            self._key_row(self._loaded[room_id].no, key)
            for room_id, key in keys
            if room_id in self._loaded
        ]
        found = rows_matching(
            self.db,
            "SELECT k.room_no, k.sender, k.key, k.fingerprint, k.seq FROM",
            wanted,
            "AS wanted JOIN keys AS k ON k.room_no = wanted.column1"
            " AND k.sender = wanted.column2 AND k.key = wanted.column3",
        )
        for no, sender, key, fingerprint, seq in found:
            self._earlier[no, sender, key] = (fingerprint, seq)

    def has(self, room_id: str) -> bool:
        """Whether the id is taken, if only by a tombstone."""
        return self.db.row("SELECT 1 FROM rooms WHERE id = ?", (room_id,)) is not None

    def no(self, room_id: str) -> int:
        """The room's number. Raises RoomNotFound."""
        kept = self._loaded.get(room_id)
        if kept is None:
            raise RoomNotFound("No room has this id.")
        return kept.no

    def room(self, room_id: str) -> Room:
        """The room after what this transaction did to it so far. Raises RoomNotFound."""
        self.no(room_id)
        return self._rooms.get(room_id) or self._loaded[room_id].room

    def past(self, room_id: str, stage: _Stage | None = None) -> Past:
        """What a decision may ask, also about messages that are not written yet."""
        return _Past(self, self.no(room_id), stage or _Stage(self.room(room_id)))

    def author(self, no: int, seq: int) -> str | None:
        """Who sent that number, as far as earlier work of this transaction and the table know."""
        fresh = self._messages.get((no, seq))
        if fresh is not None:
            return fresh.sender
        row = self.db.row("SELECT sender FROM messages WHERE key = ?", (key_of(no, seq),))
        return None if row is None else str(row[0])

    def remembered(self, no: int, room: Room) -> Remembered:
        """The guard's memory of a room, after the acts so far."""
        return self._hearing.of(no, self._loaded[room.id].room, room.contract)

    # ---- acts -----------------------------------------------------------------------------------

    def act(self, room_id: str, acts: Sequence[Act]) -> list[Done | Refusal]:
        """Decide in order; a refusal stands in place of what its act would have done."""
        no = self.no(room_id)
        before = self.room(room_id)
        stage = _Stage(before)
        results: list[Done | Refusal] = []
        try:
            for act in acts:
                try:
                    results.append(self._decided(no, stage, act))
                except Refusal as refusal:
                    results.append(refusal)
        except BaseException:
            self._hearing.unhear(room_id, before.last_seq)
            raise
        self._accept(no, stage)
        return results

    def put(self, room: Room, messages: Sequence[Message] = ()) -> None:
        """Take a room as it is now, with new messages of it."""
        no = self.no(room.id)
        stage = _Stage(room)
        self._add(no, stage, messages)
        self._accept(no, stage)

    def record(self, entry: Entry | None) -> None:
        """Put an entry into the audit, with all else that this transaction writes."""
        if entry is not None:
            self._entries.append(entry)

    def _decided(self, no: int, stage: _Stage, act: Act) -> Done:
        key = None if act.key is None else self._key_row(no, act.key)
        if key is not None and act.key is not None:
            first = stage.keys.get(key) or self._keys.get(key) or self._earlier.get(key)
            if first is not None:
                return self._replayed(no, stage, act.key, *first)
        past = _Past(self, no, stage)
        step = act.decide(stage.room, past)
        if step.room.last_seq != stage.room.last_seq + len(step.messages):
            raise ValueError("A step must number its messages without gaps.")
        step = chained(stage.room.chain, step)
        self._add(no, stage, step.messages)
        if past.judged is not None and step.messages:
            self._hear(stage.room, past.judged)
        stage.entries += entries_of(act.entry, stage.room, step)
        stage.room = step.room
        if key is not None and act.key is not None and step.messages:
            stage.keys[key] = (act.key.fingerprint, step.messages[0].seq)
        return Done(step.room, step.messages, notices=step.notices)

    def _hear(self, before: Room, one: Heard) -> None:
        try:
            self._hearing.hear(before.id, one)
        except Exception:
            # A guard that fails must not hold a message back.
            logger.exception("The guard could not remember a message")
            self._hearing.unhear(before.id, before.last_seq)

    def _replayed(
        self, no: int, stage: _Stage, key: IdempotencyKey, fingerprint: bytes, seq: int
    ) -> Done:
        if fingerprint and fingerprint != key.fingerprint:  # none: the text was erased
            raise KeyReused(f"The idempotency key already stands for #{seq}, another message.")
        first = next((one for one in stage.messages if one.seq == seq), None)
        first = first or self._messages.get((no, seq))
        if first is None:
            first = messages_where(self.db, stage.room.id, "key = :key", {"key": key_of(no, seq)})[
                0
            ]
        return Done(stage.room, (first,), replayed=True)

    def _add(self, no: int, stage: _Stage, messages: Sequence[Message]) -> None:
        # Here, so that content that cannot be kept fails its own act and no other.
        rows = [message_row(no, message) for message in messages]
        words = [
            (key_of(no, message.seq), " ".join(found))
            for message in messages
            if (found := content_tokens(message.content))
        ]
        stage.messages += messages
        stage.rows += rows
        stage.words += words

    def _accept(self, no: int, stage: _Stage) -> None:
        self._rooms[stage.room.id] = stage.room
        self._rows += stage.rows
        self._words += stage.words
        self._keys.update(stage.keys)
        self._entries += stage.entries
        for message in stage.messages:
            self._messages[no, message.seq] = message

    @staticmethod
    def _key_row(no: int, key: IdempotencyKey) -> KeyRow:
        return (no, _skeleton(key.sender), key.key)

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
        self._loaded[room.id] = Kept(int(rowid), 0, empty)
        self._rooms[room.id] = room

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
        self._hearing.forget(room_id, self.no(room_id), bounds)

    def _has_texts(self, room_id: str, bounds: tuple[int, int]) -> bool:
        """Whether anything is left to erase: else nobody has to write the whole store anew."""
        before, after = self._loaded[room_id].room, self._rooms[room_id]
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
        self._hearing.forget(room_id, no, bounds)
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

    @staticmethod
    def _bounds(no: int) -> tuple[int, int]:
        return key_of(no, 0), key_of(no + 1, 0) - 1

    # ---- writing --------------------------------------------------------------------------------

    def write(self) -> Changes:
        """Write what was decided; the rest is COMMIT."""
        insert(self.db, f"messages ({MESSAGE_COLUMNS})", self._rows)
        insert(self.db, "words (rowid, tokens)", self._words)
        insert(
            self.db,
            "keys (room_no, sender, key, fingerprint, seq)",
            [(*key, *value) for key, value in self._keys.items()],
        )
        self._hearing.write()
        if self._entries:
            auditing.append(self.db, self._entries)
        changed = [room for id, room in self._rooms.items() if room is not self._loaded[id].room]
        for offset, room in enumerate(changed):
            # Apart by a microsecond, so that a page of the directory can end between them.
            self._write_room(self._loaded[room.id], room, self._now + offset)
        touched = (*(room.id for room in changed), *self._gone)
        return Changes(self.rev, touched, self._directory) if touched else Changes()

    def remember(self) -> None:
        """Let the process know the new state; after COMMIT only."""
        for id, kept in self._loaded.items():
            room = self._rooms.get(id, kept.room)
            self._cache.put(kept if room is kept.room else kept._replace(rev=self.rev, room=room))
        self._hearing.remember()
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
        if _listing(room) != _listing(before.room):
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
        known = before.room.members
        rows = [
            (before.no, key, member.name, member.active, member.principal)
            for key, member in room.members.items()
            if not _same_member(known.get(key), member)
        ]
        insert(
            self.db,
            "members (room_no, skeleton, name, active, principal)",
            rows,
            after="ON CONFLICT DO UPDATE SET name = excluded.name, active = excluded.active,"
            " principal = excluded.principal",
        )
        for key in known.keys() - room.members.keys():
            self.db.run("DELETE FROM members WHERE room_no = ? AND skeleton = ?", (before.no, key))


def _listing(room: Room) -> tuple[str, bool, str, str, datetime | None]:
    return room.lifecycle, room.listed, room.name, room.purpose, room.archived_at


def _same_member(before: Member | None, after: Member) -> bool:
    return before is after or (
        before is not None
        and (before.name, before.active, before.principal)
        == (after.name, after.active, after.principal)
    )
