"""How alike two texts are, from a few numbers of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

SKETCH_SIZE = 128  # smallest hashes kept; the estimate errs by 0.04
GLANCE = 8  # smallest hashes, of which alike texts share most: at a likeness of 0.6
GLANCE_SHARED = 2  # one text in 2,500 shares fewer than these
_MIX = 0x9E3779B1  # 2^32 over the golden ratio: spreads the first word of a pair
_MASK = 0xFFFFFFFF


def sketch(words: Sequence[str], hashes: Sequence[int], text: str) -> tuple[int, ...]:
    """The smallest SKETCH_SIZE hashes of the word pairs, ascending.

    Of one word its character trigrams, of none the text itself.
    """
    if len(hashes) > 1:
        pairs = {(first * _MIX & _MASK) ^ second for first, second in pairwise(hashes)}
    elif words:
        word = f" {words[0][:64]} "
        pairs = {crc32(word[at : at + 3].encode()) for at in range(len(word) - 2)}
    else:
        pairs = {crc32(text.encode())}
    return tuple(sorted(pairs)[:SKETCH_SIZE])


class Said(NamedTuple):
    """A message of the near past, ready to compare with; `slots` map a slot to its number."""

    sketch: tuple[int, ...]
    pairs: frozenset[int]
    slots: Mapping[int, int]


NO_SLOTS: Mapping[int, int] = MappingProxyType({})


def said(sketch: tuple[int, ...], numbers: Sequence[tuple[int, int]]) -> Said:
    slots = {slot: number for number, slot in numbers} if numbers else NO_SLOTS
    return Said(sketch, frozenset(sketch), slots)


def likeness(ours: tuple[int, ...], near: Iterable[Said]) -> float:
    """Estimated share of word pairs (Jaccard) with the most similar of them, 0 to 1.

    0 where a glance at the smallest hashes tells that it is small.
    """
    glance = frozenset(ours[:GLANCE])
    enough = min(GLANCE_SHARED, len(glance))
    best = 0.0
    for theirs in near:
        if len(theirs.pairs & glance) >= enough:
            best = max(best, _likeness(ours, theirs))
    return best


def _likeness(ours: tuple[int, ...], theirs: Said) -> float:
    common = len(theirs.pairs.intersection(ours))
    mine, other = len(ours), len(theirs.sketch)
    if mine == SKETCH_SIZE or other == SKETCH_SIZE:
        # A full sketch knows its text only up to its largest hash: compare below that.
        top = min(
            ours[-1] if mine == SKETCH_SIZE else _MASK,
            theirs.sketch[-1] if other == SKETCH_SIZE else _MASK,
        )
        mine, other = bisect_right(ours, top), bisect_right(theirs.sketch, top)
    return common / (mine + other - common)
