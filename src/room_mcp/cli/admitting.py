"""`room-mcp admit`, `decline`, `mute`, `remove`: what the owner of a room decides about others."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import lines
from .options import Commands, add_json, add_room, add_speaker, command
from .speaking import keyring, run

if TYPE_CHECKING:
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

_TOLD = {
    "admit": "{name} may come into {room}.",
    "decline": "{name} is not let into {room}, and may not ask again.",
    "mute": "{name} reads on in {room}, and cannot speak.",
    "unmute": "{name} may speak in {room} again.",
    "remove": "{name} is out of {room}, and may not come back.",
}


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    for name, help, more in (
        (
            "admit",
            "let somebody into a room who asks, or back who was sent away",
            "`room-mcp settings ROOM` shows who asks.",
        ),
        ("decline", "send somebody away who asks to come into a room", ""),
        ("mute", "let a member of a room read, and not speak", ""),
        ("remove", "send a member out of a room", "`admit` lets him come back."),
    ):
        parser = command(commands, name, help, decide, more)
        add_room(parser)
        parser.add_argument("name", metavar="NAME", help="whom it is about")
        if name == "mute":
            parser.add_argument("--off", action="store_true", help="let him speak again")
        add_speaker(parser)
        add_json(parser)


def decide(args: argparse.Namespace) -> int:
    return run(_decide, args)


async def _decide(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve
    from room_mcp.plain import one_line

    from .reading import show_json

    room = await resolve(client, args.room)
    name = args.name.removeprefix("@")
    act = "unmute" if args.command == "mute" and args.off else args.command
    info = await client.decide(
        room.id, act, name, owner_key=keyring(args, settings).owner_key(room.id)
    )
    if args.json:
        show_json(info)
    else:
        print(_TOLD[act].format(name=one_line(name), room=lines.quoted(info.name)))
    return 0
