"""`room-mcp rename`, `archive`, `purge`: what the owner of a room does to keep it, or not."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import WrongUse, lines
from .options import Commands, add_json, add_room, add_speaker, command
from .speaking import keyring, run, speaker

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    _add_rename(commands)
    _add_archive(commands)
    _add_purge(commands)


def _add_rename(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "rename",
        "call a room otherwise",
        rename,
        "Its id stays, and so does who is in it. In an open room a line of the room says so.",
    )
    add_room(parser)
    parser.add_argument("name", metavar="NAME", help="one line of at most 100 characters")
    add_speaker(parser)
    add_json(parser)


def _add_archive(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "archive",
        "put a closed room away, out of lists and searches",
        archive,
        "`room-mcp rooms --archived` lists those. By its id it is read as before. To reopen it "
        "brings it back as well.",
    )
    add_room(parser)
    parser.add_argument("--undo", action="store_true", help="bring it back")
    parser.add_argument("--close", action="store_true", help="close it first if it is open")
    add_speaker(parser)
    add_json(parser)


def _add_purge(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "purge",
        "remove all texts of a closed room for good, or whole rooms that are past what is kept",
        purge,
        "The texts of its messages, its purpose and its conclusion leave the store's files to the "
        "last byte, which takes as long as to copy the store. The numbers and times stay, its "
        "rules, and the names: its own, of its members, roles and types. So does the audit, which "
        "holds no texts. Backups, exports and what the disk itself keeps are not reached. Without "
        "--yes it only says what would be removed.",
    )
    parser.add_argument("room", nargs="?", metavar="ROOM", help="its name, id or beginning of it")
    parser.add_argument("--close", action="store_true", help="close it first if it is open")
    parser.add_argument(
        "--expired",
        action="store_true",
        help="instead: remove the rooms that ROOM_MCP_RETENTION_DAYS and _ROOMS do not keep, now",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --expired: only list them")
    parser.add_argument("--yes", action="store_true", help="it is meant: nothing brings it back")
    add_speaker(parser)
    add_json(parser)


def rename(args: argparse.Namespace) -> int:
    return run(_rename, args)


async def _rename(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room, archived=True)
    key = keyring(args, settings).owner_key(room.id)
    name = speaker(args, settings)
    info = await client.rename_room(room.id, args.name, sender=name, owner_key=key)
    if args.json:
        show_json(info)
    else:
        print(f"{lines.quoted(room.name)} is {lines.quoted(info.name)} now.")
    return 0


def archive(args: argparse.Namespace) -> int:
    if args.undo and args.close:
        raise WrongUse("--undo and --close do not go together; use one of them.")
    return run(_archive, args)


async def _archive(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room, archived=args.undo)
    if args.close:
        await _close(client, room, args, settings)
    key = keyring(args, settings).owner_key(room.id)
    info = await client.archive_room(room.id, archived=not args.undo, owner_key=key)
    if args.json:
        show_json(info)
    elif args.undo:
        print(f"{lines.quoted(info.name)} is in the lists again.")
    else:
        back = f"room-mcp archive {lines.word(info.name)} --undo"
        print(f"{lines.quoted(info.name)} is archived: {info.id}. Back: {back}")
    return 0


async def _close(
    client: RoomsClient, room: wire.Room, args: argparse.Namespace, settings: Settings
) -> None:
    if room.lifecycle != "closed":
        name, key = speaker(args, settings), keyring(args, settings).owner_key(room.id)
        await client.close_room(room.id, sender=name, conclusion="", owner_key=key)


def purge(args: argparse.Namespace) -> int:
    if (args.room is None) != args.expired:
        raise WrongUse("Say which ROOM to purge, or --expired for all that are past what is kept.")
    if args.dry_run and not args.expired:
        raise WrongUse("--dry-run goes with --expired.")
    if args.close and args.expired:
        raise WrongUse("--close goes with a ROOM.")
    return run(_purge_expired if args.expired else _purge, args)


async def _purge(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room, archived=True)
    what = f"all texts of {lines.quoted(room.name)}, with {lines.counted(room.message_count)}"
    if room.lifecycle != "closed" and not args.close:
        raise WrongUse(
            f"{lines.quoted(room.name)} goes on: end it first with "
            f"`room-mcp close {lines.word(room.name)}`, or say --close."
        )
    if not args.yes:
        raise WrongUse(f"This removes {what}, for good. Say --yes if that is meant.")
    if args.close:
        await _close(client, room, args, settings)
    key = keyring(args, settings).owner_key(room.id)
    erased = await client.purge_room(room.id, owner_key=key)
    if args.json:
        show_json(erased)
    else:
        print(f"Removed {what}.")
    return 0


async def _purge_expired(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import short_ids

    from .reading import show_json

    if not (args.dry_run or args.yes):
        due = await client.expired()
        raise WrongUse(
            f"This removes all rooms that are past what is kept ({_count(due)} now), for good. "
            "Say --yes if that is meant, or --dry-run to see them."
        )
    rooms: list[wire.Room] = []
    while True:
        found = await client.expired(remove=not args.dry_run)
        rooms += found.rooms
        short = short_ids(found.rooms)
        for room in found.rooms if not args.json else ():
            print(lines.room(room, short[room.id]))
        if args.dry_run or not found.more:
            break
    if args.json:
        show_json(found.model_copy(update={"rooms": rooms}))
    elif args.dry_run:
        print(f"Past what is kept: {_count(found)}.")
    else:
        print(f"Removed: {len(rooms)}.")
    return 0


def _count(found: wire.Expired) -> str:
    return f"{len(found.rooms)}{' or more' if found.more else ''}"
