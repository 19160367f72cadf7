"""The words by which messages are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from room_mcp.store.tokens import MAX_TOKEN_CHARS, MAX_TOKENS, content_tokens, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The token: it's EXPIRED!", ["the", "token", "it", "s", "expired"]),
        ("a_b a-b 10.5", ["a_b", "a", "b", "10", "5"]),
        ("Größe STRASSE Straße", ["grösse", "strasse"]),
        ("東京都", ["東京", "京都"]),
        ("東", ["東"]),
        ("PR12の件", ["pr12", "の件"]),
        ("한국어", ["한국", "국어"]),
        ("ﬁn ＡＢ ①", ["fin", "ab", "1"]),
        ("e\u0301te\u0301", ["été"]),
        ("", []),
        ("!? … 😀", []),
    ],
)
def test_a_text_is_cut_into_tokens(text: str, expected: list[str]):
    assert tokens(text) == expected


def test_a_content_gives_the_words_of_all_its_texts():
    assert content_tokens({"a": "one", "b": [{"c": "two one"}], "n": 3}) == ["one", "two"]
    assert content_tokens(None) == []


def test_tokens_are_bounded():
    found = tokens(" ".join(f"{n}{'x' * 100}" for n in range(10_000)))

    assert len(found) == MAX_TOKENS
    assert max(map(len, found)) == MAX_TOKEN_CHARS


@given(some.text())
def test_tokens_hold_no_sign_that_parts_tokens_in_the_index(text: str):
    assert all(
        token and all(char.isalnum() or char == "_" for char in token) for token in tokens(text)
    )


@given(some.text(some.characters(codec="ascii")))
def test_ascii_is_cut_like_any_other_text(text: str):
    assert set(tokens(text)) <= set(tokens(text + " é"))
