"""Calls as models really write them: understood where they are plain, else mended in words."""

from __future__ import annotations

import pytest
from house import House
from wrong_calls import (
    JOINED,
    KNOWN,
    LONG,
    MESSAGES,
    OVER,
    TELL,
    WAITS_NEXT,
    Case,
    ended,
    ended_before,
    nothing,
    outside,
    reviewed,
    reviewing,
    sends,
    talking,
    twins,
)

pytestmark = pytest.mark.anyio

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
        "a template that is none",
        nothing,
        "create_room",
        {"name": "api-review", "template": "chess"},
        ("'chess'", "code-review"),
        refused=True,
    ),
    Case(
        "a role where there are none",
        outside,
        "join_room",
        {"room": "api-review", "role": "reviewer"},
        ("This room has no roles", "Join without a role"),
        refused=True,
    ),
    Case(
        "a role that is taken",
        reviewed,
        "join_room",
        {"room": "api-review", "role": "author"},
        ("author is taken: 1 of 1", "reviewer"),
        refused=True,
    ),
    Case(
        "a role that is none",
        reviewed,
        "join_room",
        {"room": "api-review", "role": "boss"},
        ("no role 'boss'", "author, reviewer"),
        refused=True,
    ),
    Case(
        "a message before a role was chosen",
        reviewed,
        "send_message",
        {"room": "api-review", "content": "Hello"},
        ("members have roles", 'join_room(room="api-review", role="reviewer")'),
        refused=True,
    ),
    Case(
        "a wait before a role was chosen",
        reviewed,
        "wait_for_messages",
        {"room": "api-review"},
        ("members have roles", 'join_room(room="api-review", role="reviewer")'),
        refused=True,
    ),
    Case(
        "a type that the role may not send",
        reviewing,
        "send_message",
        {"room": "api-review", "type": "submit", "body": {"ref": "x", "summary": "y"}},
        ("As reviewer you may not send submit", "You may send: review"),
        refused=True,
    ),
    Case(
        "a body that the room did not agree on",
        reviewing,
        "send_message",
        {"room": "api-review", "type": "review", "body": {"issues": []}},
        ("issues", 'Next: send_message(room="api-review", type="review", body={'),
        refused=True,
    ),
    Case(
        "a text for a typed body",
        reviewing,
        "send_message",
        {"room": "api-review", "type": "review_complete", "content": "Looks good to me"},
        ("must be an object", 'body={"verdict": "'),
        refused=True,
    ),
    Case(
        "closing what a role ends",
        reviewing,
        "close_room",
        {"room": "api-review", "conclusion": "Enough"},
        ("review_complete from reviewer", 'type="review_complete"'),
        refused=True,
    ),
    Case(
        "room for name",
        nothing,
        "create_room",
        {"room": "api-review"},
        ('Room "api-review" opened.',),
    ),
    Case(
        "a query like a book",
        nothing,
        "search_messages",
        {"query": "x" * 70_000},
        ("too long",),
        True,
    ),
    Case(
        "a room like a book",
        nothing,
        "read_history",
        {"room": "x" * 70_000},
        ("No room is called 'xxx",),
        True,
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


@pytest.mark.parametrize("case", CASES + MESSAGES, ids=lambda case: case.what)
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


async def test_a_refusal_repeats_nothing_that_acts_or_hides(house: House):
    ann = await house.agent("ann")

    answer = await ann.ask("close_room", {"room": ["x"], "conclusion": "é\u202e\u200b\x1b[31m"})

    assert answer.is_error
    assert not {"\u202e", "\u200b", "\x1b"} & set(answer.text)
