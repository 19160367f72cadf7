"""What every demonstration has: a home that is gone afterwards, and an end in plain words."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable

import anyio

from room_mcp.failures import BackendError

WALK_S = 120.0  # it takes seconds; a slow machine with a cold disk still gets through


class DemoFailed(Exception):
    """A step did not do what it shows; the text says which."""


async def played(walk: Callable[[str], Awaitable[None]]) -> int:
    """Give a walk a temporary folder as its home; the exit code."""
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="room-mcp-demo-") as home:
        try:
            with anyio.fail_after(WALK_S):
                await walk(home)
        except* (DemoFailed, BackendError) as errors:
            failed = [str(error) for error in leaves(errors)]
        except* TimeoutError:
            failed = [f"It took more than {WALK_S:g} s."]
    if failed:
        print(f"The demo failed: {' '.join(failed)}", file=sys.stderr)
        return 1
    return 0


def leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """The exceptions inside a group, however deep."""
    found: list[Exception] = []
    for one in group.exceptions:
        found += leaves(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
