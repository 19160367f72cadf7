"""What the next message may take up: news, a question, a report of work under way."""

from __future__ import annotations

from sys import getsizeof
from typing import Any

from .voices import MAX_VOICES

REPORT_LASTS = 3  # messages, in which somebody may yet wait for the work


class Floor:
    """Who brought the last news, who has talked since, and whether work was reported of late."""

    __slots__ = ("_asked", "_by", "_heard", "_polled_by", "_reported")

    def __init__(self) -> None:
        self._by: str | None = None  # sender of the last news
        self._asked = False  # whether it was a question
        self._heard: dict[str, None] = {}  # who has talked since, the sender among them
        self._polled_by: str | None = None  # sender of the last message, if a bare question
        self._reported = 0  # messages in which a report still lasts

    @property
    def has_report(self) -> bool:
        return self._reported > 0

    @property
    def size_bytes(self) -> int:
        """Estimated from above, names counted anew."""
        return 600 + sum(100 + getsizeof(name) for name in self._heard)

    def awaits(self, sender: str) -> bool:
        """Whether there is news of somebody else that the sender has not taken up."""
        return self._by is not None and sender not in self._heard

    def awaits_answer(self, sender: str) -> bool:
        return self._asked and self.awaits(sender)

    def is_polled(self, sender: str) -> bool:
        """Whether the message before was somebody else's bare question."""
        return self._polled_by is not None and self._polled_by != sender

    def take(self, sender: str, news: bool, asks: bool, report: bool, poll: bool) -> None:
        """Remember a message. A report is news to those who wait for the work."""
        if news or report:
            self._by, self._asked, self._heard = sender, asks, {}
        elif len(self._heard) >= MAX_VOICES:
            self._heard = {}
        self._heard[sender] = None
        self._polled_by = sender if poll else None
        self._reported = REPORT_LASTS if report else max(0, self._reported - 1)

    def snapshot(self) -> list[Any]:
        return [self._by, self._asked, list(self._heard), self._polled_by, self._reported]

    @classmethod
    def restore(cls, kept: list[Any]) -> Floor:
        floor = cls()
        floor._by, floor._asked, heard, floor._polled_by, floor._reported = kept
        floor._heard = dict.fromkeys(heard)
        return floor
