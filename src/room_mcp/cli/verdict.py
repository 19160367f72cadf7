"""`room-mcp verdict`: how a room ended, as an exit code that scripts can build on."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from . import FAILED, TIMED_OUT, lines, rules
from .options import Commands, add_json, add_room, command, seconds
from .speaking import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "verdict",
        "say how a room ended; succeed only when its rules call that good",
        verdict,
        "Exit code 0: closed with a good outcome; 1: with another one, or still open; "
        "3: --wait ran out.",
    )
    add_room(parser)
    parser.add_argument(
        "--wait", metavar="SECONDS", type=seconds, help="so long at most for its end"
    )
    add_json(parser)


def verdict(args: argparse.Namespace) -> int:
    return run(_verdict, args, patient=bool(args.wait))


async def _verdict(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room)
    if args.wait and room.lifecycle != "closed":
        await _wait_for_end(client, room, args.wait)
    info = await client.info(room.id)
    if args.json:
        show_json(info)
    else:
        for line in told(info):
            print(lines.fact(line))
    if info.good:
        return 0
    return TIMED_OUT if args.wait is not None and info.lifecycle != "closed" else FAILED


async def _wait_for_end(client: RoomsClient, room: wire.Room, wait_s: float) -> None:
    """Read along until the room closes or the time has run out."""
    from room_mcp.wire import MAX_WAIT_S

    deadline = time.monotonic() + wait_s
    after = room.last_seq
    while (left_s := deadline - time.monotonic()) > 0:
        page = await client.messages(room.id, after=after, wait_s=min(left_s, float(MAX_WAIT_S)))
        if page.closed:
            return
        after = page.next_cursor


def told(info: wire.Info) -> Iterator[str]:
    """How the room ended, by whom and with which conclusion; or that it is open."""
    from room_mcp.plain import one_line

    name = lines.quoted(info.name)
    if info.lifecycle != "closed":
        count = lines.counted(info.message_count)
        yield f"{name} is {info.lifecycle}, with {count}: no outcome yet."
        yield from rules.cast_verdicts(info)
        return
    good = "good" if info.good else "not good"
    yield f"{name} is closed: {one_line(info.outcome or 'closed')}, which is {good} by its rules."
    if (end := info.closing) is not None:
        by = "the room itself" if end.by == "room" else one_line(end.by)
        why = "" if end.reason == "terminal" else f" ({end.reason})"
        yield f"By {by}{why}, #{end.seq}."
    if info.conclusion:
        yield f"Conclusion: {one_line(info.conclusion)}"
