"""What a name may look like, when two are the same, and who is mentioned."""

from __future__ import annotations

import time

import pytest
from room_talk import NO_PROOF, post, room, said, stamp

from room_mcp.rooms import member_name, room_name, skeleton
from room_mcp.rooms.refusals import Malformed, NameTaken


@pytest.mark.parametrize(
    "name", ["a", "claude-2", "team/bot.1", "Ada Lovelace", "me@host", "Łódź", "李雷", "a" * 100]
)
def test_a_name_is_kept_as_given(name: str):
    assert member_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "-a",
        "_a",
        "@a",
        ".",
        "a ",
        "a  b",
        "a\tb",
        "a\n",
        "a\x00",
        "a\u200b",
        "a\u202eb",
        "<a>",
        "a,b",
        "🙂",
        "a" * 101,
        "a" * 10_000,
        "room",
        "ROOM",
        "ｒｏｏｍ",
        "System",
        "all",
        "everyone",
    ],
)
def test_what_is_no_name_is_refused_with_advice(name: str):
    with pytest.raises(Malformed) as refusal:
        member_name(name)

    assert refusal.value.advice


def test_ten_thousand_characters_are_refused_at_once():
    began = time.perf_counter()
    for name in ("a " * 5_000, "a" * 10_000 + "!", "a." * 5_000 + "\n"):
        with pytest.raises(Malformed):
            member_name(name)

    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "ALICE"),
        ("alice", "ａｌｉｃｅ"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁn", "fin"),
    ],
)
def test_look_alikes_are_the_same_name(one: str, other: str):
    assert skeleton(one) == skeleton(other)


def test_a_look_alike_cannot_join_beside_the_name():
    here = room().join("alice", proof=NO_PROOF, stamp=stamp(), new_key_hash="h").room
    with pytest.raises(NameTaken):
        here.join("ＡＬＩＣＥ", proof=NO_PROOF, stamp=stamp(), new_key_hash="x")


def test_a_member_speaks_and_is_addressed_by_any_spelling_under_his_own():
    here = room("Alice", "bob")
    message = said(here, "alice", to=["BOB", "bob", "Bob"])

    assert (message.sender, message.to, message.wakes) == ("Alice", ("bob",), ("bob",))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "x" * 10_000, "a\u202e"])
def test_a_room_name_is_one_short_line(name: str):
    with pytest.raises(Malformed):
        room_name(name)


def test_a_room_name_is_trimmed():
    assert room_name("  API review! 🙂 ") == "API review! 🙂"


MENTIONS = {
    "@alice": ["alice"],
    "@al": ["al"],
    "@ali": [],
    "@ALICE, look": ["alice"],
    "look @bob.": ["bob"],
    "(@bob)": ["bob"],
    "@bob's turn": ["bob"],
    "@bob: and @alice!": ["alice", "bob"],
    "@bob...": ["bob"],
    "@bob/": ["bob"],
    "me@bob.com": [],
    "x.@bob": [],
    "@@bob": [],
    "bob": [],
    "@bobby": [],
    "@bob.com": [],
    "@team/bot does": ["team/bot"],
    "@team does": ["team"],
    "@team/other does": ["team"],
    "@claude-2.": ["claude-2"],
    "@claude-": ["claude"],
    "@ａｌｉｃｅ": ["alice"],
    "@Ada Lovelace": [],
    "@" * 10_000 + "bob": [],
    "@" + "a" * 10_000: [],
}


@pytest.mark.parametrize(("text", "names"), MENTIONS.items(), ids=[text[:20] for text in MENTIONS])
def test_a_mention_stands_alone(text: str, names: list[str]):
    here = room(
        "al", "alice", "bob", "team", "team/bot", "claude", "claude-2", "Ada Lovelace", "me"
    )
    message = said(here, "me", text, type="note")

    assert message.mentions == tuple(names)


def test_mentions_are_found_inside_a_body_too():
    message = said(room("alice", "bob"), "alice", {"a": [{"b": "ask @bob"}], "n": 1})

    assert message.mentions == ("bob",)


def test_who_left_is_not_mentioned():
    here = room("alice", "bob").leave("bob", proof=NO_PROOF, stamp=stamp()).room

    assert said(here, "alice", "@bob").mentions == ()


def test_mentioning_oneself_addresses_nobody():
    here = room("alice", "bob")
    step = post(here, "alice", "I am @alice, who is there?", type="question")

    assert step.messages[0].wakes == ("bob",)
    assert step.room.expectations[0].of == ()


@pytest.mark.parametrize(
    "name", ["you", "YOU", "room", "room closed", "Room paused by owner", "\u3164"]
)
def test_a_name_cannot_pass_for_a_line_of_the_room_or_for_nobody(name: str):
    with pytest.raises(Malformed):
        member_name(name)
