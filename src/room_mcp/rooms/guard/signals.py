"""The five signals of a message without progress, each 0 to 1."""

from __future__ import annotations

from typing import NamedTuple

from .features import Features

SHORT_WORDS = 60  # up to here a text is judged by its share of courtesy alone
LINE_WORDS = 12  # up to here a text may be a line of a log
FLAGGED = 0.25  # a signal from here on counts
UNLIKE = 0.45  # a likeness up to here says nothing
POLITE = 0.5  # courtesy from here on is what a message is about
COUNTER_COURTESY = 0.25  # beside so much courtesy a counter is no fact
MIN_ASK_WORDS = 3  # new content words that make a question one, whatever else it says
MIN_STALE_WORDS = 4
DEGENERATE_PACKING = 5.0  # a log or a table reaches it, too, but brings facts
HOPELESS_PACKING = 12.0  # nothing but a stuck generator

RECEIPT_WEIGHT = 0.4  # of a short message that takes up what somebody else brought
STATUS = 0.2  # share of status words that makes a line a report
REPORT_WEIGHT = 0.3  # of a report on work, and of what nobody answers

WARM = 0.06  # share of words of praise that makes a message warm
WARMTH_BELOW, WARMTH_RANGE = 0.05, 0.08  # of which there is no heat, and over which it grows
HOT = 0.5  # heat from which a stray question or number is part of the praise
LOUD_WORDS = 3  # fewer with an exclamation mark are but a short answer
LOUD_HEAT = 0.6  # of exclamations alone
LASTING = 3  # warm messages of the sender before, from which praise counts in full
PRAISE_WEIGHT = 0.8  # at most this much by praise alone

PROGRESS_KEEPS = 0.3  # of a score, after a fact or a question
POLITE_PROGRESS_KEEPS = 0.6  # after a stray number or question in a courtesy or in praise
SUBSTANCE_KEEPS = 0.6  # after plain talk in new words


class Signals(NamedTuple):
    """What speaks for a loop; the largest one counts."""

    repeat: float = 0.0
    minimal: float = 0.0
    courtesy: float = 0.0
    stale: float = 0.0
    degenerate: float = 0.0


class Reading(NamedTuple):
    """What a message brings to this room, how it says it, and where it stands in the talk.

    `new` counts content words that the room has not seen, `novelty` is their share. `numbers` are
    new ones that count as facts, without counters; `facts` is the sum of these, `links` and `code`.
    `likeness` is to the most similar of the last messages; `is_masked`: it is said again, but for
    a counter. `courtesy` and `heat` are how much of it is courtesy, and praise or enthusiasm.
    `is_receipt`: it is the sender's first since somebody else brought news, `is_answer`: since
    that one asked; `is_report`: it is a line about work; `is_log`: nobody else has talked of late;
    `warm_before` are the sender's warm messages before it.
    """

    new: int
    novelty: float
    numbers: int
    links: int
    code: int
    facts: int
    asks: bool
    likeness: float
    is_masked: bool
    courtesy: float
    heat: float
    is_receipt: bool
    is_answer: bool
    is_report: bool
    is_log: bool
    warm_before: int


NO_SIGNALS = Signals()


def clip(value: float) -> float:
    return 0.0 if value <= 0.0 else 1.0 if value >= 1.0 else value


def courtesy_of(of: Features, new_words: int, novelty: float, asks: bool) -> float:
    """How much of the message is courtesy, whatever facts stand beside it."""
    if not of.density:
        return 0.0
    if of.words <= SHORT_WORDS:
        covered = clip((of.coverage - 0.3) / 0.3) if of.density >= 0.08 else 0.0
        value = max(covered, clip(of.density / 0.18))
        if new_words > 8:
            value *= 0.4
    else:
        value = clip((of.density - 0.03) / 0.05) * clip((0.40 - novelty) / 0.15)
    return value * 0.5 if asks else value


