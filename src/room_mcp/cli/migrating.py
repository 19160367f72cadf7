"""`room-mcp migrate`: all rooms move from a file to PostgreSQL, or back, while they are used."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from . import WrongUse, lines, options
from .options import Commands, add_json, command

if TYPE_CHECKING:
    from room_mcp.store.migrate.moving import Moved

BAR_CHARS = 30
STEP_PERCENT = 10  # between two lines, where no terminal is
# In a file agents need no keys; in a database those of all machines are told apart by theirs.
MEMBERS_WITHOUT_KEYS = (
    "Agents with ROOM_MCP_STORE come into keyed and approval rooms of before under another name. "
    "Let them into the latter: room-mcp settings ROOM shows who asks, and room-mcp admit ROOM NAME "
    "lets in. room-mcp close ROOM ends such a room."
)


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "migrate",
        "move all rooms of a store to PostgreSQL, or back to a file, while they are used",
        migrate,
        "Rooms, messages, server keys and the audit are copied and compared. Nobody can write "
        "during the last moment; then whoever uses the old store is told where the rooms are. "
        "Stopped and run again, it goes on. A password may come from PGPASSWORD or ~/.pgpass, "
        "where no list of processes shows it.",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="STORE",
        type=options.store,
        help="a file or postgresql://USER@HOST/DATABASE, by default ROOM_MCP_STORE",
    )
    parser.add_argument(
        "--to",
        dest="target",
        metavar="STORE",
        type=options.store,
        required=True,
        help="an empty one of the other kind",
    )
    add_json(parser)


def migrate(args: argparse.Namespace) -> int:
    source, target = _ends(args)
    import asyncio

    from room_mcp.store.migrate.moving import move
    from room_mcp.store_address import is_database, named, shown

    with Bar() as bar:
        moved = asyncio.run(move(source, target, progress=bar))
    where = shown(target)
    if args.json:
        print(json.dumps({"to": where, **_facts(moved)}))
        return 0
    print(lines.fact(_told(moved, where)))
    print(lines.fact(_next(named(target))))
    if is_database(target):
        print(lines.fact(MEMBERS_WITHOUT_KEYS))
    return 0


def _ends(args: argparse.Namespace) -> tuple[str, str]:
    """Where from, and where to. Raises WrongUse unless one is a file and the other a database."""
    from room_mcp.settings import Settings
    from room_mcp.store_address import is_database

    settings = Settings.from_env()
    if settings.url and not args.source:
        raise WrongUse(
            f"The rooms are on {settings.url}: its operator moves them. --from names a store of "
            "this machine."
        )
    source: str = args.source or settings.store
    target: str = args.target
    if is_database(source) and is_database(target):
        raise WrongUse("Both are PostgreSQL: pg_dump and pg_restore copy a database.")
    if not is_database(source) and not is_database(target):
        raise WrongUse("Both are files: room-mcp backup and restore copy one.")
    return source, target


def _facts(moved: Moved) -> dict[str, object]:
    return {
        "rooms": moved.rooms,
        "messages": moved.messages,
        "passes": moved.passes,
        "blockedMs": round(moved.blocked_s * 1_000, 1),
    }


def _told(moved: Moved, where: str) -> str:
    if moved.rooms is None or moved.messages is None:
        return f"All was copied before; the rooms are in {where} from now on."
    rooms = f"{moved.rooms:,} {'room' if moved.rooms == 1 else 'rooms'}"
    return (
        f"Moved {rooms} with {lines.counted(moved.messages)} to {where}; each was compared by its "
        f"hash. Nobody could write for {moved.blocked_s:.2f} s."
    )


def _next(where: str) -> str:
    from room_mcp.store.moved import advice_to_follow

    return f"The old store takes nothing any more. {advice_to_follow(where)}"


class Bar:
    """How far it is: a bar on a terminal, a line now and then elsewhere; on stderr."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._percent = -1
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        step = 1 if self._is_terminal else STEP_PERCENT
        if percent // step <= self._percent // step:
            return  # also in later passes, which look at what is there already
        self._percent = percent
        if self._is_terminal:
            self._draw(percent, done)
        else:
            print(f"{percent} %: {done:,} of {total:,} messages", file=sys.stderr, flush=True)

    def _draw(self, percent: int, done: int) -> None:
        full = BAR_CHARS * percent // 100
        rate = done / max(time.monotonic() - self._began, 0.001)
        bar = "█" * full + "░" * (BAR_CHARS - full)
        print(f"\r{bar} {percent} %, {rate:,.0f} messages/s\x1b[K", end="", file=sys.stderr)
        sys.stderr.flush()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal and self._percent >= 0:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
