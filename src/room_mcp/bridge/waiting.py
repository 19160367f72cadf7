"""`wait_for_messages`: unread mail at once, else sleep until something is for this agent.

What wakes nobody piles up meanwhile and is handed over with what does, or when the time is up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server.mcpserver import Context

from room_mcp import wire
from room_mcp.failures import BackendRefused
from room_mcp.plain import plain

from . import replies
from .desk import Desk
from .replies import call, quoted, same_name

STOPPING = "The server is being stopped. Nothing is lost: wait again when it is back."
PROGRESS_EVERY_S = 10.0  # feeds the idle timers of the hosts that have one
PAGE = 50


class Sleepers:
    """All waits of one server; `end` ends them early, when it stops."""

    def __init__(self) -> None:
        self._asleep: set[anyio.CancelScope] = set()
        self.ended = False

    def end(self) -> None:
        self.ended = True
        for scope in self._asleep:
            scope.cancel()

    @contextmanager
    def asleep(self) -> Generator[None]:
        """The block ends at once when the server stops, and so does any that begins later."""
        with anyio.CancelScope() as scope:
            self._asleep.add(scope)
            if self.ended:
                scope.cancel()
            try:
                yield
            finally:
                self._asleep.discard(scope)


class Waiter:
    def __init__(self, desk: Desk, sleepers: Sleepers, progress_every_s: float) -> None:
        self._desk = desk
        self._sleepers = sleepers
        self._progress_every_s = progress_every_s

    async def wait(
        self, ctx: Context[Any, Any], you: str, room_id: str | None, limit_s: float
    ) -> list[str]:
        """The lines of the answer: new messages, or why there are none.

        Args:
            room_id: None waits in all rooms of this agent.
            limit_s: Seconds until the answer has to be given.
        """
        deadline = time.monotonic() + limit_s
        signs = _Signs(ctx, self._progress_every_s, limit_s)
        known: Sequence[wire.Room] = ()
        woken = True
        while True:
            rows = await self._rows(room_id, you)
            gone = [row for row in known if row.id not in {one.id for one in rows}]
            lines = [f"{quoted(row.name)} was deleted; nothing more comes there." for row in gone]
            if not woken:
                late = f"Nothing for you in {limit_s:g} s. What was said meanwhile:"
                quiet = [_nothing_new(rows, you, limit_s), f"Next: {self._again(room_id, rows)}"]
                shown = await self._delivered(rows, you)
                return [late, *lines, *shown] if shown or lines else quiet
            lines += await self._delivered(rows, you)
            if lines:
                return lines
            known = [row for row in rows if row.lifecycle != "closed"]
            if not known:
                return self._nowhere(rows, room_id)
            for row in known:
                await self._desk.acknowledge(row, you)
            page = None
            with self._sleepers.asleep():
                if len(known) > 1:
                    woken = await self._slept(you, known, deadline, signs)
                else:
                    woken, page = await self._slept_in(known[0], you, deadline, signs)
            if self._sleepers.ended:
                return [STOPPING, f"Next: {self._again(room_id, rows)}"]
            if page is not None:
                return self._told(known[0], page, self._of_others(known[0], page, you), you)

    async def at_the_door(
        self, ctx: Context[Any, Any], you: str, room_id: str, limit_s: float
    ) -> bool:
        """Wait until the owner of a room has decided; whether he has let this agent in.

        Raises:
            BackendRefused: He has not.
        """
        deadline = time.monotonic() + limit_s
        signs = _Signs(ctx, self._progress_every_s, limit_s)
        with self._sleepers.asleep():
            while (left := deadline - time.monotonic()) > 0:
                page = await self._desk.client.messages(
                    room_id,
                    reader=you,
                    wait_s=min(left, signs.next_in_s()),
                    pending=True,
                    limit=1,
                    key=self._desk.key(room_id),
                )
                if not page.pending:
                    return True
                await signs.give()
        return False

    async def look(self, ctx: Context[Any, Any], row: wire.Room, limit_s: float) -> list[str]:
        """The lines of an answer to somebody without a name: what is said next in a room."""
        if row.lifecycle == "closed":
            return [*replies.ending(row), replies.END_OF_ROOM]
        again = call("read_history", room=row.name, after=row.last_seq)
        page = None
        with self._sleepers.asleep():
            page = await self._next_page(row, limit_s, _Signs(ctx, self._progress_every_s, limit_s))
        if self._sleepers.ended:
            return [STOPPING, f"Next: {again}"]
        if page is None or not page.messages:
            return [f"Nothing new in {limit_s:g} s.", f"Next: {again}"]
        lines = [replies.line(one, "") for one in page.messages]
        count = replies.fitting(lines, replies.MAX_REPLY_TOKENS)
        self._desk.quote(page.messages[:count])
        cursor = page.messages[count - 1].seq
        again = call("read_history", room=row.name, after=cursor)
        shown = [
            replies.cut(line, replies.MAX_REPLY_TOKENS, row.name, one.seq)
            for one, line in zip(page.messages[:count], lines, strict=False)
        ]
        ended = replies.ending(_as_of(row, page)) if page.closed else []
        head = f"{quoted(row.name)}, {count} new"
        return [*ended, head, *shown, f"cursor {cursor}. Next: {again}"]

    async def _next_page(self, row: wire.Room, limit_s: float, signs: _Signs) -> wire.Page | None:
        """The first messages above the room's last one, or None when the time is up."""
        deadline = time.monotonic() + limit_s
        while (left := deadline - time.monotonic()) > 0:
            page = await self._desk.client.messages(
                row.id, after=row.last_seq, wait_s=min(left, signs.next_in_s()), limit=PAGE
            )
            if page.messages:
                return page
            await signs.give()
        return None

    async def _rows(self, room_id: str | None, you: str) -> list[wire.Room]:
        if room_id is None:
            return await self._desk.my_rooms(you)
        row = await self._desk.row(room_id, you)
        return [] if row is None else [row]

    async def _slept(
        self, you: str, rows: Sequence[wire.Room], deadline: float, signs: _Signs
    ) -> bool:
        """True when woken, False when the time is up."""
        cursors = {row.id: row.last_seq for row in rows[: wire.MAX_UPDATE_ROOMS]}
        key = self._desk.key(rows[0].id) if len(rows) == 1 else ""
        while (left := deadline - time.monotonic()) > 0:
            updates = await self._desk.client.updates(
                cursors, wait_s=min(left, signs.next_in_s()), reader=you, key=key
            )
            for update in updates.rooms:
                if update.lifecycle is None or _wakes(update.messages, you):
                    return True
                newest = update.messages[-1].seq if update.messages else update.last_seq
                cursors[update.room_id] = newest
            await signs.give()
        return False

    async def _slept_in(
        self, row: wire.Room, you: str, deadline: float, signs: _Signs
    ) -> tuple[bool, wire.Page | None]:
        """Sleep in the only room there is.

        Returns:
            Whether something woke; and the page of it, when that is all there is to tell.
        """
        cursor = row.last_seq
        piled_up = False
        while (left := deadline - time.monotonic()) > 0:
            try:
                page = await self._desk.client.messages(
                    row.id,
                    after=cursor,
                    reader=you,
                    ack=self._desk.ack(row.id),
                    wait_s=min(left, signs.next_in_s()),
                    limit=PAGE,
                    key=self._desk.key(row.id),
                )
            except BackendRefused as error:
                if error.code != "room_not_found":
                    raise
                return True, None  # deleted, as a look at the rooms will show
            if _wakes(page.messages, you):
                return True, None if piled_up else page
            if page.closed:
                return True, None
            piled_up = piled_up or bool(page.messages)
            cursor = page.next_cursor
            await signs.give()
        return False, None

    async def _delivered(self, rows: Sequence[wire.Room], you: str) -> list[str]:
        """The unread messages of these rooms, as many as fit; the rest stays unread."""
        lines: list[str] = []
        left = replies.MAX_REPLY_TOKENS
        unread = [row for row in rows if row.unread]
        for count, row in enumerate(unread):
            if left <= 0:
                names = ", ".join(quoted(one.name) for one in unread[count:])
                lines.append(f"Still unread: {names}. Next: {call('wait_for_messages')}")
                break
            shown = await self._delivered_of(row, you, left)
            left -= sum(replies.tokens(line) + 1 for line in shown)
            lines += shown
        return lines

    async def _delivered_of(self, row: wire.Room, you: str, max_tokens: int) -> list[str]:
        page, others = await self._unread_page(row, you)
        return self._told(row, page, others, you, max_tokens) if others else []

    def _told(
        self,
        row: wire.Room,
        page: wire.Page,
        others: Sequence[wire.Message],
        you: str,
        max_tokens: int = replies.MAX_REPLY_TOKENS,
    ) -> list[str]:
        """A page as lines, as many messages as fit; those count as shown."""
        row = _as_of(row, page)
        tried = self._desk.tried(row.id, page.shown_to or 0)
        all_lines = [replies.line(one, you, again=one.seq <= tried) for one in others]
        count = replies.fitting(all_lines, max_tokens)
        cursor = page.messages[-1].seq if count == len(others) else others[count - 1].seq
        self._desk.show(row.id, cursor)
        self._desk.quote(others[:count])
        if again := [one.seq for one in others[:count] if one.seq <= tried]:
            self._desk.repeat(row.id, again[-1])
        left = max(row.unread or 0, len(others)) - count
        lines = [
            replies.cut(line, max_tokens, row.name, one.seq)
            for one, line in zip(others[:count], all_lines, strict=False)
        ]
        more = f", {left or 'some'} more unread" if left or page.has_more else ""
        closed = page.closed and cursor == page.last_seq
        if closed:
            self._desk.forget(row.id)
        return [
            *replies.ending(row),
            f"{quoted(row.name)}, {count} new{more}",
            *lines,
            replies.END_OF_ROOM if closed else _footer(row, cursor),
        ]

    async def _unread_page(
        self, row: wire.Room, you: str
    ) -> tuple[wire.Page, Sequence[wire.Message]]:
        """The first unread page that holds something new of others, and that; else the last."""
        key = self._desk.key(row.id)
        ack = self._desk.ack(row.id)
        after = None
        while True:
            page = await self._desk.client.messages(
                row.id, after=after, reader=you, ack=ack, limit=PAGE, key=key
            )
            others = self._of_others(row, page, you)
            if others or not page.has_more:
                return page, others
            after = page.next_cursor

    def _of_others(self, row: wire.Room, page: wire.Page, you: str) -> list[wire.Message]:
        """What the page holds that others said and that this call's agent has not seen."""
        seen = self._desk.seen(row.id)
        return [one for one in page.messages if one.seq > seen and not same_name(one.sender, you)]

    def _nowhere(self, rows: Sequence[wire.Room], room_id: str | None) -> list[str]:
        if room_id is not None and rows:
            return [*replies.ending(rows[0]), replies.END_OF_ROOM]
        if room_id is not None:
            return [f"The room was deleted. Next: {call('list_rooms')}"]
        if rows:
            return [f"All your rooms are closed. {replies.END_OF_ROOM}"]
        opens = call("create_room", name="…")
        return [f"You are in no room. Next: {call('list_rooms')}, then join_room, or {opens}"]

    def _again(self, room_id: str | None, rows: Sequence[wire.Room]) -> str:
        if room_id is None or not rows:
            return call("wait_for_messages")
        return call("wait_for_messages", room=rows[0].name)


