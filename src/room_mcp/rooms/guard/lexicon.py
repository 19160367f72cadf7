"""The words of courtesy and the words that carry nothing, read once from `words/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .tokens import words_of

_WORDS = files("room_mcp.rooms.guard") / "words"
COURTESY_FILES = ("courtesy.json", "languages.json")
WARM_FILE = "warmth.json"
WARM_LISTS = ("thanks", "praise")  # of the courtesy lists, those that are warm too
STOP_FILE = "stop.json"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`courtesy` are single words (of Chinese, Japanese and Korean two characters), `warmth`
    words and emoji of praise and enthusiasm, `phrases` of courtesy map their first two words to
    what must follow, longest first; `stop` are words without content.
    """

    courtesy: frozenset[str]
    warmth: frozenset[str]
    phrases: Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]
    stop: frozenset[str]
    beginnings: frozenset[str]  # of all courtesies, so that most words need one look


def lexicon(
    courtesy: Iterable[str],
    phrases: Iterable[str] = (),
    warmth: Iterable[str] = (),
    stop: Iterable[str] = (),
) -> Lexicon:
    """A lexicon of one's own; everything is lower-cased and split the way messages are."""
    single = {word.lower() for word in courtesy}
    following: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for phrase in phrases:
        match words_of(phrase.lower()):
            case [first, second, *rest]:
                following.setdefault((first, second), []).append(tuple(rest))
            case rest:
                single.update(rest)
    return Lexicon(
        frozenset(single),
        frozenset(word.lower() for word in warmth),
        {pair: tuple(sorted(rests, key=len, reverse=True)) for pair, rests in following.items()},
        frozenset(word.lower() for word in stop),
        frozenset(single).union(first for first, _ in following),
    )


@cache
def default_lexicon() -> Lexicon:
    """English and sixteen other languages, merged."""
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
