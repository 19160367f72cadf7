"""`room-mcp audit`: what was done and what was refused, with its links checked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from . import FAILED, lines
from .options import Commands, add_json, add_speaker, command, count, seq
from .speaking import keyring, run

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings
    from room_mcp.store.auditing import Recorded

PAGE_ENTRIES = 500


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "audit",
        "show who did what and what was refused, and check that none of it was changed",
        audit,
        "Each entry is linked to the one before by a hash; exit code 1: a link is broken. On a "
        "server all of it is for admins, that of a room for its owner too.",
    )
    parser.add_argument("room", nargs="?", metavar="ROOM", help="by default everything")
    parser.add_argument("--after", metavar="N", type=seq, default=0, help="only what came after")
    parser.add_argument(
        "--limit", metavar="N", type=count, help="at most so many, up to 500; by default all"
    )
    add_speaker(parser)
    add_json(parser)


def audit(args: argparse.Namespace) -> int:
    return run(_audit, args)


async def _audit(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    room_id = await _room_id(client, args.room) if args.room else ""
    key = keyring(args, settings).owner_key(room_id) if room_id else ""
    links = Links(after=args.after, all_rooms=not room_id)
    async for page in _pages(client, room_id, key, args):
        for one in page.entries:
            print(one.model_dump_json(by_alias=True) if args.json else lines.fact(_line(one)))
            links.add(one)
        if not page.has_more:
            links.end(page)
    if links.broken:
        print(f"The audit was changed: {links.broken}", file=sys.stderr)
        return FAILED
    if not args.json:
        print(links.told())
    return 0


async def _room_id(client: RoomsClient, room: str) -> str:
    """The room's id; a whole id also after the room was deleted, for the audit goes on."""
    from room_mcp.addressing import NoSuchRoom, resolve

    try:
        return (await resolve(client, room)).id
    except NoSuchRoom:
        try:
            return str(UUID(room))
        except ValueError:
            pass
        raise


async def _pages(
    client: RoomsClient, room_id: str, key: str, args: argparse.Namespace
) -> AsyncIterator[wire.Audit]:
    """All of it, or as much as was asked for."""
    after, left = args.after, args.limit
    while True:
        limit = PAGE_ENTRIES if left is None else left
        page = await client.audit(room_id, after=after, limit=limit, owner_key=key)
        yield page
        after = page.next_cursor
        left = None if left is None else left - len(page.entries)
        if not page.has_more or left == 0:
            return


def _line(of: wire.AuditEntry) -> str:
    from room_mcp.plain import one_line

    who = [one_line(one) for one in (of.name, of.key_id, of.subject) if one]
    parts = [
        f"#{of.no} {lines.clock(of.at)} {one_line(of.act)}: {one_line(of.outcome)}",
        ", ".join(who),
        f"room {of.room_id}" if of.room_id else "",
        one_line(of.detail or ""),
    ]
    return " · ".join(part for part in parts if part)


class Links:
    """Follows entries in order, and keeps what is wrong with the first that does not fit.

    Args:
        after: The number behind which they begin.
        all_rooms: Whether none is left out on purpose.
    """

    def __init__(self, *, after: int, all_rooms: bool) -> None:
        self.broken = ""
        self._after = after
        self._all_rooms = all_rooms
        self._no = after
        self._link: str | None = None if after else ""  # None: not known
        self._count = 0

    def add(self, entry: wire.AuditEntry) -> None:
        if not self.broken:
            self.broken = self._problem(entry)
        self._no, self._link = entry.no, entry.link
        self._count += 1

    def _problem(self, entry: wire.AuditEntry) -> str:
        if self._all_rooms and entry.no != self._no + 1:
            return f"#{self._no + 1} is missing."
        follows = entry.no == self._no + 1 and self._link is not None
        if not _recorded(entry).is_intact or (follows and entry.previous != self._link):
            return f"#{entry.no} is not what was written, or the entry before it is not."
        return ""

    def end(self, page: wire.Audit) -> None:
        """Nothing follows: all that the server knows of has to be there."""
        if self._all_rooms and not self.broken and self._no < page.last_no:
            self.broken = f"#{self._no + 1} is missing."

    def told(self) -> str:
        if not self._count:
            return "Nothing there."
        checked = f"{self._count} {'entry' if self._count == 1 else 'entries'}, all links hold."
        kept = f" Keep the last link to see later that none is gone: {self._link}"
        return checked + (kept if self._all_rooms else "")


def _recorded(of: wire.AuditEntry) -> Recorded:
    from room_mcp.store.auditing import Entry, Recorded

    entry = Entry(
        at=datetime.fromisoformat(of.at),
        act=of.act,
        outcome=of.outcome,
        room_id=of.room_id,
        name=of.name,
        key_id=of.key_id,
        subject=of.subject,
        request_id=of.request_id,
        detail=of.detail,
    )
    return Recorded(of.no, entry, of.previous, of.link)
