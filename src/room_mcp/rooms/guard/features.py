"""What the guard keeps of a message: numbers only, made once, before it is stored."""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import compress, crc32

from .lexicon import Lexicon, Phrases, Status, default_lexicon
from .sketch import sketch
from .tokens import (
    SENTENCE_ENDS,
    asks,
    clean,
    code_lines_in,
    is_mark,
    is_unspaced,
    links_in,
    loudness,
    numbers_in,
    tokens_of,
)

VERSION = 2  # of the meaning of the fields; features of another version are made anew
MIN_PACKED_BYTES = 300  # shorter texts do not compress enough to tell
MIN_CONTENT_CHARS = 3
MAX_STATUS_WORDS = 24  # a report on work is shorter


@dataclass(frozen=True, slots=True)
class Features:
    """One message in numbers; hashes are crc32, each at most once.

    `words` counts all, `content` are the hashes of those that carry something. `coverage` is the
    share of the text in sentences with a courtesy word, `density` courtesy words over words,
    `warmth` words of praise and enthusiasm over words, `status` words of work under way over
    words, `loudness` the share of sentences that end with an exclamation mark, all 0 to 1. A mark
    is a lone sign such as "###STOP###". `packing` is bytes over compressed bytes, 1 for short
    texts. `numbers` are pairs of number and slot.
    """

    words: int
    content: tuple[int, ...]
    coverage: float
    density: float
    warmth: float
    status: float
    loudness: float
    asks: bool
    is_mark: bool
    packing: float
    numbers: tuple[tuple[int, int], ...]
    links: tuple[int, ...]
    code: tuple[int, ...]
    sketch: tuple[int, ...]

    def to_json(self) -> str:
        """About 120 bytes and 5.4 for each hash; at most 22 KiB."""
        flat = [part for pair in self.numbers for part in pair]
        return json.dumps(
            [
                VERSION,
                self.words,
                self.coverage,
                self.density,
                self.warmth,
                self.status,
                self.loudness,
                int(self.asks),
                int(self.is_mark),
                self.packing,
                *map(pack, (self.content, flat, self.links, self.code, self.sketch)),
            ],
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Features | None:
        """What `to_json` wrote; None when it was written by another version."""
        version, *rest = json.loads(text)
        if version != VERSION:
            return None
        words, coverage, density, warmth, status, loudness, asks, is_mark, packing, *packed = rest
        content, flat, links, code, pairs = packed
        numbers = unpack(flat)
        return cls(
            words=words,
            content=unpack(content),
            coverage=coverage,
            density=density,
            warmth=warmth,
            status=status,
            loudness=loudness,
            asks=bool(asks),
            is_mark=bool(is_mark),
            packing=packing,
            numbers=tuple(zip(numbers[::2], numbers[1::2], strict=True)),
            links=unpack(links),
            code=unpack(code),
            sketch=unpack(pairs),
        )


def pack(hashes: Sequence[int]) -> str:
    return b64encode(struct.pack(f"<{len(hashes)}I", *hashes)).decode()


def unpack(packed: str) -> tuple[int, ...]:
    raw = b64decode(packed)
    return struct.unpack(f"<{len(raw) // 4}I", raw)


def features(text: str, words: Lexicon | None = None) -> Features:
    """The features of a text, by the default lexicon unless another is given.

    Same text, same features, in every process; of a long text only the first 8,000 characters
    are read.
    """
    lexicon = default_lexicon() if words is None else words
    text = clean(text)
    tokens = tokens_of(text.lower())
    spoken = [token for token in tokens if token not in SENTENCE_ENDS]
    hashes = [crc32(word.encode()) for word in spoken]
    coverage, density = _courtesy(tokens, len(spoken), lexicon)
    return Features(
        words=len(spoken),
        content=_content(spoken, hashes, lexicon),
        coverage=coverage,
        density=density,
        warmth=_share(sum(map(lexicon.warmth.__contains__, spoken)), len(spoken)),
        status=_status(spoken, lexicon.status),
        loudness=loudness(text),
        asks=asks(text, lexicon.tags),
        is_mark=is_mark(text),
        packing=_packing(text),
        numbers=numbers_in(text),
        links=links_in(text),
        code=code_lines_in(text),
        sketch=sketch(spoken, hashes, text),
    )


def _content(spoken: Sequence[str], hashes: Sequence[int], lexicon: Lexicon) -> tuple[int, ...]:
    stop = lexicon.stop
    return tuple(
        dict.fromkeys(
            value
            for word, value in zip(spoken, hashes, strict=True)
            if word not in stop and (len(word) >= MIN_CONTENT_CHARS or is_unspaced(word))
        )
    )


def _courtesy(tokens: Sequence[str], spoken: int, lexicon: Lexicon) -> tuple[float, float]:
    """Coverage and density. A phrase counts as many words as it has."""
    beginnings = lexicon.beginnings
    polite = chars = polite_chars = sentence_chars = 0
    sentence_is_polite = False
    skip_to = 0
    for at, token in enumerate(tokens):
        if token in SENTENCE_ENDS:
            chars += sentence_chars
            if sentence_is_polite:
                polite_chars += sentence_chars
            sentence_chars, sentence_is_polite = 0, False
            continue
        sentence_chars += len(token) + 1
        if token in beginnings and at >= skip_to:
            length = _courtesy_at(tokens, at, lexicon)
            if length:
                polite += length
                sentence_is_polite = True
                skip_to = at + length
    chars += sentence_chars
    if sentence_is_polite:
        polite_chars += sentence_chars
    return _share(polite_chars, chars), _share(polite, spoken)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 0.0


def _courtesy_at(tokens: Sequence[str], at: int, lexicon: Lexicon) -> int:
    """How many words the courtesy that begins at `at` has; 0 when none begins there."""
    return _phrase_at(tokens, at, lexicon.phrases) or int(tokens[at] in lexicon.courtesy)


def _phrase_at(tokens: Sequence[str], at: int, phrases: Phrases) -> int:
    """How many words the longest phrase that begins at `at` has; 0 when none begins there."""
    if at + 1 == len(tokens):
        return 0
    third = tokens[at + 2] if at + 2 < len(tokens) else ""
    for rest in phrases.get((tokens[at], tokens[at + 1]), ()):
        if not rest:
            return 2
        # Most differ in the third word already, which needs no copy of the others.
        if rest[0] == third and tuple(tokens[at + 2 : at + 2 + len(rest)]) == rest:
            return 2 + len(rest)
    return 0


def _status(spoken: Sequence[str], status: Status) -> float:
    """The share of status words, 0 in a long text."""
    if len(spoken) > MAX_STATUS_WORDS:
        return 0.0
    found = sum(map(status.words.__contains__, spoken))
    found += sum(_phrase_at(spoken, at, status.phrases) for at in range(len(spoken)))
    return min(1.0, _share(found, len(spoken)))


def _packing(text: str) -> float:
    raw = text.encode()
    if len(raw) < MIN_PACKED_BYTES:
        return 1.0
    return round(len(raw) / len(compress(raw, 1)), 2)
