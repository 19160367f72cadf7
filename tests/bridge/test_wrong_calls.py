"""Calls as models really write them: understood where they are plain, else mended in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from house import Agent, House

pytestmark = pytest.mark.anyio

LONG = "x" * 10_000
DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000

NOT_FOR_AGENTS = (
    "Error executing tool",
    "Traceback",
    "pydantic",
    "validation error",
    "input_value",
    "replyTo",
    "ownerKey",
    "idempotency",
    "after=SEQ",
    "?q=",
)
MAX_REPLY_CHARS = 10_000


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

CASES = [
    # ---- which room
    Case("a room by name", outside, "join_room", {"room": "api-review"}, (JOINED,)),
    Case("a room by id", outside, "join_room", {"room": "{id}"}, (JOINED,)),
    Case("a room by cut id", outside, "join_room", {"room": "{cut}"}, (JOINED,)),
    Case("a room in other case", outside, "join_room", {"room": "API-Review"}, (JOINED,)),
    Case("a room with spaces around", outside, "join_room", {"room": " api-review "}, (JOINED,)),
    Case("room_id for room", outside, "join_room", {"room_id": "{id}"}, (JOINED,)),
    Case("name for room", outside, "join_room", {"name": "api-review"}, (JOINED,)),
    Case(
        "an unknown room near a known one",
        outside,
        "join_room",
        {"room": "api-reveiw"},
        ("Nearest: 'api-review' (open)", 'join_room(room="api-review")'),
        refused=True,
    ),
    Case(
        "an unknown room to send to",
        outside,
        "send_message",
        {"room": "api-reveiw", "content": "Hello"},
        ('send_message(room="api-review", content="Hello")',),
        refused=True,
    ),
    Case(
        "an unknown room where none is",
        nothing,
        "join_room",
        {"room": "api-review"},
        ("There are no rooms here yet.", 'create_room(name="api-review")'),
        refused=True,
    ),
    Case(
        "a name of two rooms",
        twins,
        "join_room",
        {"room": "api-review"},
        ("2 rooms fit 'api-review'", "{cut}", 'join_room(room="'),
        refused=True,
    ),
    Case("no room at all", talking, "join_room", {}, ("room is missing", "join_room(room="), True),
    Case("an empty room", talking, "join_room", {"room": " "}, ("list_rooms()",), refused=True),
    Case(
        "a room's name that is too long",
        talking,
        "join_room",
        {"room": LONG},
        ("No room is called 'xxx", "list_rooms()"),
        refused=True,
    ),
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
    sends("a number that JSON has not", {"content": '{"a": NaN}'}, "Sent #2"),
    sends("NUL", {"content": "a\x00b"}, "content holds NUL", "Leave it out", refused=True),
    sends("half a character", {"content": "a\ud83d"}, "half of a character", refused=True),
    sends("half inside a body", {"body": {"a": ["\ud83d"]}}, "half of a character", refused=True),
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
    # ---- which argument
    sends("an unknown argument", {"contents": "x"}, "Did you mean content?", KNOWN, refused=True),
    sends("an unknown argument like no other", {"zzz": 1}, KNOWN, refused=True),
    sends("wait as a word", {"content": "x", "wait": "yes"}, "Sent #2 to bob."),
    sends(
        "wait as nonsense",
        {"content": "x", "wait": "perhaps"},
        "wait has to be true or false",
        refused=True,
    ),
    sends("null for what is left out", {"content": "x", "to": None, "body": None}, "Sent #2"),
    Case(
        "an unknown tool",
        talking,
        "send_mesage",
        {"room": "api-review"},
        ("There is no tool 'send_mesage'. Did you mean send_message?", "close_room"),
        refused=True,
    ),
    Case(
        "seconds with their unit",
        talking,
        "wait_for_messages",
        {"room": "api-review", "timeout_s": "50s"},
        ('"api-review", 1 new',),
    ),
    Case(
        "a time that is none",
        talking,
        "wait_for_messages",
        {"timeout_s": "soon"},
        ("timeout_s has to be a whole number",),
        refused=True,
    ),
    Case(
        "no tokens",
        talking,
        "read_history",
        {"room": "api-review", "max_tokens": 0},
        ("max_tokens has to be a whole number from 1 on", 'read_history(room="api-review")'),
        refused=True,
    ),
    Case(
        "tokens without end",
        talking,
        "read_history",
        {"room": "api-review", "max_tokens": 10**9},
        ("#1", "Nothing left out."),
    ),
    Case(
        "history before and after",
        talking,
        "read_history",
        {"room": "api-review", "before": 2, "after": 0},
        ("#1", "cursor 1."),
    ),
    Case(
        "history after the end of it",
        talking,
        "read_history",
        {"room": "api-review", "after": 99},
        ("The cursor is 99, and the room is at 1.", 'read_history(room="api-review")'),
        refused=True,
    ),
    Case(
        "history before a number beyond all",
        talking,
        "read_history",
        {"room": "api-review", "before": 10**18},
        ("#1",),
    ),
    Case(
        "a search for nothing",
        talking,
        "search_messages",
        {"query": " "},
        ("search_messages(query=",),
        refused=True,
    ),
    Case(
        "a search without query",
        talking,
        "search_messages",
        {},
        ("query is missing", "search_messages(query="),
        refused=True,
    ),
    Case(
        "a search for a page of text",
        talking,
        "search_messages",
        {"query": LONG},
        ("search_messages(query=",),
        refused=True,
    ),
    # ---- who is in
    Case(
        "a wait without a room",
        talking,
        "wait_for_messages",
        {},
        ('"api-review", 1 new', "→ you [question]: Is issue 2 a blocker?"),
    ),
    Case(
        "a wait in a room not joined joins it",
        outside,
        "wait_for_messages",
        {"room": "api-review"},
        ('You were not in "api-review": joined now as ann.', "Nothing new in", WAITS_NEXT),
    ),
    Case(
        "a wait in a closed room",
        ended_before,
        "wait_for_messages",
        {"room": "api-review"},
        ('"api-review" is closed: approved.', "tell your user"),
    ),
    Case(
        "a wait in no room",
        nothing,
        "wait_for_messages",
        {},
        ("You are in no room.", "list_rooms()", "create_room("),
    ),
    Case(
        "a message before joining",
        outside,
        "send_message",
        {"room": "api-review", "content": "Line 40 misses it."},
        ("Sent #1 to bob.", "You are ann, joined just now."),
    ),
    Case(
        "a message after the end",
        ended,
        "send_message",
        {"room": "api-review", "content": "Thanks!"},
        (OVER, '"2 issues fixed"', TELL),
        refused=True,
    ),
    Case(
        "a first message after the end",
        ended_before,
        "send_message",
        {"room": "api-review", "content": "Hello"},
        (OVER, TELL),
        refused=True,
    ),
    Case(
        "joining after the end",
        ended_before,
        "join_room",
        {"room": "api-review"},
        (OVER, TELL, 'read_history(room="api-review")'),
        refused=True,
    ),
    Case(
        "closing after the end",
        ended,
        "close_room",
        {"room": "api-review", "conclusion": "Done."},
        (OVER, TELL),
        refused=True,
    ),
    Case(
        "closing with no conclusion",
        talking,
        "close_room",
        {"room": "api-review"},
        ("conclusion is missing", 'close_room(room="api-review", conclusion="…")'),
        refused=True,
    ),
    Case(
        "closing with an empty conclusion",
        talking,
        "close_room",
        {"room": "api-review", "conclusion": ""},
        ("conclusion is empty", 'close_room(room="api-review", conclusion="…")'),
        refused=True,
    ),
    Case(
        "closing with a book",
        talking,
        "close_room",
        {"room": "api-review", "conclusion": LONG},
        ("conclusion may have 2000 characters",),
        refused=True,
    ),
    # ---- creating
    Case(
        "creating what is there joins it",
        outside,
        "create_room",
        {"name": "api-review"},
        ('"api-review" was open already: joined, not doubled. You are ann.', "Here: bob"),
    ),
    Case(
        "the template open",
        nothing,
        "create_room",
        {"name": "api-review", "template": "open", "role": ""},
        ('Room "api-review" opened. You are ann.', 'join_room(room="api-review")'),
    ),
    Case(
        "a template of later",
        nothing,
        "create_room",
        {"name": "api-review", "template": "code-review"},
        ("template='code-review'", "leave it out"),
        refused=True,
    ),
    Case(
        "a role of later",
        outside,
        "join_room",
        {"room": "api-review", "role": "reviewer"},
        ("role='reviewer'", "leave it out"),
        refused=True,
    ),
    Case(
        "room for name",
        nothing,
        "create_room",
        {"room": "api-review"},
        ('Room "api-review" opened.',),
    ),
    Case("a name that is too long", nothing, "create_room", {"name": LONG}, ("1 to 100",), True),
    Case("a name with NUL", nothing, "create_room", {"name": "a\x00"}, ("name holds NUL",), True),
    Case("a name of half", nothing, "create_room", {"name": "\ud83d"}, ("half of",), True),
    Case(
        "a purpose like a book",
        nothing,
        "create_room",
        {"name": "x", "purpose": LONG},
        ("purpose may have 2000 characters",),
        refused=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
async def test_a_call_that_a_model_might_write_is_understood_or_mended(case: Case, house: House):
    ann = await house.agent("ann")
    room_id = await case.state(house, ann)
    filled = {"{id}": room_id, "{cut}": room_id[:8]}
    arguments = {
        name: filled.get(value, value) if isinstance(value, str) else value
        for name, value in case.arguments.items()
    }

    answer = await ann.ask(case.tool, arguments)

    assert answer.is_error == case.refused, answer.text
    assert [said for said in case.says if filled.get(said, said) not in answer.text] == []
    assert [word for word in NOT_FOR_AGENTS if word in answer.text] == []
    assert len(answer.text) < MAX_REPLY_CHARS


async def test_a_call_repeated_after_a_time_out_is_not_doubled(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Line 40 misses it.")

    again = await ann.say("api-review", "Line 40 misses it.")

    assert again.text.startswith("Already sent as #1; nothing was doubled.")
    assert again.structured is not None
    assert again.structured["already_sent"] is True
    assert (await ann("list_rooms")).text.startswith("api-review · open · 1 message")


async def test_two_calls_repeated_after_a_time_out_are_not_doubled(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Line 40 misses it.")
    await ann.say("api-review", "So does line 60.")

    again = await ann.say("api-review", "Line 40 misses it.")

    assert again.text.startswith("Already sent as #1; nothing was doubled.")


async def test_the_same_words_are_sent_again_once_something_new_was_seen(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Still failing.")
    await house.rooms.post(room.id, "bob", "And now?")
    await ann("wait_for_messages", room="api-review")

    again = await ann.say("api-review", "Still failing.")

    assert again.text.startswith("Sent #3 to bob.")


async def test_the_same_words_to_somebody_else_are_another_message(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob", "carol")
    await ann.say("api-review", "Your turn.", to="bob")

    other = await ann.say("api-review", "Your turn.", to="carol")

    assert other.text.startswith("Sent #2 to carol.")


async def test_a_message_may_hold_its_text_beside_its_body(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review")

    await ann.say("api-review", "Done.", type="result", body={"ok": True})

    page = await house.rooms.messages(room.id, after=0)
    assert page.messages[0].content == {"ok": True, "text": "Done."}


async def test_a_name_means_the_open_room_once_the_old_one_has_ended(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann("join_room", room="api-review")
    old = (await house.rooms.rooms()).rooms[0]
    await house.rooms.post(old.id, "bob", "Done.", type="decision")
    await house.room("api-review", "bob")

    joined = await ann("join_room", room="api-review")

    assert joined.text.startswith('Joined "api-review". You are ann.')


async def test_a_closed_room_is_left_behind_after_it_said_so(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review", "bob")
    await ann("join_room", room="api-review")
    await house.rooms.post(room.id, "bob", "Done.", type="decision")
    await house.room("api-review", "bob")
    over = await ann("send_message", room="api-review", content="One more thing")

    sent = await ann.say("api-review", "A new start.")

    assert over.is_error
    assert sent.text.startswith("Sent #1 to bob.")


async def test_closing_twice_says_that_it_is_over(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    closed = await ann("close_room", room="api-review", conclusion="2 issues fixed")

    again = await ann("close_room", room="api-review", conclusion="2 issues fixed")

    assert closed.text.startswith('"api-review" is closed: 2 issues fixed')
    assert again.is_error
    assert 'It concluded: "2 issues fixed".' in again.text


async def test_the_name_of_a_room_joined_by_id_means_that_room(house: House):
    ann = await house.agent("ann")
    room_id = await twins(house, ann)
    joined = await ann("join_room", room=room_id)

    sent = await ann.say("api-review", "Line 40 misses it.")

    assert joined.lines[-1] == WAITS_NEXT
    assert sent.structured is not None
    assert sent.structured["room_id"] == room_id


async def test_what_is_expected_ends_with_the_call_that_gives_it(house: House):
    ann = await house.agent("ann")
    await talking(house, ann)

    waited = await ann("wait_for_messages", room="api-review")

    assert waited.lines[-1] == (
        "cursor 1. Expected of you: an answer to #1 of bob. "
        'Next: send_message(room="api-review", type="answer", reply_to=1, content="…")'
    )
