"""Reading a room, and remembering per member what was shown and what was read.

`shown_to` moves when an answer has left completely; `read_to` when a later call says so by
`after` or `ack`, or, without either, by arriving after that answer was complete. A lost answer is
therefore shown again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from room_mcp import wire
from room_mcp.rooms import Member, Message, Proof, Room
from room_mcp.rooms.refusals import CursorAhead, Malformed
from room_mcp.store.interface import MAX_PAGE_BYTES, Page, Reading, Store

from . import answers
from .waiting import Waits

HISTORY_MESSAGES = 1_000  # what GET history answers with, when the room is larger than a page
MISSED_MESSAGES = 10
MISSED_BYTES = 8 * 1024
_MISSED_SCAN = 100
_SECONDS = 1e9  # a `since` from here on is a time in seconds, a smaller one a seq
_MILLISECONDS = 1e12


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a reader asks for; `reader` is a member whose state moves."""

    after: int | None = None
    before: int | None = None
    limit: int = 50
    wait_s: float = 0
    since: str | None = None
    sender: str | None = None
    type: str | None = None
    reader: str | None = None
    ack: int | None = None

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
    """What others said since the sender last read; `messages` are the first of `count`."""

    messages: tuple[Message, ...]
    count: int


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
        room = await self._store.room(room_id)
        member = None if query.reader is None else room.must_speak_as(query.reader, proof)
        after = query.after
        if query.since is not None:
            after = await self.since(room_id, query.since)
        if after is not None and after > room.last_seq:
            raise CursorAhead(
                f"The cursor is {after}, and the room is at {room.last_seq}.",
                lastSeq=room.last_seq,
                epoch=answers.epoch(self._store.epoch, room),
            )
        reading = None
        if member is not None:
            acknowledged = query.ack if query.ack is not None else after
            known = (await self._store.readings(room_id)).get(member.name)
            reading = self.arrive(room, member, acknowledged, known)
            if after is None and query.before is None:
                after = reading.read_to
        page = await self._page_or_wait(room, member, replace(query, after=after))
        room = await self._store.room(room_id)
        answer = self._answer(room, page, query, after, reading)

        async def complete() -> None:
            contiguous = query.before is None and not query.is_filtered
            if member is not None and contiguous and page.last_seq is not None:
                self.mark(room, member.name, shown_to=page.last_seq)

        return Answered(answer, complete)

    async def history(
        self, room_id: str, *, after: int | None, before: int | None, limit: int | None
    ) -> wire.History:
        """The whole room while it fits into one page, else its newest part; oldest first."""
        room = await self._store.room(room_id)
        page = await self._store.read(
            room_id,
            after=after,
            before=before,
            limit=HISTORY_MESSAGES if limit is None else limit,
            max_bytes=MAX_PAGE_BYTES,
        )
        older = page.first_seq is not None and page.first_seq > 1
        return wire.History(
            messages=answers.messages(page.messages),
            last_seq=room.last_seq,
            has_more=page.has_more,
            prev_cursor=page.first_seq if older else None,
            closed=room.lifecycle == "closed",
            outcome=room.closing.outcome if room.closing else None,
            epoch=answers.epoch(self._store.epoch, room),
        )

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

    async def missed_before(self, room: Room, member: Member, seq: int, reading: Reading) -> Missed:
        """What others said between a member's last reading and his own message `seq`.

        When nothing was missed, or all of it is shown by this answer, the marks move on.
        """
        if reading.read_to >= seq - 1:
            self.mark(room, member.name, shown_to=room.last_seq, read_to=room.last_seq)
            return Missed((), 0)
        page = await self._store.read(room.id, after=reading.read_to, limit=_MISSED_SCAN)
        others = [one for one in page.messages if one.sender != member.name and one.seq < seq]
        shown = _first_within(others, MISSED_MESSAGES, MISSED_BYTES)
        if len(shown) == len(others) and (page.last_seq or 0) >= seq:
            read_to = room.last_seq if not others else 0
            self.mark(room, member.name, shown_to=seq, read_to=read_to)
        elif shown:
            self.mark(room, member.name, shown_to=shown[-1].seq)
        return Missed(tuple(shown), len(others))

    async def _page_or_wait(self, room: Room, member: Member | None, query: PageQuery) -> Page:
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
            page = await read()
            if page.messages or (await self._store.room(room.id)).lifecycle == "closed":
                return page
            return None

        if query.wait_s <= 0 or query.before is not None:
            return await read()
        async with self._store.watch([room.id]) as watch:
            self.waiting([(room, member)], query.wait_s)
            try:
                return await self._waits.until(ready, watch, query.wait_s) or await read()
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
        page: Page,
        query: PageQuery,
        after: int | None,
        reading: Reading | None,
    ) -> wire.Page:
        reached = page.last_seq if page.last_seq is not None else after
        return wire.Page(
            messages=answers.messages(page.messages),
            next_cursor=room.last_seq if reached is None else reached,
            last_seq=room.last_seq,
            has_more=page.has_more,
            closed=room.lifecycle == "closed",
            outcome=room.closing.outcome if room.closing else None,
            epoch=answers.epoch(self._store.epoch, room),
            limit=query.limit,
            read_to=reading.read_to if reading else None,
            shown_to=reading.shown_to if reading else None,
        )

    async def since(self, room_id: str, since: str) -> int:
        """The cursor that an origin's `since` means: a seq, a time, or a message's id."""
        try:
            number = float(since)
        except ValueError:
            return await self._since_text(room_id, since)
        if not 0 <= number < 1e16:
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


def _unreadable_since() -> Malformed:
    return Malformed(
        "`since` is no message id of this room, no time and no number.",
        advice="Pass after=SEQ with the nextCursor of the last answer.",
    )


def _first_within(of: list[Message], count: int, size_bytes: int) -> list[Message]:
    """The first messages that fit; nothing is skipped, so the rest can be read by cursor."""
    found: list[Message] = []
    for one in of[:count]:
        size_bytes -= len(str(one.content).encode(errors="replace"))
        if size_bytes < 0:
            break
        found.append(one)
    return found
