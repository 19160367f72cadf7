"""`room-mcp replay`: what a template's rules would have made of a conversation that took place."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from room_mcp.plain import one_line

from . import WrongUse, given, lines
from .options import Commands, add_json, command, part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp.rooms import Contract

    from .conversations import Conversation, Past
    from .replayed import End, Event, Replayed

MAX_NAMES = 10  # that a sentence lists


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "replay",
        "try a template's rules on a conversation that took place",
        replay,
        "FILE is what `room-mcp export --format jsonl` writes, or any lines of JSON with sender "
        "and content. Nothing is stored. Members join as they first speak.",
    )
    parser.add_argument("file", metavar="FILE", help="one message a line; - reads the input")
    parser.add_argument(
        "--template",
        metavar="NAME|FILE",
        required=True,
        help="a name that `room-mcp templates` lists, or a file",
    )
    parser.add_argument(
        "--role",
        dest="roles",
        metavar="NAME=ROLE",
        type=part,
        action="append",
        default=[],
        help="whose role it is; by default the first that lacks somebody; may be repeated",
    )
    add_json(parser)


def replay(args: argparse.Namespace) -> int:
    from room_mcp.rooms import skeleton

    from .conversations import conversations_in
    from .replayed import replayed

    contract = _contract(args.template)
    conversations = conversations_in(args.file)
    _must_be_known(args.roles, contract, conversations, args.file)
    roles = {skeleton(name): role for name, role in args.roles}
    told = [replayed(one, contract, roles) for one in conversations]
    if args.json:
        answer = {
            "template": contract.template,
            "conversations": [_row(one) for one in told],
        }
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    for one in told:
        if len(told) > 1:
            name = f", {one_line(one.conversation.name)}" if one.conversation.name else ""
            print(lines.fact(f"Line {one.conversation.line}{name}"))
        for line in _told(one):
            print(lines.fact(line))
    if len(told) > 1:
        print(_together(told))
    return 0


def _contract(template: str) -> Contract:
    if given.is_file(template):
        return given.contract_in(template)
    from room_mcp.backend.templates import Templates
    from room_mcp.settings import Settings

    return Templates(Settings.from_env().templates).named(template)


def _must_be_known(
    roles: list[tuple[str, str]], contract: Contract, conversations: list[Conversation], file: str
) -> None:
    """Raises WrongUse for a role or a name that is not there: it would change nothing unseen."""
    from room_mcp.rooms import skeleton

    speakers = {
        skeleton(one.draft.sender): one.draft.sender
        for conversation in conversations
        for one in conversation.messages
    }
    for name, role in roles:
        if role not in contract.roles:
            known = ", ".join(contract.roles) or "none"
            raise WrongUse(f"{contract.template} has no role {role!r}. Its roles: {known}.")
        if skeleton(name) not in speakers:
            known = ", ".join(list(speakers.values())[:MAX_NAMES])
            raise WrongUse(f"Nobody called {name!r} speaks in {file}. There speak: {known}.")


# ---- in words -----------------------------------------------------------------------------------


def _told(of: Replayed) -> Iterator[str]:
    """A line for each message where something happens, then one for all of them."""
    for event in of.events:
        code = f" ({event.code})" if event.code else ""
        score = f", score {event.score:g}" if event.score is not None else ""
        yield f"{_which(event.message)}: {event.kind}{code}{score}: {one_line(event.text)}"
    if of.end is not None:
        yield _ended(of.end)
        if of.after_end:
            yield f"After that {lines.counted(of.after_end)} would have been refused."
    if of.conversation.skipped:
        yield f"Left out: {lines.counted(of.conversation.skipped)} of the room itself, or erased."
    yield _summary(of)


def _which(message: Past) -> str:
    draft = message.draft
    kind = "" if draft.type == "note" else f" [{one_line(draft.type)}]"
    return f"#{message.number} {one_line(draft.sender)}{kind}"


def _ended(of: End) -> str:
    closing = of.closing
    which = _which(of.message)
    when = f"Before {which} the room ends" if of.by_itself else f"{which} ends the room"
    good = "good" if of.good else "not good"
    by = f", by {one_line(closing.by)} with #{of.decided_by}" if of.decided_by else ""
    limit = "" if by else f", by itself ({closing.reason})"
    why = f": {one_line(closing.conclusion)}" if closing.conclusion else ""
    return f"{when}: {one_line(closing.outcome)} ({good}){by}{limit}{why}"


def _summary(of: Replayed) -> str:
    members = "1 member" if of.speakers == 1 else f"{of.speakers} members"
    parts = [f"{of.kept} kept", f"{of.refused} refused"]
    if of.end is not None:
        parts.append(f"{of.after_end} after the end")
    outcome = f"ended: {one_line(of.end.closing.outcome)}" if of.end is not None else "not ended"
    count = lines.counted(len(of.conversation.messages))
    return f"{count} of {members}: {', '.join(parts)}; highest score {of.highest:g}; {outcome}."


def _together(told: list[Replayed]) -> str:
    messages = sum(len(one.conversation.messages) for one in told)
    kept = sum(one.kept for one in told)
    refused = sum(one.refused for one in told)
    ended = sum(one.end is not None for one in told)
    noticed = sum(any(event.score is not None for event in one.events) for one in told)
    return (
        f"Together {len(told)} conversations with {lines.counted(messages)}: {kept} kept, "
        f"{refused} refused; {ended} ended, and in {noticed} the guard spoke."
    )


# ---- for scripts --------------------------------------------------------------------------------


def _row(of: Replayed) -> dict[str, Any]:
    return {
        "line": of.conversation.line,
        "name": of.conversation.name,
        "messages": len(of.conversation.messages),
        "skipped": of.conversation.skipped,
        "kept": of.kept,
        "refused": of.refused,
        "afterEnd": of.after_end,
        "highestScore": of.highest,
        "events": [_event_row(one) for one in of.events],
        "end": None if of.end is None else _end_row(of.end),
    }


def _event_row(of: Event) -> dict[str, Any]:
    return {
        "seq": of.message.number,
        "sender": of.message.draft.sender,
        "type": of.message.draft.type,
        "kind": of.kind,
        "code": of.code or None,
        "score": of.score,
        "text": of.text,
    }


def _end_row(of: End) -> dict[str, Any]:
    return {
        "seq": of.message.number,
        "beforeIt": of.by_itself,
        "outcome": of.closing.outcome,
        "good": of.good,
        "by": of.closing.by,
        "bySeq": of.decided_by,
        "reason": of.closing.reason,
        "conclusion": of.closing.conclusion,
    }
