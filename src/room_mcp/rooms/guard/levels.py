"""From which score on the room does what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAX_SCORE = 12.0


class Level(IntEnum):
    """What the room does about a loop; higher is stronger."""

    OBSERVE = 0
    NOTICE = 1
    QUIET = 2
    HUSH = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The lowest score of each level, 0 to MAX_SCORE; one message adds at most 1."""

    notice: float = 4.0
    quiet: float = 6.0
    hush: float = 9.0

    def level(self, score: float) -> Level:
        if score >= self.hush:
            return Level.HUSH
        if score >= self.quiet:
            return Level.QUIET
        return Level.NOTICE if score >= self.notice else Level.OBSERVE
