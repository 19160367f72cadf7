"""The commands that read: `rooms`, `history`, `search`, `export`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from . import Failed, WrongUse, lines
from .speaking import run

if TYPE_CHECKING:
    from pydantic import BaseModel

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings


def show_json(answer: BaseModel, *, hidden: frozenset[str] = frozenset()) -> None:
    """The answer as the backend spells it, on one line; `hidden` are fields that stay secret."""
    from room_mcp.plain import plain_json

    print(plain_json(answer.model_dump_json(by_alias=True, exclude=set(hidden))))


def list_rooms(args: argparse.Namespace) -> int:
    return run(_list_rooms, args)


async def _list_rooms(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import short_ids

    found = await client.rooms(
        query=args.query, closed=args.all or args.archived, archived=args.archived
    )
    if args.json:
        show_json(found)
        return 0
    short = short_ids(found.rooms)
    for room in found.rooms:
        print(lines.room(room, short[room.id]))
    if found.next_cursor is not None:
        print(f"Older ones are left out: name a part of what you look for, `{_SEARCHING}`.")
    if not found.rooms:
        print(client.limits or _none_found(args, settings))
    return 0


_SEARCHING = "room-mcp rooms QUERY"


def _none_found(args: argparse.Namespace, settings: Settings) -> str:
    kind = "archived rooms" if args.archived else "rooms" if args.all else "open rooms"
    fitting = f" that fit {args.query!r}" if args.query else ""
    more = "" if args.all or args.archived else " --all shows closed ones too."
    from room_mcp.store_address import shown

    where = settings.url or shown(settings.store)
    return f"No {kind}{fitting} in {where}.{more} `room-mcp create NAME` opens one."


def history(args: argparse.Namespace) -> int:
    if args.after is not None and args.before is not None:
        raise WrongUse("--after and --before do not go together; use one of them.")
    return run(_history, args)


async def _history(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    room = await resolve(client, args.room)
    page = await client.messages(room.id, after=args.after, before=args.before, limit=args.limit)
    if args.json:
        show_json(page)
        return 0
    print(lines.heading(room))
    for message in page.messages:
        print(lines.message(message))
    rest = _rest(args, page)
    if rest:
        print(rest)
    return 0


def _rest(args: argparse.Namespace, page: wire.Page) -> str:
    """What was left out, and the command that shows it; empty when nothing was."""
    if not page.messages:
        return "No messages there." if page.last_seq else "No messages yet."
    if not page.has_more:
        return ""
    if args.after is not None:
        return f"More follow: room-mcp history {args.room} --after {page.messages[-1].seq}"
    return f"Older ones: room-mcp history {args.room} --before {page.messages[0].seq}"


def search(args: argparse.Namespace) -> int:
    return run(_search, args)


async def _search(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    words = " ".join(args.words)
    room_id = (await resolve(client, args.room)).id if args.room else ""
    found = await client.search(words, room_id=room_id)
    if args.json:
        show_json(found)
        return 0
    for hit in found.hits:
        print(lines.message(hit.message, room=hit.room))
    if not found.hits:
        print(f"No message holds all of: {words}")
    return 0


def export(args: argparse.Namespace) -> int:
    return run(_export, args)


async def _export(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    room = await resolve(client, args.room)
    pieces = client.export(room.id, args.format)
    if args.output is None:
        async for piece in pieces:
            sys.stdout.write(_shown(piece))
        return 0
    size = await _write(args.output, pieces)
    print(f"Wrote {args.output}, {size} bytes.", file=sys.stderr)
    return 0


def _shown(piece: str) -> str:
    """On a terminal made harmless, but never in a file or pipe: an export is exact."""
    from room_mcp.plain import plain

    return plain(piece) if sys.stdout.isatty() else piece


async def _write(path: str, pieces: AsyncIterator[str]) -> int:
    """Write a new file, readable by its owner only, as the store is; its size in bytes."""
    size = 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async for piece in pieces:
                size += file.write(piece.encode("utf-8", "surrogatepass"))
    except FileExistsError:
        raise Failed(f"{path} exists already. Name another file, or remove it.") from None
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}.") from None
    return size