def heat_of(of: Features) -> float:
    """How much of the message is praise or enthusiasm."""
    warm = clip((of.warmth - WARMTH_BELOW) / WARMTH_RANGE) if of.warmth else 0.0
    if of.loudness <= 0.5 or of.words < LOUD_WORDS:
        return warm
    return max(warm, LOUD_HEAT * (2 * of.loudness - 1))


def is_report(of: Features, courtesy: float, heat: float, is_polled: bool) -> bool:
    """Whether it is a line about work, which may well be said again and again.

    It says or asks whether work is under way, names a file, or is a bare question or the bare
    answer to one.
    """
    if not 0 < of.words <= LINE_WORDS or heat >= HOT:
        return False
    if of.status >= STATUS and of.status >= of.density:
        return True
    return courtesy < POLITE and (bool(of.links) or of.asks != is_polled)


def is_decoration(read: Reading) -> bool:
    """Whether its question or its number only carries praise on."""
    if read.heat < HOT or read.links or read.code or read.numbers > 1:
        return False
    return read.heat >= 1.0 or read.warm_before >= 2


def signals_of(of: Features, read: Reading) -> Signals:
    weight = _weight(read)
    echo = weight if of.words <= LINE_WORDS or read.is_log else 1.0
    return Signals(
        echo * _repeat(read) if read.likeness > UNLIKE else 0.0,
        weight * _minimal(of, read),
        0.0 if read.facts else _either(weight * read.courtesy, _praise(of, read)),
        echo * _stale(of, read),
        _degenerate(of, read),
    )


def _either(one: float, other: float) -> float:
    return one + other - one * other


def keeps(of: Features, read: Reading, decorates: bool) -> float:
    """The share of a score that outlasts a message without signals, 0 to 1."""
    if read.facts or read.asks:
        is_polite = read.courtesy >= POLITE and of.density >= 0.25
        return POLITE_PROGRESS_KEEPS if is_polite or decorates else PROGRESS_KEEPS
    is_plain = of.density < 0.05 and of.warmth < WARM
    if is_plain and read.new >= 3 and read.novelty >= 0.4:
        return SUBSTANCE_KEEPS
    return 1.0


def _weight(read: Reading) -> float:
    """What a short or courteous message counts, by its place in the talk."""
    if read.is_report or read.is_log:
        return REPORT_WEIGHT
    if read.is_answer or (read.is_receipt and read.courtesy >= POLITE):
        return RECEIPT_WEIGHT
    return 1.0


def _repeat(read: Reading) -> float:
    value = clip((read.likeness - UNLIKE) / 0.40)
    if read.code >= 2 or read.links:
        value *= 0.3
    if read.numbers:
        value *= 0.2
    return value


def _minimal(of: Features, read: Reading) -> float:
    if read.new > 1 or len(of.content) > 2 or read.facts or read.asks:
        return 0.0
    return 0.7 if read.new else 0.9


def _praise(of: Features, read: Reading) -> float:
    """Praise that goes on and on, though its words are new each time."""
    if not read.heat or not read.warm_before:
        return 0.0
    hot = clip((of.warmth - 0.2) / 0.1)  # nothing but exclamations
    lasting = clip(read.warm_before / (LASTING - 1 if hot else LASTING))
    known = max(clip((1.0 - read.novelty) / 0.2), hot)
    weight = PRAISE_WEIGHT * 0.5 if read.asks else PRAISE_WEIGHT
    return weight * lasting * known * read.heat


def _stale(of: Features, read: Reading) -> float:
    if read.novelty >= 0.22 or len(of.content) < MIN_STALE_WORDS:
        return 0.0
    if read.numbers or read.links or read.code >= 2:
        return 0.0
    value = clip((0.22 - read.novelty) / 0.16)
    return value * 0.6 if read.asks else value


def _degenerate(of: Features, read: Reading) -> float:
    if of.packing < DEGENERATE_PACKING:
        return 0.0
    limit = HOPELESS_PACKING if read.facts >= 3 else DEGENERATE_PACKING
    return float(of.packing >= limit)
