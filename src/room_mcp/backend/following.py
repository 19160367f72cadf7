"""Following rooms: one long-poll over many, a stream of one, and a whole one as a file."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from room_mcp import transcript, wire
from room_mcp.plain import plain_json
from room_mcp.rooms import Member, Message, Proof, Room
from room_mcp.rooms.refusals import Barred, NameProtected, NotAMember, Refusal
from room_mcp.store.interface import MAX_PAGE_BYTES, Page, Store

from . import answers
from .errors import HttpProblem
from .reading import Reader
from .waiting import Waits

UPDATE_MESSAGES = 50  # per room and answer
STREAM_PAGE = 100
KEEP_ALIVE_S = 15  # proxies close a silent connection after 30 to 60 s
RETRY_MS = 2_000


MayGoOn = Callable[[Room], Awaitable[None]]
"""Raises a refusal when the follower may not read the room any more."""


class Follower:
    def __init__(self, store: Store, reader: Reader, waits: Waits) -> None:
        self._store = store
        self._reader = reader
        self._waits = waits

    async def updates(
        self,
        cursors: Mapping[str, int],
        *,
        directory: int | None,
        wait_s: float,
        reader: str | None,
        proof: Proof,
    ) -> wire.Updates:
        """What is new in these rooms, or in the directory; waits until something is.

        Args:
            cursors: Room id → the last seq that the caller has.
            directory: The directory's number that the caller has; None if he does not care.
            reader: The member for whom the others shall see that he waits.
        """

        async def ready() -> wire.Updates | None:
            found = await self._new_in(cursors, proof)
            number = None if directory is None else await self._store.directory_version()
            if not found and (number is None or directory is None or number <= directory):
                return None
            return self._updates(found, number)

        async with self._store.watch(cursors, directory=directory is not None) as watch:
            waiting = await self._speaking(cursors, reader, proof) if reader and wait_s else []
            self._reader.waiting(waiting, wait_s)
            try:
                found = await self._waits.until(ready, watch, wait_s, of=cursors)
            finally:
                self._reader.waiting(waiting, 0)
        return found or self._updates([], directory)

    def _updates(self, rooms: list[wire.Update], directory: int | None) -> wire.Updates:
        return wire.Updates(rooms=rooms, directory=directory, epoch=self._store.epoch)

    async def _speaking(
        self, cursors: Mapping[str, int], name: str, proof: Proof
    ) -> list[tuple[Room, Member | None]]:
        """The rooms in which the caller may be seen waiting under that name."""
        heads = await self._store.heads(cursors)
        found: list[tuple[Room, Member | None]] = []
        for head in heads.values():
            if head.room is not None:
                with contextlib.suppress(NotAMember, NameProtected, Barred):
                    found.append((head.room, head.room.must_speak_as(name, proof)))
        return found

    async def _new_in(self, cursors: Mapping[str, int], proof: Proof) -> list[wire.Update]:
        heads = await self._store.heads(cursors)
        left = MAX_PAGE_BYTES
        found: list[wire.Update] = []
        for room_id, after in cursors.items():
            head = heads[room_id]
            # Whoever may not read a room is told no more than of one that is gone.
            if head.room is None or not head.room.may_be_read_by(proof):
                found.append(wire.Update(room_id=room_id, last_seq=0, lifecycle=None, messages=[]))
            elif head.last_seq != after and left > 0:
                page = await self._store.read(
                    room_id, after=after, limit=UPDATE_MESSAGES, max_bytes=left
                )
                left -= sum(len(str(one.content)) for one in page.messages)
                found.append(_update(head.room, page))
        return found

    async def sse(self, room_id: str, after: int, may_go_on: MayGoOn) -> AsyncIterator[bytes]:
        """The room from `after` on as server-sent events; ends after the closing."""
        yield f"retry: {RETRY_MS}\n\n".encode()
        async for one in self._follow(room_id, after, may_go_on):
            if one is None:
                yield b": still here\n\n"
                continue
            event = "closed" if one.type == "room.closed" else "message"
            data = answers.message(one).model_dump_json(by_alias=True)
            yield f"id: {one.seq}\nevent: {event}\ndata: {data}\n\n".encode()

    async def ndjson(self, room_id: str, after: int, may_go_on: MayGoOn) -> AsyncIterator[bytes]:
        """The same as one JSON object a line; an empty line says that the server is there."""
        async for one in self._follow(room_id, after, may_go_on):
            yield b"\n" if one is None else _line(one)

    async def _follow(
        self, room_id: str, after: int, may_go_on: MayGoOn
    ) -> AsyncIterator[Message | None]:
        """Messages above `after` without gap or double, None for each silent stretch."""
        cursor = after
        async with self._store.watch([room_id]) as watch:

            async def ready() -> Page | None:
                # Closes the room when its time is over.
                room = await self._store.room(room_id)
                await may_go_on(room)
                self._reader.must_reach(room, cursor)  # the store may have been restored
                page = await self._store.read(room_id, after=cursor, limit=STREAM_PAGE)
                return page if page.messages else None

            while not self._waits.draining:
                try:
                    page = await self._waits.until(
                        ready, watch, KEEP_ALIVE_S, of=[room_id], goes_on=True
                    )
                except (Refusal, HttpProblem):
                    return  # deleted, or no longer for this caller
                if page is None:
                    if not self._waits.draining:
                        yield None
                    continue
                for one in page.messages:
                    cursor = one.seq
                    yield one
                if await self._is_over(room_id, cursor):
                    return

    async def _is_over(self, room_id: str, cursor: int) -> bool:
        head = (await self._store.heads([room_id]))[room_id]
        if head.room is None:
            return True
        return head.room.lifecycle == "closed" and cursor >= head.last_seq

    async def jsonl(self, room_id: str, may_go_on: MayGoOn) -> AsyncIterator[bytes]:
        """The whole room, one message a line, oldest first; fit to be read by programs."""
        async for one in self._whole(room_id, may_go_on):
            yield _line(one)

    async def markdown(self, room: Room, may_go_on: MayGoOn) -> AsyncIterator[bytes]:
        """The whole room for people."""
        closing = answers.closing(room)
        yield transcript.heading(room.name, room.purpose, closing).encode()
        async for one in self._whole(room.id, may_go_on):
            yield transcript.entry(answers.message(one)).encode()

    async def _whole(self, room_id: str, may_go_on: MayGoOn) -> AsyncIterator[Message]:
        """All messages; ends early for who may not read them any more while they leave."""
        cursor = 0
        while True:
            try:
                await may_go_on(await self._store.room(room_id))
            except (Refusal, HttpProblem):
                return
            page = await self._store.read(room_id, after=cursor, limit=STREAM_PAGE)
            for one in page.messages:
                yield one
            if not page.has_more or page.last_seq is None:
                return
            cursor = page.last_seq


def _update(room: Room, page: Page) -> wire.Update:
    return wire.Update(
        room_id=room.id,
        last_seq=room.last_seq,
        lifecycle=room.lifecycle,
        outcome=room.closing.outcome if room.closing else None,
        messages=answers.messages(page.messages),
        has_more=page.has_more,
    )


def _line(one: Message) -> bytes:
    return plain_json(answers.message(one).model_dump_json(by_alias=True)).encode() + b"\n"
