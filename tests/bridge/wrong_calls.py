"""The states that wrong calls meet, and the wrong messages among them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from house import Agent, House

LONG = "x" * 10_000
NESTED: dict[str, object] = {}
for _ in range(70):
    NESTED = {"a": NESTED}
DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000


async def nothing(house: House, ann: Agent) -> str:
    return ""


async def talking(house: House, ann: Agent) -> str:
    """Ann and bob are in "api-review"; bob asked ann something in #1."""
    room = await house.room("api-review", "bob")
    await ann("join_room", room="api-review")
    await house.rooms.post(room.id, "bob", "Is issue 2 a blocker?", type="question", to=["ann"])
    return room.id


async def outside(house: House, ann: Agent) -> str:
    return (await house.room("api-review", "bob")).id


async def ended(house: House, ann: Agent) -> str:
    """Bob ended the room with #2."""
    room_id = await talking(house, ann)
    verdict = {"verdict": "approved", "summary": "2 issues fixed"}
    await house.rooms.post(room_id, "bob", verdict, type="review_complete")
    return room_id


async def ended_before(house: House, ann: Agent) -> str:
    """As `ended`, and ann was never in it."""
    room_id = await outside(house, ann)
    await house.rooms.post(room_id, "bob", {"verdict": "approved"}, type="review_complete")
    return room_id


async def reviewed(house: House, ann: Agent) -> str:
    """Bob is the author of a code review; ann is not in it."""
    room = await house.rooms.create_room("api-review", template="code-review")
    await house.rooms.join(room.id, "bob")
    return room.id


async def reviewing(house: House, ann: Agent) -> str:
    """Ann is the reviewer in it."""
    room_id = await reviewed(house, ann)
    await ann("join_room", room="api-review")
    return room_id


async def twins(house: House, ann: Agent) -> str:
    await house.room("api-review", "bob")
    return (await house.room("api-review")).id


class Case(NamedTuple):
    """One call, and what its answer must say. `{id}` and `{cut}` stand for the room's id."""

    what: str
    state: Callable[[House, Agent], Awaitable[str]]
    tool: str
    arguments: dict[str, Any]
    says: tuple[str, ...]
    refused: bool = False


def sends(what: str, arguments: dict[str, Any], *says: str, refused: bool = False) -> Case:
    return Case(
        what, talking, "send_message", {"room": "api-review", **arguments}, says, refused=refused
    )


JOINED = 'Joined "api-review". You are ann.'
WAITS_NEXT = 'Next: wait_for_messages(room="api-review")'
OVER = "This room is closed: approved, by bob"
TELL = "report the outcome to your user"
KNOWN = "It takes: room, content, type, body, to, reply_to, wait."

