"""`wait_for_messages`: unread mail at once, else sleep until something is for this agent.

What wakes nobody piles up meanwhile and is handed over with what does, or when the time is up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mcp.server.mcpserver import Context

from room_mcp import wire
from room_mcp.plain import plain

from . import replies
from .desk import Desk
from .replies import call, quoted

PROGRESS_EVERY_S = 10.0  # feeds the idle timers of the hosts that have one
PAGE = 50
_END_OF_ROOM = "Nothing more to send here; tell your user."


class Waiter:
    def __init__(self, desk: Desk, progress_every_s: float = PROGRESS_EVERY_S) -> None:
        self._desk = desk
        self._progress_every_s = progress_every_s

    async def wait(
        self, ctx: Context[Any, Any], you: str, room_id: str | None, limit_s: float
    ) -> list[str]:
        """The lines of the answer: new messages, or why there are none.

        Args:
            room_id: None waits in all rooms of this agent.
            limit_s: Seconds until the answer has to be given.
        """
        began = time.monotonic()
        rows = await self._rows(room_id, you)
        if lines := await self._delivered(rows, you):
            return lines
        open_rows = [row for row in rows if row.lifecycle != "closed"]
        if not open_rows:
            return self._nowhere(rows, room_id)
        woken = await self._slept(ctx, you, open_rows, began + limit_s)
        rows = await self._rows(room_id, you)
        if lines := await self._delivered(rows, you):
            late = f"Nothing for you in {limit_s:g} s. What was said meanwhile:"
            return lines if woken else [late, *lines]
        return [_nothing_new(rows, you, limit_s), f"Next: {self._again(room_id, rows)}"]

    async def _rows(self, room_id: str | None, you: str) -> list[wire.Room]:
        if room_id is None:
            return await self._desk.my_rooms(you)
        row = await self._desk.row(room_id, you)
        return [] if row is None else [row]

    async def _slept(
        self, ctx: Context[Any, Any], you: str, rows: Sequence[wire.Room], deadline: float
    ) -> bool:
        """True when woken, False when the time is up."""
        cursors = {row.id: row.last_seq for row in rows}
        key = self._desk.key(rows[0].id) if len(rows) == 1 else ""
        has_token = bool(ctx.request_context.meta and "progress_token" in ctx.request_context.meta)
        slice_s = self._progress_every_s if has_token else float(wire.MAX_WAIT_S)
        began = time.monotonic()
        while (left := deadline - time.monotonic()) > 0:
            updates = await self._desk.client.updates(
                cursors, wait_s=min(left, slice_s), reader=you, key=key
            )
            for update in updates.rooms:
                if _wakes(update, you):
                    return True
                newest = update.messages[-1].seq if update.messages else update.last_seq
                cursors[update.room_id] = newest
            await ctx.report_progress(
                round(time.monotonic() - began, 3), round(deadline - began, 3), "waiting"
            )
        return False

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
        page = await self._desk.client.messages(
            row.id,
            reader=you,
            ack=self._desk.ack(row.id),
            limit=PAGE,
            key=self._desk.key(row.id),
        )
        others = [one for one in page.messages if one.sender != you]
        if not others:
            return []
        shown_before = page.shown_to or 0
        all_lines = [replies.line(one, you, again=one.seq <= shown_before) for one in others]
        count = replies.fitting(all_lines, max_tokens)
        cursor = page.messages[-1].seq if count == len(others) else others[count - 1].seq
        self._desk.show(row.id, cursor)
        left = max(0, (row.unread or 0) - count)
        rest = f"; {call('read_history', room=row.name, after=others[0].seq - 1, max_tokens=8000)}"
        lines = [replies.cut(line, max_tokens, rest) for line in all_lines[:count]]
        more = f", {left} more unread" if left or page.has_more else ""
        return [
            *replies.ending(row),
            f"{quoted(row.name)}, {count} new{more}",
            *lines,
            _END_OF_ROOM if row.lifecycle == "closed" else _footer(row, cursor),
        ]

    def _nowhere(self, rows: Sequence[wire.Room], room_id: str | None) -> list[str]:
        if room_id is not None and rows:
            return [*replies.ending(rows[0]), _END_OF_ROOM]
        if room_id is not None:
            return [f"The room was deleted. Next: {call('list_rooms')}"]
        if rows:
            return [f"All your rooms are closed. {_END_OF_ROOM}"]
        opens = call("create_room", name="…")
        return [f"You are in no room. Next: {call('list_rooms')}, then join_room, or {opens}"]

    def _again(self, room_id: str | None, rows: Sequence[wire.Room]) -> str:
        if room_id is None or not rows:
            return call("wait_for_messages")
        return call("wait_for_messages", room=rows[0].name)


def _wakes(update: wire.Update, you: str) -> bool:
    """Whether the news end the wait: a message for this agent, or a change of the room."""
    if update.lifecycle is None:
        return True
    return any(you in one.wakes or one.sender_type == "system" for one in update.messages)


def _footer(row: wire.Room, cursor: int) -> str:
    owed = replies.expected(row.expected)
    next_step = "" if owed else f" Next: {call('wait_for_messages', room=row.name)}"
    return f"cursor {cursor}. {owed}{next_step}".replace(".  ", ". ").rstrip()


def _nothing_new(rows: Sequence[wire.Room], you: str, limit_s: float) -> str:
    """Says so, and who else sleeps: two that wait for each other should know it."""
    told: list[str] = []
    for row in rows:
        for name in row.waiting:
            if name == you:
                continue
            owed = next((one for one in row.expected if one.asker == name), None)
            why = (
                f", for your {owed.answer_type} to #{owed.seq}: send it, or finish" if owed else ""
            )
            told.append(f"{plain(name)} is waiting too{why}.")
    return " ".join([f"Nothing new in {limit_s:g} s.", *told])
