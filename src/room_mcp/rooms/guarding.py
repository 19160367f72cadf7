"""What a room does about a sender who talks without progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .contract import Contract, GuardRules
from .guard import Level, Verdict, reasons
from .refusals import Hushed

REARM_MESSAGES = 8  # of the room, after which a sender is told again
HUSH_AFTER_NOTICES = 2


class Standing(NamedTuple):
    """Where a member stands with the guard after his last message.

    `score` is 0 to 12, `dry` counts messages since the last fact or question; `notices` were
    given to him in this loop, the last at seq `noticed_at` about `level`.
    """

    score: float = 0.0
    dry: int = 0
    notices: int = 0
    level: int = 0
    noticed_at: int = 0


AT_REST = Standing()


class Judged(NamedTuple):
    """`notice` is for the sender, in words; empty: nothing to say. `is_quiet`: wakes nobody.

    `standing` is None where it is as before. `is_stalled`: the room has to close over it.
    """

    standing: Standing | None
    notice: str = ""
    is_quiet: bool = False
    is_stalled: bool = False


AS_BEFORE = Judged(None)
BEGUN_ANEW = Judged(AT_REST)


def judged(
    contract: Contract,
    verdict: Verdict,
    before: Standing,
    *,
    type: str,
    seq: int,
    is_held: bool,
    may_hush: bool,
    others_wait: bool,
    passing: Sequence[str],
) -> Judged:
    """What follows from the guard's verdict on a message.

    Args:
        passing: What the sender can do that is never held back, in words.
        is_held: Whether it is free text, which may be held back.
        may_hush: Whether his notices can have reached him.
        others_wait: Whether somebody outside the loop waits for work or an answer.

    Raises:
        Hushed: The message is refused; it brings nothing after two notices.
    """
    rules = contract.guard
    level = _level(rules, verdict)
    if level is Level.OBSERVE:
        # What is not scored does not end a loop, and does not make the next notice due.
        told = before if verdict.score >= rules.thresholds.notice else Standing()
        return Judged(told._replace(score=verdict.score, dry=verdict.dry))
    is_told = may_hush and before.notices >= HUSH_AFTER_NOTICES
    is_stalled = level is Level.HUSH and is_told and is_held and not others_wait
    if is_stalled and rules.on_stall != "close":
        raise _hushed(verdict, type, passing)
    is_quiet = level >= Level.QUIET and is_held
    shown = Level.QUIET if is_quiet else Level.NOTICE
    is_due = shown > before.level or seq - before.noticed_at >= REARM_MESSAGES
    standing = Standing(
        verdict.score, verdict.dry, before.notices, max(shown, before.level), before.noticed_at
    )
    if is_due:
        standing = standing._replace(notices=before.notices + 1, noticed_at=seq)
    notice = ""
    if is_due or is_quiet:
        notice = f"{_seen(verdict)} {_consequence(passing, is_quiet=is_quiet)}"
    return Judged(standing, notice, is_quiet, is_stalled)


def _level(rules: GuardRules, verdict: Verdict) -> Level:
    if not verdict.scored or verdict.progress:
        level = rules.thresholds.level(verdict.score)
        return min(level, Level.NOTICE) if verdict.scored else Level.OBSERVE
    highest = {"notice": Level.NOTICE, "quiet": Level.QUIET}.get(rules.on_stall, Level.HUSH)
    return min(rules.thresholds.level(verdict.score), highest)


def _seen(verdict: Verdict) -> str:
    return reasons(verdict) or (
        f"The last {verdict.dry} messages here brought no new number, file, link or question."
    )


def _consequence(passing: Sequence[str], *, is_quiet: bool) -> str:
    if not is_quiet:
        return f"Nothing was blocked. Bring something new{_or(passing)}, or stop."
    return (
        "Stored, but it wakes nobody, and so will nothing of that kind until it brings a fact. "
        f"Bring something new{_or(passing)}, or stop."
    )


def _or(passing: Sequence[str]) -> str:
    return "".join(f", {one}" for one in passing)


def _hushed(verdict: Verdict, type: str, passing: Sequence[str]) -> Hushed:
    return Hushed(
        f"{_seen(verdict)} You were told; this {type} is not stored.",
        advice="Send something with a fact (a number, file, link, code, or a new question)"
        f"{_or(passing)}; or stop and tell your user.",
        score=round(verdict.score, 1),
        dry=verdict.dry,
    )
