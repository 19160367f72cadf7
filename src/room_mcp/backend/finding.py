"""Finding rooms and messages: the directory and the search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from room_mcp import wire
from room_mcp.rooms import Proof, Room
from room_mcp.rooms.refusals import Malformed, RoomNotFound
from room_mcp.store.interface import Listed, Store

from . import answers

DIRECTORY_ROOMS = 100
SEARCHED_ROOMS = 500
MAX_UNREAD = 100  # counted no further; shown as "100+"
MAX_QUERY_CHARS = 200


class Finder:
    """Looks rooms up for a caller; unlisted rooms are found only by id or by their members."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def directory(
        self,
        proof: Proof,
        *,
        query: str = "",
        member: str | None = None,
        mine: bool = False,
        ids: Collection[str] = (),
        closed: bool = True,
        before: datetime | None = None,
        limit: int = DIRECTORY_ROOMS,
        read: Mapping[str, int] | None = None,
        unlisted: bool = False,
        archived: bool = False,
    ) -> wire.Directory:
        """Rooms, the most recently changed first.

        With `ids`, just these rooms, listed or not; with `member`, how far that name has got in
        each; with `mine`, only the rooms that it is in. Unlisted rooms are shown to their owner and
        members, to admins, and, if he asks for them, to whoever has the store open. `archived` asks
        for the rooms that were put away, and only for them.
        """
        number = await self._store.directory_version()
        if ids:
            listed = await self._by_id(ids, proof)
        else:
            listed = await self._store.directory(
                query=query,
                member=member if mine else None,
                include_closed=closed,
                listed_only=not (proof.admin or (proof.trusted and unlisted)),
                principal=proof.principal,
                before=before,
                limit=limit,
                archived=archived,
            )
        full = not ids and len(listed) == limit
        last = listed[-1] if listed else None
        if not ids and not (proof.trusted or proof.admin):
            # An id lets one in, and anybody can ask for the rooms of any name.
            listed = [one for one in listed if one.room.listed or _is_his(one.room, proof)]
            if mine:  # who is in a room is told to those who may read it
                listed = [one for one in listed if one.room.may_be_read_by(proof)]
            last = listed[-1] if listed else last
        return wire.Directory(
            rooms=await self._rows(listed, member, read or {}, proof),
            # To the microsecond: rounded, it would pass over rooms of the same millisecond.
            next_cursor=last.updated_at.isoformat() if full and last else None,
            directory=number,
        )

    async def _by_id(self, ids: Collection[str], proof: Proof) -> list[Listed]:
        heads = await self._store.heads(ids)
        rooms = [heads[id].room for id in dict.fromkeys(ids) if id in heads]
        return [
            Listed(room, room.last_at or room.created_at)
            for room in rooms
            if room and room.is_known_to(proof)
        ]

    async def _rows(
        self,
        listed: Iterable[Listed],
        member: str | None,
        read: Mapping[str, int],
        proof: Proof,
    ) -> list[wire.Room]:
        rows: list[wire.Room] = []
        for one in listed:
            with suppress(RoomNotFound):  # deleted in this moment
                rows.append(await self._row(one, member, read, proof))
        return rows

    async def _row(
        self, listed: Listed, member: str | None, read: Mapping[str, int], proof: Proof
    ) -> wire.Room:
        room = listed.room
        if not room.may_be_read_by(proof):
            return wire.Room.model_validate(
                answers.seen(room, proof, self._store.epoch, listed.updated_at)
            )
        readings = await self._store.readings(room.id)
        row = answers.seen(room, proof, self._store.epoch, listed.updated_at)
        row["waiting"] = answers.waiting(readings, self._clock())
        me = room.member(member) if member else None
        if me is not None and (not me.principal or me.is_by(proof) or proof.trusted):
            reading = readings.get(me.name)
            known = reading.read_to if reading else 0
            read_to = max(known, me.joined_seq, read.get(room.id, 0))
            row["unread"] = await unread(self._store, room, me.name, read_to)
            row["expected"] = answers.expected(room.expected_of(me.name))
        return wire.Room.model_validate(row)

    async def search(
        self, proof: Proof, query: str, *, room_id: str | None, ids: Collection[str], limit: int
    ) -> wire.Hits:
        """Messages that hold every word, newest first, in one room, these, or all listed ones."""
        if not query.strip() or len(query) > MAX_QUERY_CHARS:
            raise Malformed(
                f"The query has to hold 1 to {MAX_QUERY_CHARS} characters.",
                advice="Search for a few words, as in ?q=token+expiry.",
            )
        if room_id is not None:
            room = await self._store.room(room_id)
            room.must_be_read_by(proof)
            wanted = [room]
        elif ids:
            wanted = [one.room for one in await self._by_id(ids, proof)]
        else:
            listed = await self._store.directory(
                limit=SEARCHED_ROOMS, listed_only=not proof.admin, principal=proof.principal
            )
            wanted = [one.room for one in listed]
        rooms = [room.id for room in wanted if room.may_be_read_by(proof)]
        hits = await self._store.search(query, room_ids=rooms, limit=limit)
        return wire.Hits(
            hits=[
                wire.Hit(
                    room_id=hit.room.id,
                    room=hit.room.name,
                    message=answers.message(hit.message),
                )
                for hit in hits
            ]
        )


def _is_his(room: Room, proof: Proof) -> bool:
    """Whether the caller opened it or is in it, by what he has shown."""
    return room.is_owned_by(proof) or room.member_with(proof) is not None


async def unread(store: Store, room: Room, name: str, read_to: int) -> int:
    """Messages of others above `read_to`, counted up to `MAX_UNREAD`."""
    if room.last_seq <= read_to:
        return 0
    page = await store.read(room.id, after=read_to, limit=MAX_UNREAD)
    return sum(one.sender != name for one in page.messages)
