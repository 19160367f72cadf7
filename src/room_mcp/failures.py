"""How a call to the backend can fail, in the words of its client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BackendError(Exception):
    """The backend did not do what was asked; `advice` says what a caller can do."""

    def __init__(self, detail: str, advice: str = "") -> None:
        super().__init__(f"{detail} {advice}".strip())
        self.detail = detail
        self.advice = advice


class BackendRefused(BackendError):
    """A rule said no, and nothing changed. `facts` is the whole problem document."""

    def __init__(self, status: int, facts: Mapping[str, Any]) -> None:
        super().__init__(str(facts.get("detail", "")), str(facts.get("advice", "")))
        self.status = status
        self.code = str(facts.get("code", ""))
        self.facts = facts


class BackendUnreachable(BackendError):
    """No usable answer; nothing was stored, or nothing was asked to be."""


class NotTrusted(BackendUnreachable):
    """The server shows a certificate that is not trusted; nothing was sent."""


class OutcomeUnknown(BackendError):
    """The message may have been stored. Retry with the same idempotency key."""


class NotOurs(BackendUnreachable):
    """Something answered that is no backend of this contract.

    `status` is the HTTP status that it gave, `facts` its JSON if there was some.
    """

    def __init__(
        self, detail: str, advice: str = "", *, status: int, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail, advice)
        self.status = status
        self.facts = facts

    @property
    def accepted(self) -> bool:
        """Whether it said that it did what was asked."""
        return 200 <= self.status < 300
