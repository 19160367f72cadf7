"""The commands that change something: `create`, `send`, `close`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn, cast

from . import WrongUse, lines
from .reading import show_json
from .speaking import keyring, must_be_a_person, run, speaker

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.bridge.keyring import Keyring
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

OWNER_KEY = frozenset({"owner_key"})  # kept for `close`, never shown


def create(args: argparse.Namespace) -> int:
    return run(_create, args)


async def _create(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.plain import one_line

    name = speaker(args, settings)
    room = await client.create_room(args.name, purpose=args.purpose, sender=name, reuse=True)
    if room.owner_key:
        _keep(keyring(args, settings), room.id, room.owner_key)
    if args.json:
        show_json(room, hidden=OWNER_KEY)
        return 0
    shown = lines.quoted(room.name)
    if room.created:
        print(f"Room {shown} opened: {room.id}")
    else:
        count = lines.counted(room.message_count)
        print(f"Room {shown} is open already, with {count}: {room.id}")
        if args.purpose and args.purpose.strip() != room.purpose:
            print(f"Its purpose stays: {one_line(room.purpose) or 'none stated'}")
    print(f"Agents: join_room(room={shown}). People: room-mcp watch {_word(room.name)}")
    return 0


def _keep(keys: Keyring, room_id: str, owner_key: str) -> None:
    try:
        keys.keep(room_id, owner=owner_key)
    except OSError as error:
        print(
            f"The room's key could not be kept ({error.strerror}): "
            "the room can be ended by a message only, not by `close`.",
            file=sys.stderr,
        )


def send(args: argparse.Namespace) -> int:
    if args.human:
        must_be_a_person()
    args.content = _content(args)
    return run(_send, args)


async def _send(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    name = speaker(args, settings)
    room = await resolve(client, args.room)
    posted = await client.post(
        room.id,
        name,
        args.content,
        type=args.type,
        to=[one.removeprefix("@") for one in args.to],
        reply_to=args.reply_to,
        key=keyring(args, settings).member_key(room.id),
        human=args.human,
    )
    if args.json:
        show_json(posted)
        return 0
    for line in _sent(room, posted):
        print(line)
    if args.human and posted.sender_type != "human":
        print("The server lists you as an agent: it cannot know who types.", file=sys.stderr)
    return 0


def _content(args: argparse.Namespace) -> str | dict[str, Any]:
    """What to send: the object of --body, the words of the command line, or the input."""
    if args.body is not None:
        if args.text is not None:
            raise WrongUse("TEXT and --body do not go together; put the text into the object.")
        return _object(_input() if args.body == "-" else args.body)
    if args.text is None and sys.stdin.isatty():
        raise WrongUse("There is nothing to send. Give a TEXT, or pipe one in.")
    text = _input() if args.text in (None, "-") else str(args.text)
    if not text.strip():
        raise WrongUse("The text is empty; nothing was sent.")
    return text


def _input() -> str:
    """All of stdin, without the newline that ends its last line."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise WrongUse("The input is not UTF-8; nothing was sent.") from None
    return text.removesuffix("\n").removesuffix("\r")


def _object(text: str) -> dict[str, Any]:
    try:
        found: object = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WrongUse(
            f"--body is not JSON ({error}). "
            """Quote it for the shell, as in --body '{"verdict":"approved"}'."""
        ) from None
    if not isinstance(found, dict):
        raise WrongUse("""--body takes a JSON object, such as '{"verdict":"approved"}'.""")
    return cast("dict[str, Any]", found)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _sent(room: wire.Room, posted: wire.Posted) -> list[str]:
    """What became of the message, and what was said meanwhile."""
    from room_mcp.plain import one_line

    told: list[str] = []
    if posted.missed:
        count = posted.missed_count
        told.append(f"Before it you missed {count}:")
        told += [lines.message(one) for one in posted.missed]
        if count > len(posted.missed):
            after = posted.missed[-1].seq
            told.append(f"More: room-mcp history {_word(room.name)} --after {after}")
    kind = "" if posted.type == "note" else f" [{one_line(posted.type)}]"
    to = f" to {', '.join(one_line(name) for name in posted.to)}" if posted.to else ""
    told.append(f"Sent #{posted.seq}{kind}{to} in {lines.quoted(room.name)}.{_woken(posted)}")
    if posted.strangers:
        names = ", ".join(one_line(name) for name in posted.strangers)
        told.append(f"Not in the room yet: {names}. They find it when they join.")
    if posted.closed:
        told.append(f"The room is closed now: {one_line(posted.outcome or 'closed')}.")
    return told


def _woken(posted: wire.Posted) -> str:
    from room_mcp.plain import one_line

    if posted.waiting:
        return f" Waiting for it: {', '.join(one_line(name) for name in posted.waiting)}."
    return ""


def close(args: argparse.Namespace) -> int:
    return run(_close, args)


async def _close(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    name = speaker(args, settings)
    room = await resolve(client, args.room)
    info = await client.close_room(
        room.id,
        sender=name,
        conclusion=args.conclusion or "",
        owner_key=keyring(args, settings).owner_key(room.id),
    )
    if args.json:
        show_json(info)
        return 0
    kept = f"room-mcp history {_word(info.name)}"
    print(f"{lines.quoted(info.name)} is closed, with {lines.counted(info.message_count)}: {kept}")
    return 0


def delete(args: argparse.Namespace) -> int:
    return run(_delete, args)


async def _delete(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    room = await resolve(client, args.room)
    what = f"{lines.quoted(room.name)} with {lines.counted(room.message_count)}"
    if not args.yes:
        raise WrongUse(f"This removes {what} for good. Say --yes if that is meant.")
    await client.delete_room(room.id, owner_key=keyring(args, settings).owner_key(room.id))
    print(f"Deleted {what}.")
    return 0


def _word(name: str) -> str:
    """The name as one word of a shell."""
    import shlex

    from room_mcp.plain import one_line

    return shlex.quote(one_line(name))
