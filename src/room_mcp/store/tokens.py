"""The words by which messages are found; the same on every engine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from room_mcp.rooms.message import Content, words_in

MAX_TOKENS = 4_096  # per message, so that one message cannot fill the index
MAX_TOKEN_CHARS = 64  # longer words, such as encoded files, are found by their beginning

_WORD = re.compile(r"\w+")
_ASCII_FOLDED = bytes(
    ord(char.lower() if char.isalnum() or char == "_" else " ") for char in map(chr, range(128))
).ljust(256)

# Han, kana, Hangul, Thai, Lao, Khmer, Burmese: scripts whose words are not parted by spaces,
# or whose words carry endings, and are therefore indexed as pairs of characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af]+"
)


def tokens(text: str) -> list[str]:
    """The distinct tokens of a text, in order: folded words, and pairs of CJK characters."""
    # Most texts are ASCII, for which splitting is four times as quick as matching.
    words = _ascii_words(text) if text.isascii() else _words(text)
    found = list(dict.fromkeys(words))
    del found[MAX_TOKENS:]
    if max(map(len, found), default=0) > MAX_TOKEN_CHARS:
        return list(dict.fromkeys(word[:MAX_TOKEN_CHARS] for word in found))
    return found


def content_tokens(content: Content) -> list[str]:
    """The tokens of all texts in a content."""
    return tokens(content if isinstance(content, str) else " ".join(words_in(content)))


def is_half_pair(token: str) -> bool:
    """Whether a token of a query is a single character of a script that is indexed by pairs."""
    return len(token) == 1 and _UNSPACED.match(token) is not None


def _ascii_words(text: str) -> list[str]:
    return text.encode().translate(_ASCII_FOLDED).decode().split()


def _words(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    for word in _WORD.findall(folded):
        if word.isascii():
            yield word
        else:
            yield from _pieces(word)


def _pieces(word: str) -> Iterator[str]:
    """The parts of a word in spaced scripts whole, the others as overlapping pairs."""
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        chars = run[0]
        yield from (chars[i : i + 2] for i in range(max(1, len(chars) - 1)))
        end = run.end()
    if end < len(word):
        yield word[end:]
