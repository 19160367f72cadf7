"""The five signals of a message without progress, each 0 to 1."""

from __future__ import annotations

from typing import NamedTuple

from .features import Features

SHORT_WORDS = 60  # up to here a text is judged by its share of courtesy alone
FLAGGED = 0.25  # a signal from here on counts
COUNTER_COURTESY = 0.25  # beside so much courtesy a counter is no fact
MIN_ASK_WORDS = 3  # new content words that make a question one
MIN_STALE_WORDS = 4
DEGENERATE_PACKING = 5.0  # a log or a table reaches it, too, but brings facts
HOPELESS_PACKING = 12.0  # nothing but a stuck generator
ANSWER_WEIGHT = 0.4  # of a short or courteous message that answers a question
WARM = 0.06  # share of words of praise that makes a message warm
PRAISE_WEIGHT = 0.7  # at most this much by praise alone: it must last long to close a room

PROGRESS_KEEPS = 0.3  # of a score, after a fact or a question
POLITE_PROGRESS_KEEPS = 0.6  # after a stray number or question in a courtesy
SUBSTANCE_KEEPS = 0.6  # after plain talk in new words


class Signals(NamedTuple):
    """What speaks for a loop; the largest one counts."""

    repeat: float = 0.0
    minimal: float = 0.0
    courtesy: float = 0.0
    stale: float = 0.0
    degenerate: float = 0.0


class News(NamedTuple):
    """What a message brings that the room has not seen.

    `novelty` is new content words over content words; `numbers` are those that count as facts,
    without counters behind a courtesy; `facts` is the sum of these, `links` and `code`; `likeness`
    is to the most similar of the last messages; `answers`: the message before, of somebody else,
    was a question; `warm_before` are the sender's warm messages in a row before this one.
    """

    words: int
    novelty: float
    numbers: int
    links: int
    code: int
    facts: int
    asks: bool
    likeness: float
    answers: bool
    warm_before: int


NO_SIGNALS = Signals()


def clip(value: float) -> float:
    return 0.0 if value <= 0.0 else 1.0 if value >= 1.0 else value


def courtesy_of(of: Features, new_words: int, novelty: float, asks: bool) -> float:
    """How much of the message is courtesy, whatever facts stand beside it."""
    if of.words <= SHORT_WORDS:
        covered = clip((of.coverage - 0.3) / 0.3) if of.density >= 0.08 else 0.0
        value = max(covered, clip(of.density / 0.18))
        if new_words > 8:
            value *= 0.4
    else:
        value = clip((of.density - 0.03) / 0.05) * clip((0.40 - novelty) / 0.15)
    return value * 0.5 if asks else value


def signals_of(of: Features, news: News, courtesy: float) -> Signals:
    weight = ANSWER_WEIGHT if news.answers else 1.0
    return Signals(
        _repeat(news),
        weight * _minimal(of, news),
        0.0 if news.facts else max(weight * courtesy, _praise(of, news)),
        _stale(of, news),
        _degenerate(of, news),
    )


def keeps(of: Features, news: News, courtesy: float) -> float:
    """The share of a score that outlasts a message without signals, 0 to 1."""
    if news.facts or news.asks:
        polite = courtesy >= 0.5 and of.density >= 0.25
        if polite or is_rhetorical(of, news):
            return POLITE_PROGRESS_KEEPS
        return PROGRESS_KEEPS
    plain = of.density < 0.05 and of.warmth < WARM
    if plain and news.words >= 3 and news.novelty >= 0.4:
        return SUBSTANCE_KEEPS
    return 1.0


def is_rhetorical(of: Features, news: News) -> bool:
    """Whether its question only carries praise on."""
    return news.asks and not news.facts and of.warmth >= 2 * WARM


def _praise(of: Features, news: News) -> float:
    """Praise that goes on and on, though its words are new each time."""
    if of.warmth < WARM or not news.warm_before:
        return 0.0
    hot = clip((of.warmth - 0.2) / 0.1)  # nothing but exclamations
    lasting = max(clip((news.warm_before - 1) / 2), hot * clip(news.warm_before / 2))
    known = max(clip((1.0 - news.novelty) / 0.3), hot)
    weight = PRAISE_WEIGHT * 0.5 if news.asks else PRAISE_WEIGHT
    return weight * lasting * known * clip((of.warmth - WARM) / 0.1)


def _degenerate(of: Features, news: News) -> float:
    limit = HOPELESS_PACKING if news.facts >= 3 else DEGENERATE_PACKING
    return float(of.packing >= limit)


def _repeat(news: News) -> float:
    if news.likeness <= 0.45:
        return 0.0
    value = clip((news.likeness - 0.45) / 0.40)
    if news.code >= 2 or news.links:
        value *= 0.3
    if news.numbers:
        value *= 0.2
    return value


def _minimal(of: Features, news: News) -> float:
    if len(of.content) > 2 or news.words > 1 or news.facts:
        return 0.0
    return 0.7 if news.words else 0.9


def _stale(of: Features, news: News) -> float:
    if len(of.content) < MIN_STALE_WORDS or news.numbers or news.links or news.code >= 2:
        return 0.0
    value = clip((0.22 - news.novelty) / 0.16)
    return value * 0.6 if news.asks else value
