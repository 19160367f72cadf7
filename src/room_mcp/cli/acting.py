"""The commands that change something: `create`, `send`, `close`, `reopen`, `delete`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from room_mcp.plain import plain_json

from . import Failed, WrongUse, given, lines
from .joining import joined_as, told
from .reading import show_json
from .speaking import keep, keyring, must_be_a_person, run, speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.failures import BackendRefused
    from room_mcp.settings import Settings

OWNER_KEY = frozenset({"owner_key"})  # kept for `close`, never shown


def create(args: argparse.Namespace) -> int:
    return run(_create, args)


async def _create(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    name = speaker(args, settings)
    room = await client.create_room(
        args.name,
        purpose=args.purpose,
        sender=name,
        reuse=True,
        access=args.access,
        **_rules(args),
        budget=given.budget_from(args),
        guard=given.guard_from(args),
        chain=args.chain,
    )
    if room.owner_key:
        without = "the room can be ended by a message only, not by `close`."
        keep(keyring(args, settings), room.id, without, owner=room.owner_key)
    if not args.json:
        for line in _opened(room, args):
            print(lines.fact(line))
    joined = await joined_as(client, room.id, args, settings) if args.role else None
    if args.json:
        _show_created(room, joined)
        return 0
    for line in told(joined) if joined else ():
        print(lines.fact(line))
    # Others find an unlisted room by its id alone.
    called = room.name if room.listed else room.id
    watching = f"room-mcp watch {lines.word(called)}"
    print(f"Agents: join_room(room={lines.quoted(called)}). People: {watching}")
    return 0


def _rules(args: argparse.Namespace) -> dict[str, Any]:
    """What the room starts from: a template's name, or the document in a file."""
    if given.is_file(args.template):
        return {"contract": given.contract_in(args.template).document}
    return {"template": args.template}


def _opened(room: wire.RoomCreated, args: argparse.Namespace) -> Iterator[str]:
    from room_mcp.plain import one_line

    shown = lines.quoted(room.name)
    if room.created:
        yield f"Room {shown} opened: {room.id}"
        if room.template not in ("", "open"):
            yield f"Rules: {one_line(room.template)}"
        return
    yield f"Room {shown} is open already, with {lines.counted(room.message_count)}: {room.id}"
    if args.purpose and args.purpose.strip() != room.purpose:
        yield f"Its purpose stays: {one_line(room.purpose) or 'none stated'}"
    asked = args.template.rpartition("/")[2].removesuffix(".json")
    if asked not in ("", room.template) or args.budget or args.guard:
        rules = one_line(room.template)
        yield f"Its rules stay: {rules}. See room-mcp settings {lines.word(room.name)}"
    if args.chain:
        yield f"Whether it has a chain stays: see room-mcp settings {lines.word(room.name)}"


def _show_created(room: wire.RoomCreated, joined: wire.Joined | None) -> None:
    answer = room.model_dump(mode="json", by_alias=True, exclude={*OWNER_KEY})
    if joined is not None:
        answer |= {"agentName": joined.agent_name, "role": joined.role}
    print(plain_json(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))))


def send(args: argparse.Namespace) -> int:
    if args.human:
        must_be_a_person()
    args.content = _content(args)
    return run(_send, args)


