"""One write transaction: rooms are locked, acts decided in memory, and all rows written last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from room_mcp.rooms import Room, Step, skeleton
from room_mcp.rooms.guard import Memory

from ..cache import Kept, RoomCache
from ..codec import micros, state_from
from ..deciding import Decisions, Stage, key_row
from ..interface import MAX_AHEAD, Decide, IdempotencyKey
from ..memories import Memories
from . import auditing, beside, statements
from .database import Database
from .notices import notice
from .rest import Along, write_beside
from .rows import Known, message_values, words_value
from .source import PostgresSource, Wanted
from .statements import KEY_VALUES, MESSAGE_VALUES, ROOM_VALUES, as_columns

logger = logging.getLogger(__name__)

# A part of a batch is written while the rest is decided: once twice as much was said as is left,
# for a message takes longer to decide than to insert. Each part costs both sides as much as
# several messages do.
AHEAD_RATIO = 2
AHEAD_MESSAGES = 16  # in a part, at least


class Changes(NamedTuple):
    """What a commit changed, for those who wait for it; if it is sure, it happened already."""

    room_ids: tuple[str, ...] = ()
    directory: bool = False
    is_sure: bool = True


class Batch(Decisions):
    """The acts of one transaction on a connection.

    While the server works on a statement, acts are decided: first about rooms as this process knows
    them (`assume`), then about those that it holds (`ask_for_rooms`, `has_other_rooms`), and at
    last knowing their idempotency keys (`ask_for_keys`, `has_known_keys`). Where an answer shows
    that something was assumed wrongly, all of it is decided anew. Then `write`, COMMIT, `remember`.

    Args:
        clock: The node's.
    """

    def __init__(
        self,
        db: Database,
        cache: RoomCache,
        memories: Memories,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(PostgresSource(db), memories)
        self.db = db
        self._cache = cache
        self._clock = clock
        self._newest = 0  # when any room was changed last
        self._directory = False
        self._gone: list[str] = []
        self._held: set[str] = set()  # ids of rooms
        self._is_certain = False  # whether what is decided cannot turn out to be decided too early
        self.knew_rooms = True  # whether none that was brought in had changed elsewhere
        self._asked = Known.of(cache, ())  # rooms that are being brought in
        self._running: asyncio.Task[Any] | None = None  # a statement that was sent

    # ---- what is there --------------------------------------------------------------------------

    def assume(self, room_ids: Iterable[str]) -> None:
        """Take rooms to be as this process knows them, until they are brought in."""
        for id in room_ids:
            kept = self._cache.get(id)
            if kept is not None:
                self.loaded[id] = kept

    async def load(self, room_ids: Iterable[str]) -> None:
        """Bring in rooms, and hold them until the transaction ends; ids without a room are passed
        over."""
        await self.ask_for_rooms(room_ids)
        await self.has_other_rooms()
        self._is_certain = True

    async def ask_for_rooms(self, room_ids: Iterable[str], *, free_only: bool = False) -> None:
        """Begin to bring in rooms; what is decided meanwhile is about those that were assumed.

        Args:
            free_only: Pass over those that somebody else holds; see `held_elsewhere`.
        """
        self._asked = Known.of(self._cache, {id for id in room_ids if id not in self._held})
        lock = statements.LOCK_FREE if free_only else statements.LOCK
        await self.send(self.db.rows(lock, *self._asked.values, self._latest_right()))

    async def held_elsewhere(self) -> set[str]:
        """The ids of rooms that are there and were not brought in."""
        missing = [id for id in self._asked.ids if id not in self._held]
        return (
            {row[0] for row in await self.db.rows(statements.THERE, missing)} if missing else set()
        )

    async def has_other_rooms(self) -> bool:
        """Wait for the answer. True: a room is not as it was assumed to be, so what was decided is
        forgotten."""
        found = await self._found()
        assumed = {id: self.loaded.pop(id) for id in self._asked.ids if id in self.loaded}
        self.loaded |= found
        self._held |= found.keys()
        is_other = any(found.get(id) is not kept for id, kept in assumed.items())
        if is_other:
            self.begin_anew()
        return is_other

    async def _found(self) -> dict[str, Kept]:
        rows = await self.settled()
        if not rows:
            return {}
        self._memories.belong_to(rows[0]["epoch"])
        # The newest of all is of the moment when the statement began, and it may have waited long;
        # the rooms themselves come as they were left then.
        limit = self._latest_right()
        left = (row["updated_at"] for row in rows if row["updated_at"] <= limit)
        self._newest = max(rows[0]["newest"], *left, self._newest)
        others = [row for row in rows if row["state"] is not None]
        self.knew_rooms = not others
        sources = {row["room_no"]: self._asked.contract_of(row) for row in others}
        if unknown := [no for no, source in sources.items() if source is None]:
            sources.update(map(tuple, await self.db.rows(statements.CONTRACTS, unknown)))
        kept = (self._asked.kept(row, sources.get(row["room_no"])) for row in rows)
        return {one.room.id: one for one in kept}

    async def ask_for_keys(self, keys: Iterable[tuple[str, IdempotencyKey]]) -> None:
        """Look up idempotency keys by room id, after `load`, which waits for who has them.

        The answer comes while the first decisions are made as if all keys were new, as nearly
        all are.
        """
        wanted = [
            key_row(self.loaded[room_id].no, key) for room_id, key in keys if room_id in self.loaded
        ]
        if wanted:
            await self.send(self.db.rows(statements.KEYS, *as_columns(wanted, 3)))

    async def has_known_keys(self) -> bool:
        """Wait for the answer. True: some keys stand for messages already, so what was decided
        is forgotten."""
        for no, sender, key, fingerprint, seq in await self.settled() or ():
            self.earlier[no, sender, key] = (fingerprint, seq)
        if self.earlier:
            self.begin_anew()
        self._is_certain = True
        return bool(self.earlier)

    def memory(self, no: int, room: Room) -> Memory:
        # Whoever asks takes it out, and it is lost with what is decided anew.
        if not self._is_certain:
            raise Wanted(self.is_free)
        return super().memory(no, room)

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
            *(room.id, creator, self._latest_right()),
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

    def accept(self, stage: Stage) -> None:
        # As rows at once, while the server works on those before.
        rows = [
            (stage.no, *message_values(message), words_value(message)) for message in stage.messages
        ]
        super().accept(stage)
        self._unwritten += rows
        for key, value in stage.keys.items():
            self._unwritten_keys.append((*key, *value))

    def is_ahead(self, left: int) -> bool:
        """Whether enough was said for the database to take it while the rest is decided.

        Args:
            left: How many works are still to be decided.
        """
        return len(self._unwritten) >= max(AHEAD_MESSAGES, AHEAD_RATIO * left) and not self.is_busy

    async def write_ahead(self) -> None:
        """Let the database take what was said so far, while more is decided."""
        await self.settled()
        await self.send(self.db.row(statements.SAID, *self._said()))

    async def send(self, statement: Coroutine[Any, Any, Any]) -> None:
        """Let the server work on it, while something else is done here."""
        self._running = asyncio.create_task(statement)
        await asyncio.sleep(0)  # now it is sent

    @property
    def is_busy(self) -> bool:
        """Whether the server has still to answer what was sent last."""
        return self._running is not None and not self._running.done()

    async def is_free(self) -> None:
        """Wait until the connection is; what was sent last is still to be settled."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def stop(self) -> None:
        """Have the server stop what was sent last; nobody is told what came of it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    async def settled(self) -> Any:
        """What was sent last, once the connection is free again. Raises what has failed on it."""
        running, self._running = self._running, None
        return None if running is None else await running

    def begin_anew(self) -> None:
        super().begin_anew()
        self._unwritten: list[Sequence[Any]] = []  # rows of messages
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
            self._directory |= await beside.write_room(self.db, self.loaded[room.id], room)
        await beside.write_hearing(self.db, self.hearing)
        changes = Changes((*(room.id for room in changed), *self._gone), self._directory)
        if changes.room_ids:
            told = notice(node, changes.room_ids, directory=changes.directory)
            await self.db.row(statements.WRITE, *self._said(), *self._put(changed), told)
        await write_beside(self.db, rest)
        # Last, for every node waits for these rows.
        await auditing.append(self.db, self.entries, rest.refusals, rest.sent)
        if self._directory:
            await self.db.run("UPDATE counters SET no = no + 1 WHERE name = 'directory'")
        return changes

    def remember(self) -> None:
        """Let the process know the new state; after COMMIT only, and never a failure."""
        try:
            for id, kept in self.loaded.items():
                room = self.rooms.get(id, kept.room)
                self._cache.put(kept if room is kept.room else self._kept_now(kept, room))
            self.hearing.remember()
            for id in self._gone:
                self._cache.drop(id)
        except Exception:
            logger.exception("What was committed is read anew: it could not be remembered")
            self._cache.forget()
            self._memories.forget()

    @staticmethod
    def _kept_now(before: Kept, room: Room) -> Kept:
        return before._replace(rev=before.rev + 1, room=room)

    def _change_at(self) -> int:
        """Now, in microseconds with three zeros; never back, but for what a clock far ahead has
        left behind."""
        # Asked for only now: a room may have been waited for.
        now_ms = micros(self._clock()) // 1_000
        return max(now_ms, self._newest // 1_000 + 1) * 1_000

    def _latest_right(self) -> int:
        """What is later was written by a clock that was far ahead."""
        return micros(self._clock() + MAX_AHEAD)

    def _said(self) -> Sequence[Sequence[Any]]:
        """What is not written yet, which then counts as written."""
        said, keys = self._unwritten, self._unwritten_keys
        self._unwritten, self._unwritten_keys = [], []
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
