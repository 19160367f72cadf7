"""What others wrote can neither act on a terminal nor hide from a reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from room_mcp.plain import one_line, plain, plain_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\x9b2J", r"\x9b2J"),
        ("a\x00\x7f", r"a\x00\x7f"),
        ("\ud800", r"\ud800"),
    ],
)
def test_controls_and_escapes_become_visible(text: str, shown: str):
    assert plain(text) == shown


@pytest.mark.parametrize("char", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069")
def test_what_turns_the_reading_direction_around_becomes_visible(char: str):
    assert plain(f"a{char}b") == f"a\\u{ord(char):04x}b"


@pytest.mark.parametrize("char", "\u00ad\u200b\u200c\u200d\u2060\ufeff\u3164\U000e0041")
def test_what_shows_nothing_becomes_visible_between_latin_letters(char: str):
    assert char not in plain(f"a{char}b")


def test_a_hidden_text_in_tag_characters_becomes_visible():
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "do it")

    assert plain(f"hi{hidden}").startswith(r"hi\U000e0064\U000e006f")


def test_a_hidden_text_in_variation_selectors_becomes_visible_after_the_first():
    assert plain("a\ufe0f\ufe01\U000e0102b") == "a\ufe0f\\ufe01\\U000e0102b"


@pytest.mark.parametrize(
    "text",
    [
        "naïve 日本語 Ελληνικά עברית",
        "👨‍👩‍👧 ❤️‍🔥 🏳️‍⚧️ 👍🏽",
        "می‌خواهم",
        "क्‍ष",
        "a\tb\nc",
        r"a backslash \x1b that somebody typed",
    ],
)
def test_what_people_write_stays_as_it_is(text: str):
    assert plain(text) == text


@pytest.mark.parametrize("char", "\u180b\ufff9\ufdd0\uffff\U000f0041\U0010ffff\U0001d173\uffa0")
def test_what_is_no_character_or_of_nobodys_font_becomes_visible(char: str):
    assert plain(f"a{char}b").isascii()


def test_a_pile_of_marks_ends_after_the_fourth():
    assert plain("q" + "\u0338" * 7 + "!") == "q" + "\u0338" * 4 + r"\u0338" * 3 + "!"


@pytest.mark.parametrize("text", ["Nguyễn", "ẹ́", "ที่", "हिन्दी", "דָּוִד", "ကြွေး", "مُحَمَّد", "l̥̄"])
def test_the_marks_that_a_script_needs_stay(text: str):
    assert plain(text) == text


@given(some.text())
def test_json_stands_for_the_same_value_and_has_nothing_raw_in_it(text: str):
    shown = plain_json(json.dumps({"a": text}, ensure_ascii=False))

    assert json.loads(shown) == {"a": text}
    assert plain(shown) == shown


@pytest.mark.parametrize(
    "text", ["\u202e\u2028\x85\x7f\ud800", "q" + "\u0338" * 9, "👨‍👩‍👧 می‌خواهم"]
)
def test_json_has_escapes_for_what_acts_and_joiners_where_spelling_needs_them(text: str):
    shown = plain_json(json.dumps(text, ensure_ascii=False))

    assert json.loads(shown) == text
    assert plain(shown) == shown


@pytest.mark.parametrize("end", ["\n", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_every_kind_of_line_break_is_the_same_newline(end: str):
    assert plain(f"a{end}b") == "a\nb"


def test_one_line_is_one_line_with_single_spaces():
    assert one_line(" a\u2028 b\t\n\nc\x1b ") == r"a b c\x1b"