async def _send(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve
    from room_mcp.failures import BackendRefused

    name = speaker(args, settings)
    room = await resolve(client, args.room)
    try:
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
    except BackendRefused as refusal:
        raise _needs_role(refusal, room) or refusal from None
    if args.json:
        show_json(posted)
        return 0
    for line in _sent(room, posted):
        print(line)
    if args.human and posted.sender_type != "human":
        print("The server lists you as an agent: it cannot know who types.", file=sys.stderr)
    return 0


def _needs_role(refusal: BackendRefused, room: wire.Room) -> Failed | None:
    """The refusal of somebody without a role, with the command that gets one."""
    roles = refusal.facts.get("roles")
    if refusal.code != "not_a_member" or not roles:
        return None
    joining = f"room-mcp join {lines.word(room.name)} --role {'|'.join(roles)}"
    return Failed(f"{refusal.detail} Join with one first: {joining}")


def _content(args: argparse.Namespace) -> str | dict[str, Any]:
    """What to send: the object of --body, the words of the command line, or the input."""
    if args.body is not None:
        if args.text is not None:
            raise WrongUse("TEXT and --body do not go together; put the text into the object.")
        return given.object_from(_input() if args.body == "-" else args.body, "--body")
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
            told.append(f"More: room-mcp history {lines.word(room.name)} --after {after}")
    kind = "" if posted.type == "note" else f" [{one_line(posted.type)}]"
    to = f" to {', '.join(one_line(name) for name in posted.to)}" if posted.to else ""
    told.append(f"Sent #{posted.seq}{kind}{to} in {lines.quoted(room.name)}.{_woken(posted)}")
    if posted.strangers:
        names = ", ".join(one_line(name) for name in posted.strangers)
        told.append(f"Not in the room yet: {names}. They find it when they join.")
    told += [lines.fact(f"Notice: {one_line(notice)}") for notice in posted.notices]
    if posted.closed:
        told.append(f"The room is closed now: {one_line(posted.outcome or 'closed')}.")
    return told


def _woken(posted: wire.Posted) -> str:
    from room_mcp.plain import one_line

    if posted.waiting:
        return f" Waiting for it: {', '.join(one_line(name) for name in posted.waiting)}."
    return ""


def close(args: argparse.Namespace) -> int:
    if args.human:
        must_be_a_person()
    return run(_close, args)


async def _close(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve
    from room_mcp.failures import BackendRefused

    name = speaker(args, settings)
    room = await resolve(client, args.room)
    try:
        info = await client.close_room(
            room.id,
            sender=name,
            conclusion=args.conclusion or "",
            owner_key=keyring(args, settings).owner_key(room.id),
            human=args.human,
        )
    except BackendRefused as refusal:
        raise _belongs_to_roles(refusal, settings) or refusal from None
    if args.json:
        show_json(info)
        return 0
    kept = f"room-mcp history {lines.word(info.name)}"
    print(f"{lines.quoted(info.name)} is closed, with {lines.counted(info.message_count)}: {kept}")
    return 0


def _belongs_to_roles(refusal: BackendRefused, settings: Settings) -> Failed | None:
    """The refusal to end a room of this machine whose end belongs to certain roles."""
    ends_by = refusal.facts.get("endsBy")
    if refusal.code != "not_the_owner" or not ends_by or settings.url:
        return None
    return Failed(
        f"This room ends by {ends_by}. A person may end it as well: say --human, at a terminal."
    )


def reopen(args: argparse.Namespace) -> int:
    if not args.human:
        raise WrongUse(
            "Only people reopen rooms; if agents could, an end would be no end. "
            "If you are one, say --human, at a terminal."
        )
    must_be_a_person("Ask your user.")
    return run(_reopen, args)


async def _reopen(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    name = speaker(args, settings)
    room = await resolve(client, args.room)
    info = await client.reopen_room(room.id, sender=name, human=True)
    if args.json:
        show_json(info)
    elif room.lifecycle == "closed":
        print(f"{lines.quoted(info.name)} is open again, with its budget anew.")
    else:
        print(f"{lines.quoted(info.name)} is {info.lifecycle} already.")
    return 0


def delete(args: argparse.Namespace) -> int:
    return run(_delete, args)


async def _delete(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    room = await resolve(client, args.room, archived=True)
    what = f"{lines.quoted(room.name)} with {lines.counted(room.message_count)}"
    if not args.yes:
        raise WrongUse(f"This removes {what} for good. Say --yes if that is meant.")
    await client.delete_room(room.id, owner_key=keyring(args, settings).owner_key(room.id))
    print(f"Deleted {what}.")
    return 0
