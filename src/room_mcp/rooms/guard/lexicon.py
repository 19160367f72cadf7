"""The words of courtesy, of praise and of work under way, and those that carry nothing.

Read once from `words/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from .tokens import words_of

_WORDS = files("room_mcp.rooms.guard") / "words"
COURTESY_FILES = ("courtesy.json", "languages.json")
WARM_FILE = "warmth.json"
WARM_LISTS = ("thanks", "praise")  # of the courtesy lists, those that are warm too
STATUS_FILE = "status.json"
STOP_FILE = "stop.json"
TAG_FILE = "tags.json"

# The first two words of a phrase map to what must follow, longest first.
Phrases = Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]


class Status(NamedTuple):
    """How one says that work is under way, or asks whether it is."""

    words: frozenset[str]
    phrases: Phrases


@cache
def default_status() -> Status:
    """English and twenty other languages, merged."""
    words: set[str] = set()
    phrases: list[str] = []
    for entry in _read(STATUS_FILE).values():
        words.update(entry["words"].split())
        phrases += entry["phrases"]
    following, single = _phrases(phrases)
    return Status(frozenset(words | single), following)


@cache
def default_tags() -> frozenset[str]:
    """The words of tags such as ", isn't it?", in seven languages."""
    return frozenset(word for words in _read(TAG_FILE).values() for word in words.split())


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`courtesy` are single words (of Chinese, Japanese and Korean two characters), `warmth`
    words and emoji of praise and enthusiasm, `phrases` are of courtesy; `stop` are words without
    content, `tags` those of ", isn't it?".
    """

    courtesy: frozenset[str]
    warmth: frozenset[str]
    phrases: Phrases
    stop: frozenset[str]
    beginnings: frozenset[str]  # of all courtesies, so that most words need one look
    status: Status = field(default_factory=default_status)
    tags: frozenset[str] = field(default_factory=default_tags)


def lexicon(
    courtesy: Iterable[str],
    phrases: Iterable[str] = (),
    warmth: Iterable[str] = (),
    stop: Iterable[str] = (),
) -> Lexicon:
    """A lexicon of one's own; everything is lower-cased and split the way messages are."""
    following, single = _phrases(phrases)
    single.update(word.lower() for word in courtesy)
    return Lexicon(
        frozenset(single),
        frozenset(word.lower() for word in warmth),
        following,
        frozenset(word.lower() for word in stop),
        frozenset(single).union(first for first, _ in following),
    )


def _phrases(phrases: Iterable[str]) -> tuple[Phrases, set[str]]:
    """Phrases by their first two words; those of one word apart."""
    single: set[str] = set()
    following: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for phrase in phrases:
        match words_of(phrase.lower()):
            case [first, second, *rest]:
                following.setdefault((first, second), []).append(tuple(rest))
            case rest:
                single.update(rest)
    longest_first = {
        pair: tuple(sorted(rests, key=len, reverse=True)) for pair, rests in following.items()
    }
    return longest_first, single


@cache
def default_lexicon() -> Lexicon:
    """English, Chinese and twenty-six other languages, merged."""
    words: list[str] = []
    phrases: list[str] = []
    warmth = [word for entry in _read(WARM_FILE).values() for word in entry["words"].split()]
    for name in COURTESY_FILES:
        for list_name, entry in _read(name).items():
            words += entry["words"].split()
            phrases += entry["phrases"]
            if list_name in WARM_LISTS:
                warmth += entry["words"].split()
    stop = [word for entry in _read(STOP_FILE).values() for word in entry.split()]
    return lexicon(words, phrases, warmth, stop)


def _read(name: str) -> dict[str, Any]:
    return json.loads((_WORDS / name).read_text(encoding="utf-8"))
