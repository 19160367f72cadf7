"""Says whether what a program takes of its machine grows, from samples taken while it works.

What fills up once (caches, pools, the heap of a new process) fills up in the first quarter, which
is not judged. Of the rest, the second quarter is held against the last.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MINUTE_S = 60
MIN_SAMPLES = 16  # below it a quarter has no median worth the name


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure may rise by, between the second and the last quarter.

    Args:
        share: Of what it was in the second quarter.
        slack: That much more, in the figure's own unit.
        ceiling: What no single sample may be above.
    """

    share: float = 0
    slack: float = 0
    ceiling: float | None = None


class Sample(NamedTuple):
    """Figures by name, `at_s` seconds after the begin."""

    at_s: float
    figures: Mapping[str, float]


def growth(samples: Sequence[Sample], limits: Mapping[str, Limit]) -> list[str]:
    """What grows beyond its limit; empty: all is flat."""
    if len(samples) < MIN_SAMPLES:
        return [f"{len(samples)} samples are too few to tell what grows; let it run longer"]
    return [found for name, limit in limits.items() for found in _growth(name, samples, limit)]


def _growth(name: str, samples: Sequence[Sample], limit: Limit) -> Iterator[str]:
    points = [(at_s, figures[name]) for at_s, figures in samples]
    highest = max(value for _, value in points)
    if limit.ceiling is not None and highest > limit.ceiling:
        yield f"{name} was {highest:,.1f}, which is above {limit.ceiling:,.1f}"
    begin, end = points[0][0], points[-1][0]
    quarter_s = (end - begin) / 4
    judged = [(at, value) for at, value in points if at >= begin + quarter_s]
    before = statistics.median(value for at, value in judged if at < begin + 2 * quarter_s)
    after = statistics.median(value for at, value in judged if at >= end - quarter_s)
    slope = statistics.linear_regression(*zip(*judged, strict=True)).slope
    # A burst at one end moves the line, but no median; a step to and fro the other way round.
    rise = min(after - before, slope * 2 * quarter_s)
    if rise > limit.share * before + limit.slack:
        yield (
            f"{name} grows: {before:,.1f} in the second quarter, {after:,.1f} in the last, "
            f"{slope * MINUTE_S:+,.2f} a minute"
        )


def table(samples: Sequence[Sample]) -> Iterator[str]:
    """The median of each figure by minute, as lines of text."""
    names = list(samples[0].figures)
    yield "minute  " + "  ".join(names)
    minutes: dict[int, list[Sample]] = {}
    for sample in samples:
        minutes.setdefault(int(sample.at_s // MINUTE_S) + 1, []).append(sample)
    for minute, taken in minutes.items():
        cells = (
            f"{statistics.median(one.figures[name] for one in taken):,.1f}".rjust(len(name))
            for name in names
        )
        yield f"{minute:>6}  " + "  ".join(cells)
