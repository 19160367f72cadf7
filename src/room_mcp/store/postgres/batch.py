"""One write transaction: rooms are locked, acts decided in memory, and all rows written last."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from room_mcp.rooms import Message, Room, Step, skeleton
from room_mcp.rooms.names import folded

from ..cache import Kept, RoomCache
from ..codec import micros, state_from
from ..deciding import Decisions, Stage, is_listed_otherwise, key_row, member_changes
from ..interface import MAX_AHEAD, Decide, IdempotencyKey
from ..memories import Memories
from . import auditing, statements
from .database import Database
from .notices import notice
from .rest import Along, write_beside
from .rows import Known, message_values, words_of
from .source import PostgresSource, Wanted
from .statements import KEY_VALUES, MESSAGE_VALUES, ROOM_VALUES, as_columns

AHEAD_MESSAGES = 16  # that are written together while more is decided


class Changes(NamedTuple):
    """What a commit changed, for those who wait for it."""

    room_ids: tuple[str, ...] = ()
    directory: bool = False


class Batch(Decisions):
    """The acts of one transaction on a connection.

    Args:
        now: What the node's clock says.
    """

    def __init__(self, db: Database, cache: RoomCache, memories: Memories, now: datetime) -> None:
        super().__init__(PostgresSource(db), memories)
        self.db = db
        self._cache = cache
        self._now = now
        self._newest = 0  # when any room was changed last
        self._directory = False
        self._gone: list[str] = []
        self._running: asyncio.Task[Any] | None = None  # a statement that was sent

    # ---- what is there --------------------------------------------------------------------------

    async def load(self, room_ids: Iterable[str]) -> None:
        """Bring in rooms, and hold them until the transaction ends; ids without a room are passed
        over."""
        known = Known.of(self._cache, {id for id in room_ids if id not in self.loaded})
        rows = await self.db.rows(statements.LOCK, *known.values, micros(self._now + MAX_AHEAD))
        if not rows:
            return
        self._memories.belong_to(rows[0]["epoch"])
        self._newest = rows[0]["newest"]
        unknown = [row["room_no"] for row in rows if row["state"] is not None]
        sources = (
            dict(map(tuple, await self.db.rows(statements.CONTRACTS, unknown))) if unknown else {}
        )
        for row in rows:
            kept = known.kept(row, sources.get(row["room_no"]))
            self.loaded[kept.room.id] = kept

    async def ask_for_keys(self, keys: Iterable[tuple[str, IdempotencyKey]]) -> None:
        """Look up idempotency keys by room id, after `load`, which waits for who has them.

        The answer comes while the first decisions are made as if all keys were new, as nearly
        all are.
        """
        wanted = [
            key_row(self.loaded[room_id].no, key) for room_id, key in keys if room_id in self.loaded
        ]
        if wanted:
            await self._send(self.db.rows(statements.KEYS, *as_columns(wanted, 3)))

    async def has_known_keys(self) -> bool:
        """Wait for the answer. True: some keys stand for messages already, so what was decided
        is forgotten."""
        for no, sender, key, fingerprint, seq in await self.settled() or ():
            self.earlier[no, sender, key] = (fingerprint, seq)
        if self.earlier:
            self.begin_anew()
        return bool(self.earlier)

    async def decided(self, room_id: str, decide: Decide) -> Step:
        """One decision about a room that is brought in for it."""
        await self.load([room_id])
        while True:
            try:
                return decide(self.room(room_id), self.past(room_id))
            except Wanted as wanted:
                await wanted.fetch()

    # ---- creating and removing; each alone in its transaction -----------------------------------

    async def create(self, room: Room, *, creator: str) -> None:
        """Keep a new room, which counts for its creator.

        Raises:
            ValueError: The id was given before.
        """
        row = await self.db.row(
            "INSERT INTO rooms (id, rev, lifecycle, listed, last_seq, updated_at, name_key,"
            " searchable, creator) VALUES ($1, 0, 'open', false, 0, 0, '', '', $2)"
            " ON CONFLICT (id) DO NOTHING RETURNING no,"
            " (SELECT coalesce(max(updated_at), 0) FROM rooms WHERE updated_at <= $3)",
            *(room.id, creator, micros(self._now + MAX_AHEAD)),
        )
        if row is None:
            raise ValueError("A room of this id exists already.")
        no, self._newest = row
        empty = Room(id=room.id, name="", created_at=room.created_at, lifecycle="closed")
        self.loaded[room.id] = Kept(no, 0, empty)
        self.rooms[room.id] = room

    async def open_room_named(self, like: Room) -> Room | None:
        """The room of the same name that has not ended, and is listed or of the same owner; of
        several the last changed. Nobody else opens one of that name meanwhile."""
        name = skeleton(like.name)
        await self.db.run("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"name:{name}")
        held: str | None = None
        while True:
            found = await self.db.value(
                "SELECT id FROM rooms WHERE name_key = $1 AND lifecycle IN ('open', 'paused')"
                " AND (listed OR (owner = $2 AND owner <> '')) ORDER BY updated_at DESC LIMIT 1",
                *(name, like.admission.owner),
            )
            if found is None or found == held:
                return None if found is None else self.room(found)
            # Whoever held it may have closed it: only what is held stays as it was found.
            await self.load([found])
            held = found

    async def erase_texts(self, room_id: str) -> None:
        """Remove the contents of all messages and the words they are found by; after `put`."""
        no = self.no(room_id)
        await self.db.run(
            "UPDATE messages SET content = NULL, words = NULL, chain = NULL WHERE room_no = $1", no
        )
        # Whoever has the hash of a short text can guess the text.
        await self.db.run("UPDATE keys SET fingerprint = '' WHERE room_no = $1", no)
        await self._forget_hearing(room_id, no)

    async def delete(self, room_id: str) -> None:
        """Remove everything but a tombstone: its id is never given again."""
        no = self.no(room_id)
        for table in ("messages", "keys", "members", "readings", "contracts"):
            await self.db.run(f"DELETE FROM {table} WHERE room_no = $1", no)
        await self._forget_hearing(room_id, no)
        await self.db.run(
            "UPDATE rooms SET rev = rev + 1, lifecycle = 'deleted', listed = false, last_seq = 0,"
            " updated_at = $2 + nextval('changes') % 1000, name_key = '', searchable = '',"
            " state = NULL WHERE no = $1",
            *(no, self._change_at()),
        )
        self._gone.append(room_id)
        self._directory = True

    async def _forget_hearing(self, room_id: str, no: int) -> None:
        self.hearing.forget(room_id)
        await self.db.run("DELETE FROM features WHERE room_no = $1", no)
        await self.db.run("DELETE FROM memories WHERE room_no = $1", no)

    # ---- writing --------------------------------------------------------------------------------

    def accept(self, no: int, stage: Stage) -> None:
        super().accept(no, stage)
        self._unwritten += ((no, message) for message in stage.messages)
        self._unwritten_keys += ((*key, *value) for key, value in stage.keys.items())

    async def write_ahead(self) -> None:
        """Let the database take what was said so far, while more is decided."""
        if len(self._unwritten) >= AHEAD_MESSAGES:
            await self.settled()
            await self._send(self.db.row(statements.SAID, *self._said()))

    async def _send(self, statement: Coroutine[Any, Any, Any]) -> None:
        """Let the server work on it, while something else is done here."""
        self._running = asyncio.create_task(statement)
        await asyncio.sleep(0)  # now it is sent

    async def is_free(self) -> None:
        """Wait until the connection is; what was sent last is still to be settled."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def settled(self) -> Any:
        """What was sent last, once the connection is free again. Raises what has failed on it."""
        running, self._running = self._running, None
        return None if running is None else await running

    def begin_anew(self) -> None:
        super().begin_anew()
        self._unwritten: list[tuple[int, Message]] = []  # with the numbers of their rooms
        self._unwritten_keys: list[Sequence[Any]] = []

    async def write(self, node: str, rest: Along) -> Changes:
        """Write what was decided, and tell the other nodes; then comes COMMIT.

        Args:
            node: The one that writes, so that it needs not listen to itself.
            rest: What goes along.
        """
        await self.settled()
        changed = self.changed()
        for room in changed:
            await self._write_beside(self.loaded[room.id], room)
        await self._write_hearing()
        changes = Changes((*(room.id for room in changed), *self._gone), self._directory)
        if changes.room_ids:
            told = notice(node, changes.room_ids, directory=changes.directory)
            await self.db.row(statements.WRITE, *self._said(), *self._put(changed), told)
        await write_beside(self.db, rest)
        # Last, for every node waits for these rows.
        if entries := [*self.entries, *rest.refusals]:
            await auditing.append(self.db, entries)
        if self._directory:
            await self.db.run("UPDATE counters SET no = no + 1 WHERE name = 'directory'")
        return changes

    def remember(self) -> None:
        """Let the process know the new state; after COMMIT only."""
        for id, kept in self.loaded.items():
            room = self.rooms.get(id, kept.room)
            self._cache.put(kept if room is kept.room else self._kept_now(kept, room))
        self.hearing.remember()
        for id in self._gone:
            self._cache.drop(id)

    @staticmethod
    def _kept_now(before: Kept, room: Room) -> Kept:
        return before._replace(rev=before.rev + 1, room=room)

    def _change_at(self) -> int:
        """Now, in microseconds with three zeros; never back, but for what a clock far ahead has
        left behind."""
        now_ms = micros(self._now) // 1_000
        return max(now_ms, self._newest // 1_000 + 1) * 1_000

    def _said(self) -> Sequence[Sequence[Any]]:
        """What is not written yet, which then counts as written."""
        said = [
            (no, *message_values(message), " ".join(words_of(message) or ()) or None)
            for no, message in self._unwritten
        ]
        keys, self._unwritten, self._unwritten_keys = self._unwritten_keys, [], []
        return (*as_columns(said, MESSAGE_VALUES), *as_columns(keys, KEY_VALUES))

    def _put(self, changed: Sequence[Room]) -> Sequence[Any]:
        rows = [
            (
                before.no,
                before.rev + 1,
                room.last_seq,
                state_from(room, before.unknown),
                micros(room.archived_at) if room.archived_at and room.is_archived else None,
            )
            for room in changed
            for before in (self.loaded[room.id],)
        ]
        return (*as_columns(rows, ROOM_VALUES), self._change_at())

    async def _write_beside(self, before: Kept, room: Room) -> None:
        """What of a room changes less often than with each message."""
        if is_listed_otherwise(before.room, room):
            self._directory = True
            await self.db.run(
                "UPDATE rooms SET lifecycle = $2, listed = $3, owner = $4, name_key = $5,"
                " searchable = $6 WHERE no = $1",
                before.no,
                room.lifecycle,
                room.listed,
                room.admission.owner,
                skeleton(room.name),
                folded(f"{room.name}\n{room.purpose}"),
            )
        if room.members is not before.room.members:
            await self._write_members(before, room)
        if before.rev == 0 or room.contract != before.room.contract:
            await self.db.run(
                "INSERT INTO contracts (room_no, source) VALUES ($1, $2)"
                " ON CONFLICT (room_no) DO UPDATE SET source = excluded.source",
                *(before.no, room.contract.source),
            )

    async def _write_members(self, before: Kept, room: Room) -> None:
        there, gone = member_changes(before.room, room)
        if there:
            rows = [(key, one.name, one.active, one.principal) for key, one in there.items()]
            await self.db.run(
                "INSERT INTO members (room_no, skeleton, name, active, principal)"
                " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[], $5::text[])"
                " ON CONFLICT (room_no, skeleton) DO UPDATE SET name = excluded.name,"
                " active = excluded.active, principal = excluded.principal",
                *(before.no, *as_columns(rows, len(rows[0]))),
            )
        for table in ("members", "readings") if gone else ():
            await self.db.run(
                f"DELETE FROM {table} WHERE room_no = $1 AND skeleton = ANY($2::text[])",
                *(before.no, list(gone)),
            )

    async def _write_hearing(self) -> None:
        features, snapshots = self.hearing.written()
        if features:
            rows = [(no, one.seq, one.scored, one.features.to_json()) for no, one in features]
            await self.db.run(
                "INSERT INTO features (room_no, seq, scored, data) SELECT *"
                " FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::text[])",
                *as_columns(rows, len(rows[0])),
            )
        for no, seq, data in snapshots:
            await self.db.run(
                "INSERT INTO memories (room_no, seq, data) VALUES ($1, $2, $3)"
                " ON CONFLICT (room_no) DO UPDATE SET seq = excluded.seq, data = excluded.data",
                *(no, seq, data),
            )
            await self.db.run("DELETE FROM features WHERE room_no = $1 AND seq <= $2", no, seq)

    # ---- after a commit that was not answered ---------------------------------------------------

    async def is_stored(self, db: Database) -> bool | None:
        """Whether an earlier try to commit this has succeeded; None: nobody can tell.

        Asked by a transaction that holds the same rooms: whoever has sent that COMMIT has ended.
        """
        if self.messages:
            (no, seq), message = next(iter(self.messages.items()))
            id = await db.value(
                "SELECT id FROM messages WHERE room_no = $1 AND seq = $2", *(no, seq)
            )
            return id == message.id
        for room in self.changed():
            before = self.loaded[room.id]
            row = await db.row("SELECT rev, state FROM rooms WHERE no = $1", before.no)
            if row is not None and row[0] == before.rev + 1:
                return row[1] == state_from(room, before.unknown)
            return False if row is not None and row[0] == before.rev else None
        return False  # nothing was to be stored
