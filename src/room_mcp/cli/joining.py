"""`room-mcp join`: become a member, and hear what that means in this room."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import lines, rules
from .options import Commands, add_human, add_json, add_room, add_speaker, command
from .speaking import keep, keyring, must_be_a_person, run, speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

KEYS = frozenset({"agent_key", "agent_session_id"})  # kept for `send`, never shown


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "join",
        "become a member of a room",
        join,
        "In a room with roles everybody needs one to send anything; in others, speaking is enough.",
    )
    add_room(parser)
    parser.add_argument(
        "--role", metavar="ROLE", help="by default the first that still lacks somebody"
    )
    add_human(parser)
    add_speaker(parser)
    add_json(parser)


def join(args: argparse.Namespace) -> int:
    if args.human:
        must_be_a_person()
    return run(_join, args)


async def _join(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room)
    joined = await joined_as(client, room.id, args, settings, human=args.human)
    if args.json:
        show_json(joined, hidden=KEYS)
        return 0
    for line in told(joined):
        print(lines.fact(line))
    info = joined.room
    if joined.pending:
        return 0
    if info.message_count:
        said = lines.counted(info.message_count)
        print(f"Read the {said} so far: room-mcp history {lines.word(info.name)}")
    speaking = f" --as {lines.word(joined.agent_name)}" if args.speaker else ""
    print(f"Speak: room-mcp send {lines.word(info.name)} TEXT{speaking}")
    return 0


async def joined_as(
    client: RoomsClient,
    room_id: str,
    args: argparse.Namespace,
    settings: Settings,
    *,
    human: bool = False,
) -> wire.Joined:
    """Become a member as the command line says; the key is kept, so that `send` has it."""
    keys = keyring(args, settings)
    joined = await client.join(
        room_id,
        speaker(args, settings),
        role=args.role or "",
        key=keys.member_key(room_id),
        human=human,
    )
    if joined.agent_key:
        without = "you can speak, but not join again under this name."
        keep(keys, room_id, without, member=joined.agent_key)
    return joined


def told(joined: wire.Joined) -> Iterator[str]:
    """Who you are, what you may send, what ends the room, and who else is here."""
    from room_mcp.plain import one_line

    info = joined.room
    if joined.pending:
        yield (
            f"The owner of {lines.quoted(info.name)} lets people in one by one: you have asked, as "
            f"{one_line(joined.agent_name)}."
        )
        yield f"Wait for it: room-mcp wait {lines.word(info.name if info.listed else info.id)}"
        return
    is_role = f", {one_line(joined.role)}," if joined.role else ""
    yield f"You are {one_line(joined.agent_name)}{is_role} in {lines.quoted(info.name)}."
    if info.purpose:
        yield f"Purpose: {one_line(info.purpose)}"
    role = next((one for one in info.roles if one.name == joined.role), None)
    if role is not None and role.about:
        yield f"Your part: {one_line(role.about)}"
    me = next((one for one in info.members if one.name == joined.agent_name), None)
    is_person = me is not None and me.type == "human"
    may = role.may if role and not is_person else None
    ends = role.ends if role else [] if info.roles else info.terminal_types
    yield f"You may send: {rules.sends(may, ends)}"
    contract = rules.contract_of(info)
    if contract is not None:
        yield from map(one_line, rules.endings(contract))
    here = [one for one in info.members if one.active and one.name != joined.agent_name]
    yield f"Here: {rules.listed(map(_named, here))}" if here else "Nobody else is here yet."


def _named(member: wire.Member) -> str:
    return f"{member.name} ({member.role})" if member.role else member.name
