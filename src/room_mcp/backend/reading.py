"""Reading a room, and remembering per member what was shown and what was read.

`shown_to` moves when an answer has left completely; `read_to` when a later call says so by
`after` or `ack`, or, without either, by arriving after that answer was complete. A lost answer is
therefore shown again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from room_mcp import wire
from room_mcp.rooms import Member, Message, Proof, Room
from room_mcp.rooms.refusals import CursorAhead, Malformed
from room_mcp.store.interface import MAX_PAGE_BYTES, Page, Reading, Store

from . import answers
from .waiting import Waits

MISSED_MESSAGES = 10
MISSED_BYTES = 8 * 1024
_MISSED_SCAN = 100
_FIELDS_BYTES = 400  # what the fields around a message's content take in an answer
_SECONDS = 1e9  # a `since` from here on is a time in seconds, a smaller one a seq
_MILLISECONDS = 1e12
MAX_SINCE = 1e16  # far beyond any time in ms


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a reader asks for; `reader` is a member whose state moves.

    `pending`: he waits to be admitted, for all he knows, and not for messages.
    """

    after: int | None = None
    before: int | None = None
    limit: int = 50
    wait_s: float = 0
    since: str | None = None
    sender: str | None = None
    type: str | None = None
    reader: str | None = None
    ack: int | None = None
    pending: bool = False

    @property
    def is_filtered(self) -> bool:
        return self.sender is not None or self.type is not None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what to do once it has left completely."""

    page: wire.Page
    complete: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Missed:
    """What others said since the sender last read; `messages` are the first of `count`.

    `shown_to` is how far the answer that holds them shows the room.
    """

    messages: tuple[Message, ...]
    count: int
    shown_to: int


class Reader:
    """Reads rooms and keeps the reading state in step."""

    def __init__(self, store: Store, waits: Waits, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._waits = waits
        self._clock = clock

    async def page(self, room_id: str, query: PageQuery, proof: Proof) -> Answered:
        """A page of messages, waiting for one if asked to.

        Raises:
            CursorAhead: `after` lies beyond the room.
            NotAMember, NameProtected: `reader` may not be used by this caller.
            Malformed: `since` is neither an id, a time nor a number.
        """
        # First of all: what other calls show from now on was not seen when this one was made.
        readings: Mapping[str, Reading] = {}
        if query.reader is not None:
            readings = await self._store.readings(room_id)
        room = await self._store.room(room_id)
        knock = None if query.reader is None else room.admission.knock(query.reader)
        if query.reader is not None and knock is not None and knock.is_by(proof):
            room = await self._at_the_door(room, query.reader, query.wait_s)
            if room.admission.knock(query.reader) is not None:
                return Answered(self._pending(room, query), _nothing)
            query = replace(query, pending=True)
        if query.pending:
            query = replace(query, wait_s=0)  # he has waited for this, and is told at once
        room.must_be_read_by(proof)
        member = None if query.reader is None else room.must_speak_as(query.reader, proof)
        after = query.after
        if query.since is not None:
            after = await self.since(room_id, query.since)
        self.must_reach(room, after)
        reading = None
        if member is not None:
            acknowledged = query.ack if query.ack is not None else after
            reading = self.arrive(room, member, acknowledged, readings.get(member.name))
            if after is None and query.before is None:
                after = reading.read_to
        page = await self._page_or_wait(room, member, replace(query, after=after), proof)
        room = await self._store.room(room_id)
        room.must_be_read_by(proof)
        answer = self._answer(room, member, page, query, after, reading)

        async def complete() -> None:
            contiguous = query.before is None and not query.is_filtered
            if member is not None and contiguous and page.last_seq is not None:
                self.mark(room, member.name, shown_to=page.last_seq)

        return Answered(answer, complete)

    def must_reach(self, room: Room, after: int | None) -> None:
        """Raises CursorAhead when a cursor lies beyond the room."""
        if after is not None and after > room.last_seq:
            raise CursorAhead(
                f"The cursor is {after}, and the room is at {room.last_seq}.",
                lastSeq=room.last_seq,
                epoch=answers.epoch(self._store.epoch, room),
            )

    async def history(
        self, room_id: str, *, after: int | None, before: int | None, limit: int | None
    ) -> wire.History:
        """The whole room while it has at most 1 MiB, else its newest part; oldest first."""
        room = await self._store.room(room_id)
        self.must_reach(room, after)
        after = after or None  # from the start on is the whole room, whose tail is never cut
        if limit is None and after is None:
            found, has_more = await self._newest(room_id, before)
        else:
            page = await self._store.read(
                room_id, after=after, before=before, limit=limit or wire.MAX_LIMIT
            )
            found, has_more = page.messages, page.has_more
        older = bool(found) and found[0].seq > 1
        return wire.History(
            messages=answers.messages(found),
            last_seq=room.last_seq,
            has_more=has_more,
            prev_cursor=found[0].seq if older else None,
            closed=room.lifecycle == "closed",
            outcome=room.closing.outcome if room.closing else None,
            epoch=answers.epoch(self._store.epoch, room),
        )

    async def _newest(self, room_id: str, before: int | None) -> tuple[Sequence[Message], bool]:
        """The newest messages, up to 1 MiB as they are sent, and whether there are older ones."""
        found: list[Message] = []
        left = MAX_PAGE_BYTES
        has_more = True
        while has_more and left > 0:
            page = await self._store.read(
                room_id, before=before, limit=wire.MAX_LIMIT, max_bytes=left
            )
            found[:0] = page.messages
            has_more, before = page.has_more, page.first_seq
            left -= sum(_size_bytes(one) + _FIELDS_BYTES for one in page.messages)
        return found, has_more

    def arrive(self, room: Room, member: Member, ack: int | None, known: Reading | None) -> Reading:
        """Settle what a member has read, as a call of his arrives; `known` is from before it.

        Without `ack`, everything shown by answers that were complete before counts as read.
        """
        known = known or Reading()
        read_to = max(known.read_to, member.joined_seq)
        shown_to = max(known.shown_to, read_to)
        settled = shown_to if ack is None else max(read_to, min(ack, room.last_seq))
        reading = Reading(
            shown_to=max(shown_to, settled),
            read_to=settled,
            seen_at=self._clock(),
            waiting_until=known.waiting_until,
        )
        self._store.mark_read(room.id, member.name, reading)
        return reading

    def mark(
        self,
        room: Room,
        name: str,
        *,
        shown_to: int = 0,
        read_to: int = 0,
        waiting_until: datetime | None = None,
    ) -> None:
        """Move a member's marks forward; smaller numbers change nothing."""
        self._store.mark_read(
            room.id,
            name,
            Reading(
                shown_to=shown_to,
                read_to=read_to,
                seen_at=self._clock(),
                waiting_until=waiting_until,
            ),
        )

    async def missed_by(self, room: Room, member: Member, reading: Reading, *, upto: int) -> Missed:
        """What others said since a member last read; what comes after `upto` is his own doing.

        When that is nothing, he has read the room so far.
        """
        if reading.read_to >= upto:
            self.mark(room, member.name, shown_to=room.last_seq, read_to=room.last_seq)
            return Missed((), 0, room.last_seq)
        page = await self._store.read(
            room.id, after=reading.read_to, before=upto + 1, limit=_MISSED_SCAN
        )
        others = [one for one in page.messages if one.sender != member.name]
        shown = _first_within(others, MISSED_MESSAGES, MISSED_BYTES)
        if len(shown) < len(others):
            return Missed(tuple(shown), len(others), shown[-1].seq if shown else 0)
        reached = room.last_seq if page.last_seq == upto else page.last_seq or 0
        if not others:
            self.mark(room, member.name, shown_to=reached, read_to=reached)
        return Missed(tuple(shown), len(others), reached)

    async def _at_the_door(self, room: Room, name: str, wait_s: float) -> Room:
        """The room once the owner has decided about somebody who waits, or the time ran out."""

        async def decided() -> Room | None:
            now = await self._store.room(room.id)
            is_over = now.lifecycle == "closed"
            return None if now.admission.knock(name) and not is_over else now

        async with self._store.watch([room.id]) as watch:
            return await self._waits.until(decided, watch, wait_s, of=[room.id]) or room

    def _pending(self, room: Room, query: PageQuery) -> wire.Page:
        """What somebody is told who waits to be admitted: nothing but that."""
        return wire.Page(
            messages=[],
            next_cursor=query.after or 0,
            last_seq=0,
            has_more=False,
            closed=room.lifecycle == "closed",
            pending=True,
            epoch="",
            limit=query.limit,
        )

    async def _page_or_wait(
        self, room: Room, member: Member | None, query: PageQuery, proof: Proof
    ) -> Page:
        async def read() -> Page:
            return await self._store.read(
                room.id,
                after=query.after,
                before=query.before,
                limit=query.limit,
                sender=query.sender,
                type=query.type,
            )

        async def ready() -> Page | None:
            # In this order: of a room found closed, the page then holds the closing.
            now = await self._store.room(room.id)
            now.must_be_read_by(proof)
            if member is not None:
                now.must_be_member(member.name)  # the owner may have sent him away
            self.must_reach(now, query.after)  # the store may have been restored
            is_over = now.lifecycle == "closed"
            page = await read()
            return page if page.messages or is_over else None

        if query.wait_s <= 0 or query.before is not None:
            return await read()
        async with self._store.watch([room.id]) as watch:
            self.waiting([(room, member)], query.wait_s)
            try:
                found = await self._waits.until(ready, watch, query.wait_s, of=[room.id])
                return found or await read()
            finally:
                self.waiting([(room, member)], 0)

    def waiting(self, who: list[tuple[Room, Member | None]], wait_s: float) -> None:
        """Say that members sit in a wait for that long; 0: no longer."""
        until = self._clock() + timedelta(seconds=wait_s) if wait_s > 0 else None
        for room, member in who:
            if member is not None:
                self.mark(room, member.name, waiting_until=until)

    def _answer(
        self,
        room: Room,
        member: Member | None,
        page: Page,
        query: PageQuery,
        after: int | None,
        reading: Reading | None,
    ) -> wire.Page:
        reached = page.last_seq if page.last_seq is not None else after
        return wire.Page(
            messages=answers.messages(page.messages),
            next_cursor=reached or 0,
            last_seq=room.last_seq,
            # What came while the answer was made is not in it.
            has_more=page.has_more or (after is not None and (reached or 0) < room.last_seq),
            closed=room.lifecycle == "closed",
            outcome=room.closing.outcome if room.closing else None,
            conclusion=room.closing.conclusion if room.closing else None,
            epoch=answers.epoch(self._store.epoch, room),
            limit=query.limit,
            expected=answers.expected(room.expected_of(member.name)) if member else [],
            read_to=reading.read_to if reading else None,
            shown_to=reading.shown_to if reading else None,
        )

    async def since(self, room_id: str, since: str) -> int:
        """The cursor that an origin's `since` means: a seq, a time, or a message's id."""
        try:
            number = float(since)
        except ValueError:
            return await self._since_text(room_id, since)
        if not 0 <= number < MAX_SINCE:
            raise _unreadable_since()
        if number < _SECONDS:
            return int(number)
        seconds = number / 1000 if number >= _MILLISECONDS else number
        at = datetime.fromtimestamp(min(seconds, 253402300799), UTC)
        return await self._store.seq_at(room_id, at=at, message_id=None)

    async def _since_text(self, room_id: str, since: str) -> int:
        try:
            at = datetime.fromisoformat(since)
        except ValueError:
            at = None
        if at is not None:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
            return await self._store.seq_at(room_id, at=at, message_id=None)
        seq = await self._store.seq_at(room_id, at=None, message_id=since)
        if not seq:
            raise _unreadable_since()
        return seq


async def _nothing() -> None:
    """Nothing was shown."""


def _unreadable_since() -> Malformed:
    return Malformed(
        "`since` is no message id of this room, no time and no number.",
        advice="Pass after=SEQ with the nextCursor of the last answer.",
    )


def _first_within(of: list[Message], count: int, size_bytes: int) -> list[Message]:
    """The first messages that fit; nothing is skipped, so the rest can be read by cursor."""
    found: list[Message] = []
    for one in of[:count]:
        size_bytes -= _size_bytes(one)
        if size_bytes < 0:
            break
        found.append(one)
    return found


def _size_bytes(one: Message) -> int:
    return len(str(one.content).encode(errors="replace"))
