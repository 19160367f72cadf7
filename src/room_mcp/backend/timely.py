"""A store whose rooms end in time: whoever comes after a deadline closes the room first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    suppress,
)
from datetime import datetime
from functools import partial
from typing import Any

from room_mcp import tracing
from room_mcp.logs import shown_id
from room_mcp.rooms import SYSTEM, Overdue, Refusal, Room, Stamp
from room_mcp.rooms.refusals import QuotaExceeded, RoomNotFound
from room_mcp.store.auditing import EXPIRE, Entry
from room_mcp.store.interface import (
    Act,
    Decide,
    Done,
    Head,
    IdempotencyKey,
    Listed,
    Store,
    Watch,
)
from room_mcp.store.limiting import Quota

from .ids import new_message_id

MAX_DEADLINES = 10_000  # of rooms that were seen lately


class TimelyStore:
    """A `Store` over another; what is not about time goes straight to that one."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._due: OrderedDict[str, datetime] = OrderedDict()
        self.measures = store.measures
        timed = self.measures.timed
        self._act = timed("act", store.act)
        self._act_all = timed("act", store.act_all)
        self._create = timed("create", store.create)
        self._room = timed("room", store.room)
        self._heads = timed("heads", store.heads)
        self._directory = timed("directory", store.directory)
        self.open = store.open
        self.aclose = store.aclose
        self.read = timed("read", store.read)
        self.seq_at = store.seq_at
        self.search = timed("search", store.search)
        self.readings = timed("readings", store.readings)
        self.mark_read = store.mark_read
        self.erase = timed("erase", store.erase)
        self.delete = timed("delete", store.delete)
        self.scrub = store.scrub
        self.stale = store.stale
        self.times = store.times
        self.note_round = store.note_round
        self.directory_version = store.directory_version
        self.add_key = store.add_key
        self.server_key = timed("key", store.server_key)
        self.server_keys = store.server_keys
        self.revoke_key = store.revoke_key
        self.key_used = store.key_used
        self.add_invitation = store.add_invitation
        self.redeem = store.redeem
        self.note_refusal = store.note_refusal
        self.audit = store.audit
        self.take = store.take
        self.take_slots = store.take_slots
        self.give_slots_back = store.give_slots_back
        self.give_all_slots_back = store.give_all_slots_back
        self.rooms_of = store.rooms_of

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def secret(self) -> bytes:
        return self._store.secret

    async def create(
        self,
        room: Room,
        *,
        reuse: bool = False,
        quota: Quota | None = None,
        entry: Entry | None = None,
    ) -> tuple[Room, bool]:
        create = partial(self._create, room, reuse=reuse, quota=quota, entry=entry)
        try:
            kept, created = await create()
        except QuotaExceeded:
            if quota is None or not await self._ended_of(quota.creator):
                raise
            return await create()
        if not created and (await self._in_time(kept)).closing is not None:
            return await create()
        return kept, created

    async def _ended_of(self, creator: str) -> bool:
        """Whether a room that counted for somebody has ended by itself, now that one looks."""
        ended = False
        for id in await self._store.rooms_of(creator):
            with suppress(RoomNotFound):
                ended |= (await self.room(id)).closing is not None
        return ended

    # ---- acting -----------------------------------------------------------------------------

    async def act(
        self,
        room_id: str,
        decide: Decide,
        *,
        key: IdempotencyKey | None = None,
        entry: Entry | None = None,
        timeout_s: float | None = None,
    ) -> Done:
        act = partial(self._act, room_id, decide, key=key, entry=entry, timeout_s=timeout_s)
        with _acting(room_id, 1):
            try:
                return await act()
            except Overdue:
                await self._expire(room_id)
                return await act()

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        with _acting(room_id, len(acts)):
            results = await self._act_all(room_id, acts, timeout_s=timeout_s)
        late = [at for at, one in enumerate(results) if isinstance(one, Overdue)]
        if late:
            await self._expire(room_id)
            again = [acts[at] for at in late]
            told = await self._act_all(room_id, again, timeout_s=timeout_s)
            for at, one in zip(late, told, strict=True):
                results[at] = one
        return results

    async def _expire(self, room_id: str) -> Room:
        stamp = Stamp(self._clock(), (new_message_id(), new_message_id()))
        entry = Entry(stamp.at, EXPIRE, room_id=room_id, name=SYSTEM)
        done = await self._act(room_id, lambda room, _: room.expire(stamp), entry=entry)
        return self._seen(done.room)

    # ---- reading ----------------------------------------------------------------------------

    async def room(self, room_id: str) -> Room:
        return await self._in_time(await self._room(room_id))

    async def heads(self, room_ids: Collection[str]) -> Mapping[str, Head]:
        heads = dict(await self._heads(room_ids))
        for id, head in heads.items():
            if head.room is not None:
                room = await self._in_time(head.room)
                if room is not head.room:
                    heads[id] = Head(room.last_seq, room)
        return heads

    async def directory(self, *, include_closed: bool = True, **wanted: Any) -> list[Listed]:
        listed = await self._directory(include_closed=include_closed, **wanted)
        found = [Listed(await self._in_time(room), updated_at) for room, updated_at in listed]
        return [one for one in found if include_closed or one.room.closing is None]

    async def _in_time(self, room: Room) -> Room:
        self._seen(room)
        due = self._due.get(room.id)
        if due is None or self._clock() < due:
            return room
        try:
            return await self._expire(room.id)
        except RoomNotFound:
            return room  # deleted in this moment; the next look tells

    def _seen(self, room: Room) -> Room:
        """Remember when this room ends by itself."""
        deadline = room.deadline
        if deadline is None:
            self._due.pop(room.id, None)
            return room
        self._due[room.id] = deadline.at
        self._due.move_to_end(room.id)
        if len(self._due) > MAX_DEADLINES:
            self._due.popitem(last=False)
        return room

    # ---- waiting ----------------------------------------------------------------------------

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]:
        return self._watched(frozenset(room_ids), directory)

    @asynccontextmanager
    async def _watched(self, room_ids: frozenset[str], directory: bool) -> AsyncGenerator[Watch]:
        async with self._store.watch(room_ids, directory=directory) as watch:
            yield _TimelyWatch(self, watch, room_ids)

    def left_s(self, room_ids: Collection[str]) -> float | None:
        """Seconds until the first of these rooms ends by itself."""
        due = [self._due[id] for id in room_ids if id in self._due]
        return max(0.0, (min(due) - self._clock()).total_seconds()) if due else None

    async def end_in_time(self, room_ids: Collection[str]) -> None:
        """Close those of these rooms whose time is over."""
        now = self._clock()
        for id in [id for id in room_ids if id in self._due and self._due[id] <= now]:
            del self._due[id]  # found again if the room has a later deadline by now
            with suppress(RoomNotFound):
                await self.room(id)


def _acting(room_id: str, acts: int) -> AbstractContextManager[object]:
    """The span around acts in a room."""
    return tracing.span("store.act", {"room_mcp.room": shown_id(room_id), "room_mcp.acts": acts})


class _TimelyWatch:
    """A watch that a deadline wakes, too."""

    def __init__(self, store: TimelyStore, watch: Watch, room_ids: frozenset[str]) -> None:
        self._store = store
        self._watch = watch
        self._room_ids = room_ids
        self.wake = watch.wake

    async def wait(self, timeout_s: float) -> bool:
        left_s = self._store.left_s(self._room_ids)
        if left_s is None or left_s >= timeout_s:
            return await self._watch.wait(timeout_s)
        if not await self._watch.wait(left_s):
            await self._store.end_in_time(self._room_ids)
        return True
