"""The store in memory: gone with its process, and the model that other engines are held against."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from room_mcp.rooms import Refusal, Room, skeleton

from ..auditing import Entry
from ..interface import (
    MAX_PAGE_BYTES,
    Act,
    Decide,
    Done,
    Head,
    Hit,
    IdempotencyKey,
    Listed,
    Listing,
    Page,
    Reading,
    Times,
    Watch,
)
from ..limiting import Quota
from ..measuring import StoreMeasures
from ..watching import Watchers, Watching
from . import acting, reading
from .callers import MemoryCallers
from .limiting import MemoryLimits, rooms_of
from .place import Place


class MemoryStore(MemoryCallers, MemoryLimits):
    """A `Store` of plain Python objects. No thread, no file: what it keeps ends with the process.

    Stores on one place share everything, as processes share a file. They belong to one event loop.
    """

    def __init__(self, place: Place | None = None) -> None:
        super().__init__(place or Place())
        self._watchers = Watchers()  # those of the place that wait here
        self.measures = StoreMeasures()

    @property
    def place(self) -> Place:
        """What another store can be opened on."""
        return self._place

    @property
    def epoch(self) -> str:
        return self._place.epoch

    # ---- opening and closing --------------------------------------------------------------------

    async def open(self) -> None:
        self._is_open = True

    async def aclose(self) -> None:
        """Wake all who wait here; the place stays as it is."""
        if not self._is_open:
            return
        self._is_open = False
        self._place.refusals.settle()
        self._place.record_refusals()
        self._watchers.wake_all()

    # ---- writing --------------------------------------------------------------------------------

    async def create(
        self,
        room: Room,
        *,
        reuse: bool = False,
        quota: Quota | None = None,
        entry: Entry | None = None,
    ) -> tuple[Room, bool]:
        place = await self._turn()
        known = reading.open_room_named(place, room) if reuse else None
        if known is not None:
            return known, False
        if quota is not None:
            quota.must_allow_another(len(rooms_of(place, quota.creator)))
        place.add(room, quota.creator if quota else "")
        place.record(() if entry is None else (entry,))
        return room, True

    async def act(
        self,
        room_id: str,
        decide: Decide,
        *,
        key: IdempotencyKey | None = None,
        entry: Entry | None = None,
        timeout_s: float | None = None,
    ) -> Done:
        (done,) = await self.act_all(room_id, [Act(decide, key, entry)], timeout_s=timeout_s)
        if isinstance(done, Refusal):
            raise done
        return done

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        # Nothing is ever in the way, so no deadline can pass.
        place, began = await self._turn(), time.perf_counter()
        done = acting.act_all(place, room_id, acts)
        self.measures.committed(len(acts), (room_id,), time.perf_counter() - began)
        return done

    async def erase(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> Room:
        return acting.erase(await self._turn(), room_id, decide, entry)

    async def delete(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> None:
        acting.delete(await self._turn(), room_id, decide, entry)

    async def scrub(self, *, max_bytes: int | None = None, pause: timedelta = timedelta(0)) -> bool:
        """Nothing is left here of what was removed."""
        self._opened()
        return False

    # ---- reading --------------------------------------------------------------------------------

    async def room(self, room_id: str) -> Room:
        return self._opened().kept(room_id).room

    async def read(
        self,
        room_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 50,
        max_bytes: int = MAX_PAGE_BYTES,
        sender: str | None = None,
        type: str | None = None,
    ) -> Page:
        wanted = reading.PageWanted(after, before, limit, max_bytes, sender, type)
        return reading.page(self._opened().kept(room_id), wanted)

    async def seq_at(self, room_id: str, *, at: datetime | None, message_id: str | None) -> int:
        return reading.seq_at(self._opened().kept(room_id), at, message_id)

    async def heads(self, room_ids: Collection[str]) -> Mapping[str, Head]:
        rooms = self._opened().rooms
        return {
            id: Head(rooms[id].room.last_seq, rooms[id].room) if id in rooms else Head(0, None)
            for id in room_ids
        }

    async def directory(
        self,
        *,
        query: str = "",
        member: str | None = None,
        include_closed: bool = True,
        listed_only: bool = True,
        principal: str = "",
        before: datetime | None = None,
        limit: int = 100,
        archived: bool = False,
    ) -> list[Listed]:
        wanted = Listing(
            query, member, include_closed, listed_only, principal, before, limit, archived
        )
        return reading.directory(self._opened(), wanted)

    async def stale(
        self,
        *,
        before: datetime | None = None,
        beyond: int | None = None,
        ended_only: bool = True,
        limit: int = 100,
    ) -> list[Listed]:
        return reading.stale(
            self._opened(), before=before, beyond=beyond, ended_only=ended_only, limit=limit
        )

    async def times(self) -> Times:
        place = self._opened()
        return Times(
            changed_at=place.changed_at,
            round_at=place.round_at,
            suspect_since=place.suspect_since,
        )

    async def note_round(
        self, round_at: datetime | None, suspect_since: datetime | None = None
    ) -> None:
        place = await self._turn()
        place.round_at, place.suspect_since = round_at, suspect_since

    async def search(self, query: str, *, room_ids: Collection[str], limit: int = 20) -> list[Hit]:
        return reading.search(self._opened(), query, room_ids, limit)

    async def directory_version(self) -> int:
        return self._opened().directory_version

    # ---- how far members have read --------------------------------------------------------------

    async def readings(self, room_id: str) -> Mapping[str, Reading]:
        kept = self._opened().kept(room_id)
        return {
            member.name: kept.marks.get(key, Reading()) for key, member in kept.room.members.items()
        }

    def mark_read(self, room_id: str, name: str, reading: Reading) -> None:
        kept = self._opened().rooms.get(room_id)
        if kept is not None and (key := skeleton(name)) in kept.room.members:
            kept.marks[key] = kept.marks.get(key, Reading()).then(reading)

    # ---- watching -------------------------------------------------------------------------------

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]:
        registries = (self._opened().watchers, self._watchers)
        return Watching(registries, room_ids, directory=directory)
