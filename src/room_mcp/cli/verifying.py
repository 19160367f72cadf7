"""`room-mcp verify`: whether an exported transcript is what was said, by the hashes in it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from . import FAILED, Failed, lines
from .options import Commands, add_json, command

if TYPE_CHECKING:
    from room_mcp.rooms import Message
    from room_mcp.rooms.chain import Verification

FROM_INPUT = "-"
HEAD_HEX = 64

# Of a line and their types; every one of them is in the hash.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "seq": int,
    "roomId": str,
    "sender": str,
    "senderType": str,
    "type": str,
    "content": (str, dict, type(None)),
    "timestamp": str,
    "to": list,
    "replyTo": (int, type(None)),
    "mentions": list,
    "wakes": list,
}


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "verify",
        "check an exported transcript against the hashes in it",
        verify,
        "For rooms made with `create --chain`, exported with `export --format jsonl`. Exit code "
        "0: intact, 1: not, or it cannot be told.",
    )
    parser.add_argument("file", metavar="FILE", help="the transcript, or - for the input")
    parser.add_argument(
        "--head",
        metavar="HASH",
        type=_head,
        help="the room's chain as `room-mcp settings ROOM` shows it; without it nobody can tell "
        "whether the end is missing, or all was written anew",
    )
    add_json(parser)


def _head(text: str) -> str:
    head = text.strip().lower()
    if len(head) != HEAD_HEX or not set(head) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is no hash of {HEAD_HEX} hexadecimal digits")
    return head


def verify(args: argparse.Namespace) -> int:
    from room_mcp.rooms.chain import verified

    shown = "the input" if args.file == FROM_INPUT else args.file
    found = verified(messages_in(_text(args.file, shown), shown), args.head)
    if found.broken_at is None and len(found.unverified) == found.count:
        raise Failed(f"{shown} holds no hashes: there is nothing to hold it against.")
    if args.json:
        print(json.dumps(_facts(found)))
    else:
        for line in _told(found, shown, args.head):
            print(lines.fact(line))
    return 0 if found.broken_at is None else FAILED


def _facts(found: Verification) -> dict[str, Any]:
    return {
        "intact": found.broken_at is None,
        "messages": found.count,
        "head": found.head,
        "unverified": list(found.unverified),
        "brokenAt": found.broken_at,
        "problem": found.problem or None,
    }


def _told(found: Verification, shown: str, head: str | None) -> Iterator[str]:
    if found.broken_at is not None:
        yield f"Broken at #{found.broken_at}: {found.problem}."
        if found.count:
            yield f"What comes before it, up to #{found.count}, fits together."
    else:
        yield f"Intact: {lines.counted(found.count)} in {shown}."
    if found.unverified:
        first, last = found.unverified[0], found.unverified[-1]
        yield f"Not to be verified, for their texts were erased: #{first} to #{last}."
    if found.broken_at is None and head is None:
        yield f"Head: {found.head}"
        yield (
            "If `room-mcp settings ROOM` shows another chain, messages are missing at the end, or "
            "all were written anew."
        )


# ---- the file -----------------------------------------------------------------------------------


def messages_in(text: str, shown: str) -> Iterator[Message]:
    """The messages of an export, a line each.

    Raises:
        Failed: With the line that is no message of an export, and why.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _message(_object(line, f"{shown}, line {number}"), f"{shown}, line {number}")


def _text(file: str, shown: str) -> str:
    try:
        if file == FROM_INPUT:
            return sys.stdin.buffer.read().decode()
        with open(file, encoding="utf-8", newline="") as opened:
            return opened.read()
    except UnicodeDecodeError:
        raise Failed(f"{shown} is not UTF-8.") from None
    except OSError as error:
        raise Failed(f"{shown} cannot be read: {error.strerror}.") from None


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        value: object = json.loads(line, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise Failed(
            f"{place}: it is not JSON ({error}). Only `room-mcp export ROOM --format jsonl` writes "
            "what can be verified."
        ) from None
    if not isinstance(value, dict):
        raise Failed(f"{place}: it must be an object.")
    return cast("dict[str, Any]", value)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two fields of one name readers would show one or the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _message(fields: dict[str, Any], place: str) -> Message:
    from room_mcp.rooms import Message

    if unknown := fields.keys() - _FIELDS.keys() - {"chain"}:
        raise Failed(f"{place}: {sorted(unknown)[0]!r} is no field that this version can verify.")
    for name, kind in _FIELDS.items():
        if name not in fields or not isinstance(fields[name], kind) or fields[name] is True:
            raise Failed(f"{place}: {name!r} is missing, or not what it should be.")
    chain = fields.get("chain")
    return Message(
        room_id=fields["roomId"],
        seq=fields["seq"],
        id=fields["id"],
        at=_time(fields["timestamp"], place),
        sender=fields["sender"],
        sender_type=fields["senderType"],
        type=fields["type"],
        content=fields["content"],
        to=tuple(fields["to"]),
        reply_to=fields["replyTo"],
        mentions=tuple(fields["mentions"]),
        wakes=tuple(fields["wakes"]),
        chain=chain if chain is None or isinstance(chain, str) else "",
    )


def _time(text: str, place: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    # Only as an export writes it: else a digit more would change the text and not the hash.
    if at is None or at.isoformat(timespec="milliseconds").replace("+00:00", "Z") != text:
        raise Failed(f"{place}: {text[:50]!r} is no time of an export.")
    return at
