"""How far the clock of this machine is from that of the database, by which all nodes count."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

SERIOUS = timedelta(seconds=1)  # clocks that are kept by NTP differ by milliseconds
NOTHING = timedelta(0)

logger = logging.getLogger(__name__)


def now() -> datetime:
    """What the clock of this machine says."""
    return datetime.now(UTC)


class Clocks:
    """The clock of the database beside the one of this machine."""

    def __init__(self) -> None:
        self.ahead = NOTHING
        """By how much that of the database is ahead; less where the way there may be the reason."""
        self._was_told = False

    def compare(self, asked_at: datetime, there: datetime) -> None:
        """Told what the database said when it was asked just now.

        Args:
            asked_at: When, by the clock of this machine.
            there: The answer.
        """
        self.ahead = min(there - asked_at, NOTHING) + max(there - now(), NOTHING)
        doubt = self.doubt
        if doubt and not self._was_told:
            logger.warning("%s Let NTP keep them.", doubt)
        self._was_told = bool(doubt)

    @property
    def doubt(self) -> str:
        """What a person should know; empty when there is nothing."""
        if abs(self.ahead) <= SERIOUS:
            return ""
        way = "ahead of" if self.ahead > NOTHING else "behind"
        seconds = abs(self.ahead).total_seconds()
        return f"The clock of the database is {seconds:.0f} s {way} that of this machine."
