"""`room-mcp doctor`: checks this installation from the file on disk to a real conversation."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from . import FAILED

if TYPE_CHECKING:
    from room_mcp.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"


class Finding(NamedTuple):
    """What one check found. `advice` is what to do; empty when nothing has to be done."""

    check: str
    status: str
    detail: str
    advice: str = ""
    took_ms: float | None = None


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when nothing failed."""
    found: list[Finding] = []
    for finding in findings():
        found.append(finding)
        if not args.json:
            _print(finding)
    failed = sum(finding.status == FAIL for finding in found)
    warned = sum(finding.status == WARN for finding in found)
    if args.json:
        print(json.dumps({"ok": not failed, "checks": [_row(one) for one in found]}, indent=2))
    else:
        print(f"{failed} failed, {warned} to look at, {len(found) - failed - warned} ok.")
    return FAILED if failed else 0


def findings() -> Iterator[Finding]:
    """What each check finds, one after another."""
    from room_mcp.settings import Settings, SettingsError
    from room_mcp.store_address import is_database

    from . import checks, handshake

    yield checks.python()
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        yield Finding("settings", FAIL, str(error), "Correct the environment, then try again.")
        return
    embedded = (checks.sqlite, checks.lock)
    if settings.url:
        embedded = ()
    elif is_database(settings.store):
        embedded = (checks.postgres,)
    for check in (
        checks.home,
        *embedded,
        checks.backend,
        checks.launch,
        checks.hosts,
        handshake.legacy,
        handshake.modern,
    ):
        yield timed(check, settings)


def timed(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    """The finding of a check with the time it took, if it has measured none itself."""
    began = time.perf_counter()
    try:
        finding = check(settings)
    except OSError as error:
        name = check.__name__
        finding = Finding(name, FAIL, f"It could not be checked: {error}.", "Check permissions.")
    if finding.took_ms is not None:
        return finding
    return finding._replace(took_ms=round((time.perf_counter() - began) * 1_000, 1))


def _print(finding: Finding) -> None:
    from room_mcp.plain import one_line

    took = "" if finding.took_ms is None else f" ({finding.took_ms:.0f} ms)"
    print(f"{finding.status:<5}{finding.check}: {one_line(finding.detail)}{took}", flush=True)
    if finding.advice:
        print(f"     → {one_line(finding.advice)}", flush=True)


def _row(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "status": finding.status,
        "detail": finding.detail,
        "advice": finding.advice,
        "tookMs": finding.took_ms,
    }