class _Signs:
    """Signs of life of a wait, for a host that asked for them; strictly increasing."""

    def __init__(self, ctx: Context[Any, Any], every_s: float, limit_s: float) -> None:
        asked = bool(ctx.request_context.meta and "progress_token" in ctx.request_context.meta)
        self._ctx = ctx
        self._every_s = every_s if asked else math.inf
        self._limit_s = limit_s
        self._began = self._given = time.monotonic()

    def next_in_s(self) -> float:
        """Seconds until the next sign is due, within what one wait of the backend may take."""
        due = self._given + self._every_s - time.monotonic()
        return min(max(due, 0.0), float(wire.MAX_WAIT_S))

    async def give(self) -> None:
        now = time.monotonic()
        if now - self._given >= self._every_s:
            self._given = now
            await self._ctx.report_progress(now - self._began, self._limit_s, "waiting")


def _wakes(news: Sequence[wire.Message], you: str) -> bool:
    """Whether the news end the wait: a message for this agent, or a change of the room."""
    return any(
        one.sender_type == "system" or any(same_name(name, you) for name in one.wakes)
        for one in news
    )


def _as_of(row: wire.Room, page: wire.Page) -> wire.Room:
    """The row, with what has changed since it was read."""
    if page.closed:
        ending = {"lifecycle": "closed", "outcome": page.outcome, "conclusion": page.conclusion}
        return row.model_copy(update={**ending, "expected": []})
    return row.model_copy(update={"expected": page.expected})


def _footer(row: wire.Room, cursor: int) -> str:
    owed = replies.expected(row.expected, row.name)
    next_step = "" if owed else f" Next: {call('wait_for_messages', room=row.name)}"
    return f"cursor {cursor}. {owed}{next_step}".replace(".  ", ". ").rstrip()


def _nothing_new(rows: Sequence[wire.Room], you: str, limit_s: float) -> str:
    """Says so, and who else sleeps: two that wait for each other should know it."""
    told: list[str] = []
    for row in rows:
        for name in row.waiting:
            if same_name(name, you):
                continue
            owed = next((one for one in row.expected if one.asker == name), None)
            why = (
                f", for your {owed.answer_type} to #{owed.seq}: send it, or finish" if owed else ""
            )
            told.append(f"{plain(name)} is waiting too{why}.")
    return " ".join([f"Nothing new in {limit_s:g} s.", *told])