MESSAGES = [
    # ---- to whom
    sends("to as a string", {"content": "x", "to": "bob"}, "Sent #2 to bob.", WAITS_NEXT),
    sends("to with an at sign", {"content": "x", "to": "@bob"}, "Sent #2 to bob."),
    sends("to as JSON in a string", {"content": "x", "to": '["bob"]'}, "Sent #2 to bob."),
    sends(
        "to with commas",
        {"content": "x", "to": "bob, carol"},
        "Sent #2 to bob.",
        "Not in the room: carol.",
    ),
    sends("to in other case", {"content": "x", "to": ["BOB"]}, "Sent #2 to bob."),
    sends(
        "to a name that is not here",
        {"content": "x", "to": "carol"},
        "Sent #2; it wakes nobody here.",
        "Not in the room: carol. They read it when they join.",
    ),
    sends("to oneself", {"content": "x", "to": "ann"}, "Sent #2; it wakes nobody here."),
    sends("to everyone", {"content": "x", "to": ["everyone"]}, "Sent #2 to bob."),
    sends(
        "to a number",
        {"content": "x", "to": 7},
        "to has to be a list of names",
        'send_message(room="api-review"',
        refused=True,
    ),
    sends(
        "to a name that is none",
        {"content": "x", "to": LONG},
        "10000 characters",
        refused=True,
    ),
    # ---- which message
    sends("reply_to as text", {"content": "x", "type": "answer", "reply_to": "#1"}, "[answer] to"),
    sends("reply_to as digits", {"content": "x", "type": "answer", "reply_to": "1"}, "[answer] to"),
    sends("reply_to as float", {"content": "x", "type": "answer", "reply_to": 1.0}, "[answer] to"),
    sends("replyTo for reply_to", {"content": "x", "type": "answer", "replyTo": 1}, "[answer] to"),
    sends(
        "reply_to beyond the room",
        {"content": "x", "reply_to": 12},
        "There is no #12 to reply to; the newest is #1.",
        "reply_to",
        refused=True,
    ),
    sends(
        "reply_to beyond all numbers",
        {"content": "x", "reply_to": 10**18},
        "reply_to has to be at most",
        refused=True,
    ),
    sends(
        "a negative reply_to",
        {"content": "x", "reply_to": -4},
        "reply_to has to be a whole number from 0 on",
        refused=True,
    ),
    sends(
        "an answer without reply_to takes the open question",
        {"content": "No.", "type": "answer"},
        "Sent #2 [answer] to bob.",
    ),
    # ---- what is said
    sends("body as JSON in a string", {"type": "result", "body": '{"ok": true}'}, "Sent #2"),
    sends(
        "body as broken JSON",
        {"type": "result", "body": '{"ok": tru'},
        "body has to be a JSON object",
        refused=True,
    ),
    sends("body as a list", {"body": [1, 2]}, "body has to be a JSON object", refused=True),
    sends("content as an object", {"content": {"ok": True}, "type": "result"}, "Sent #2 [result]"),
    sends("content as JSON", {"content": '{"ok": true}', "type": "result"}, "Sent #2 [result]"),
    sends("content as broken JSON is text", {"content": '{"ok": tru'}, "Sent #2 to bob."),
    sends("content and body", {"content": "Done.", "body": {"ok": True}}, "Sent #2 to bob."),
    sends(
        "content and a body with a text of its own",
        {"content": "Done.", "body": {"text": "kept"}},
        "body has a text of its own",
        "send_message(room=",
        refused=True,
    ),
    sends("an empty message", {}, "The message is empty.", "send_message(room=", refused=True),
    sends("a message of blanks", {"content": " \n"}, "The message is empty.", refused=True),
    sends("content as a number", {"content": 42}, "Sent #2 to bob."),
    sends("JSON too deep to read is text", {"content": DEEP}, "Sent #2"),
    sends("body too deep to read", {"body": DEEP}, "body has to be a JSON object", refused=True),
    sends("a body of 70 levels", {"body": NESTED}, "body is nested deeper than 64", refused=True),
    sends("text and message", {"content": "a", "message": "b"}, "given twice", refused=True),
    sends("everybody and one", {"content": "a", "to": ["all", "ann"]}, "Sent #2"),
    sends("70 levels as text", {"content": json.dumps(NESTED)}, "Sent #2"),
    sends("a number that JSON has not", {"content": '{"a": NaN}'}, "Sent #2"),
    sends("NUL", {"content": "a\x00b"}, "content holds NUL", "Leave it out", refused=True),
    sends("half a character", {"content": "a\ud83d"}, "half of a character", refused=True),
    sends("half inside a body", {"body": {"a": ["\ud83d"]}}, "half of a character", refused=True),
    sends("half as JSON text", {"content": r'{"a": "\ud83d"}'}, "Sent #2"),
    sends("half as a body's text", {"body": r'{"a": "\ud83d"}'}, "body has to be", refused=True),
    sends("half of a name as JSON", {"content": "a", "to": r'["\ud83d"]'}, "name", refused=True),
    sends("100 KB", {"content": "x" * 10**5}, "a message may have 65536", "a file", refused=True),
    sends("1 MiB", {"content": "x" * 2**20}, "more than 1048576 bytes", "a file", refused=True),
    sends(
        "a type of many words",
        {"content": "x", "type": "code review"},
        "A type is one word",
        refused=True,
    ),
    sends("a type without end", {"content": "x", "type": LONG}, "type may have 64", refused=True),
    sends(
        "a handoff to nobody",
        {"content": "Yours now.", "type": "handoff"},
        "names its receiver",
        "here are: bob",
        refused=True,
    ),
]
