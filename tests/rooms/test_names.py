"""What a name may look like, when two are the same, and who is mentioned."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some
from room_talk import NO_PROOF, post, room, said, stamp

from room_mcp.rooms import member_name, room_name, skeleton
from room_mcp.rooms.names import folded
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


@pytest.mark.parametrize("name", ["a " * 5_000, "a" * 10_000 + "!", "a." * 5_000 + "\n"])
def test_ten_thousand_characters_are_refused(name: str):
    with pytest.raises(Malformed):
        member_name(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "ALICE"),
        ("alice", "ａｌｉｃｅ"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁn", "fin"),
        ("claude", "сlaude"),  # Cyrillic
        ("apple", "аррӏе"),
        ("Ivan", "Іvan"),
        ("Kate", "Кate"),
        ("video", "νideo"),  # Greek
        ("Nina", "Νina"),
        ("NINA", "ΝΙΝΑ"),
        ("claude", "𝐜𝓁𝒶𝘂𝖽𝚎"),
        ("codex", "ᴄᴏᴅᴇx"),
        ("xii", "Ⅻ"),
        ("x-ray", "ⅹ-ray"),
        ("coe", "сое"),  # a Russian word
        ("alice", "a\u0332l\u0332ice"),
        ("Ёжик", "Ëжик"),  # the first letter Latin, with a mark
        ("Μαρία", "μαρία"),
        ("Νίκος", "ΝΊΚΟΣ"),
        ("דָּוִד", "דוד"),
        ("مُحَمَّد", "محمد"),
    ],
)
def test_look_alikes_are_the_same_name(one: str, other: str):
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("l", "1"),
        ("bob", "b0b"),
        ("modern", "rnodern"),
        ("Ian", "lan"),
        ("e", "é"),
        ("o", "ö"),
        ("ma", "má"),
        ("ế", "ê"),
        ("हिन्दी", "हिन्दू"),
        ("ที่", "ที"),
        ("李雷", "李霄"),
    ],
)
def test_what_can_be_told_apart_are_two_names(one: str, other: str):
    assert skeleton(one) != skeleton(other)


@given(some.text(some.characters(max_codepoint=127)))
def test_names_in_ascii_differ_by_more_than_case(name: str):
    assert skeleton(name) == name.lower()


@given(some.text(some.characters(codec="utf-8"), max_size=6))
def test_what_names_are_compared_by_is_compared_by_itself(name: str):
    assert skeleton(skeleton(name)) == skeleton(name)


def test_no_name_differs_from_another_by_spaces_alone():
    assert skeleton("صلى\u00a0 الله ") == skeleton("صلى الله")


@pytest.mark.parametrize(
    "name",
    [
        "Nguyễn Thị Ánh",
        unicodedata.normalize("NFD", "Nguyễn Thị Ánh"),
        "हिन्दी",
        "ज़ाकिर",
        "דָּוִד בֶּן-גּוּרִיּוֹן",
        "مُحَمَّد",
        "ที่รัก",
        "น้ำผึ้ง",
        "ကြွေး",
        "ខ្មែរ",
        "Ọmọ́",
        "가을",
        "がく",
        unicodedata.normalize("NFD", "がく"),
    ],
)
def test_a_name_has_the_marks_that_its_script_needs(name: str):
    assert member_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "q\u0300\u0316",
        "a\u0338\u0338",
        "h\u0489",
        "a\u20dd",
        "a\ufe0f",
        "a\u034f",
        "1\u0301",
        "\u0301a",
        "a\u0e35",  # a Thai vowel on a Latin letter
        "ที่่",
        "ก" + "\u0e34\u0e35\u0e36\u0e37\u0e38",
        "ក\u17b5",
    ],
)
def test_a_pile_of_marks_or_one_of_another_script_is_refused(name: str):
    with pytest.raises(Malformed):
        member_name(name)


@pytest.mark.parametrize("name", ["humаn", "ѕystem", "Rооm", "уоu", "ａｌｌ", "еveryone"])
def test_a_look_alike_of_a_reserved_name_is_reserved(name: str):
    with pytest.raises(Malformed, match="reserved"):
        member_name(name)


def test_names_in_ascii_do_not_load_the_table_of_look_alikes():
    script = (
        "from room_mcp.rooms import member_name, names, skeleton\n"
        "skeleton(member_name('alice')), names.mentioned('@bob', ['bob'])\n"
        "raise SystemExit(names._look_alikes.cache_info().currsize)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_text_of_a_search_is_not_read_by_its_looks():
    assert folded("ЁЖ Ａlice") == "ёж alice"


def test_a_look_alike_cannot_join_beside_the_name():
    here = room().join("alice", proof=NO_PROOF, stamp=stamp(), new_key_hash="h").room
    with pytest.raises(NameTaken):
        here.join("аlice", proof=NO_PROOF, stamp=stamp(), new_key_hash="x")


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
    "@аlice": ["alice"],
    "@हिन्दी, नमस्ते": ["हिन्दी"],
    "@हिन्द": [],
    "@Ada Lovelace": [],
    "@" * 10_000 + "bob": [],
    "@" + "a" * 10_000: [],
}


@pytest.mark.parametrize(("text", "names"), MENTIONS.items(), ids=[text[:20] for text in MENTIONS])
def test_a_mention_stands_alone(text: str, names: list[str]):
    here = room(
        "al",
        "alice",
        "bob",
        "team",
        "team/bot",
        "claude",
        "claude-2",
        "Ada Lovelace",
        "me",
        "हिन्दी",
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
