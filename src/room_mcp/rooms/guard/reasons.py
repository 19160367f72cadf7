"""A verdict in words, for the agents that it is about."""

from __future__ import annotations

from .memory import Verdict
from .signals import FLAGGED


def reasons(verdict: Verdict) -> str:
    """One sentence: since when, between whom, what was missing, and which signals say so.

    For example "No progress for 6 messages between you and bob: no new number, file, link or
    question (courtesy 0.9)." Empty when the message is no reason for anything.
    """
    if verdict.unprogress < FLAGGED:
        return ""
    many = f"{verdict.dry} messages" if verdict.dry != 1 else "1 message"
    who = f"between you and {verdict.partner}" if verdict.partner else "here"
    seen = sorted(verdict.signals._asdict().items(), key=lambda one: -one[1])
    named = ", ".join(f"{name} {value:.1f}" for name, value in seen if value >= FLAGGED)
    missing = "no new number, file, link or question"
    if verdict.progress:
        return f"Nearly the same again {who}, though something in it is new ({named})."
    return f"No progress for {many} {who}: {missing} ({named})."
