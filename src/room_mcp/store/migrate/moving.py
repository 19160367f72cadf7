"""The whole move: passes while others write, one last pass while nobody does, and the change-over.

The source is left before the target can be used: whatever happens in between, the rooms are never
in two places. Run again, the move goes on where it was.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from room_mcp.store_address import is_database, named

from ..interface import StoreError
from ..moved import moved_to, must_be_here
from ..opening import asyncpg_wanted, file_at
from .copying import Copying, Progress
from .tables import Facts, Source, Target

MAX_PASSES = 10  # then somebody writes faster than is copied; the last pass takes the longer
FEW = 1_000  # messages, or rooms: copied while the others wait, in well below a second


class Moved(NamedTuple):
    """What the target holds; `blocked_s` is how long nobody could write. All is None of a move
    that had only to be ended."""

    rooms: int | None
    messages: int | None
    passes: int
    blocked_s: float


async def move(
    from_: str | Path, to: str | Path, *, at: datetime | None = None, progress: Progress
) -> Moved:
    """Move all rooms, and all that goes with them, into another store, and leave the first.

    Ids, numbers, keys and the epoch stay the same, so that clients go on with what they know.

    Args:
        from_: `postgresql://…`, or a file.
        to: The other of the two; an empty database, or a file that is not there.

    Raises:
        StoreUnavailable, StoreBusy: With advice. The source is as it was.
        StoreError: What was copied is not the same; nothing was moved.
    """
    source, target = source_at(from_), target_at(to)
    at = at or datetime.now(UTC)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(source.aclose)
        await source.open()
        async with source.seen():
            identity = identity_of(await source.facts())
            left = await source.left()
        if left and not await target.is_filled_from(identity, moved_to(left) or ""):
            must_be_here(left)
        stack.push_async_callback(target.aclose)
        await target.open(identity)
        moved = Moved(None, None, 0, 0.0)
        if not left:
            moved = await _moved(source, target, identity, at, progress, named(to))
        await target.finish(at)
    return moved


async def _moved(
    source: Source, target: Target, identity: str, at: datetime, progress: Progress, where: str
) -> Moved:
    copying = Copying(source, target, progress)
    passes = 1
    while passes < MAX_PASSES:
        async with source.seen():
            await _must_be(source, identity)
            copied = await copying.go()
        passes += 1
        if copied.rooms <= FEW and copied.messages <= FEW:
            break
    async with source.held():
        began = time.monotonic()
        await _must_be(source, identity)
        await copying.go()
        await copying.end()
        await target.note_left(where)
        await source.leave(where, at)
    total = copying.total
    return Moved(total.rooms, total.messages, passes, time.monotonic() - began)


async def _must_be(source: Source, identity: str) -> None:
    """Raises StoreError when somebody else has moved the rooms meanwhile, or has put a backup in
    their place: numbers mean others now."""
    must_be_here(await source.left())
    if identity_of(await source.facts()) != identity:
        raise StoreError(
            f"{source.where} was restored from a backup meanwhile.",
            advice="Empty the target, and begin anew.",
        )


def identity_of(facts: Facts) -> str:
    """What tells one store from others, and nothing about its secret."""
    return hashlib.sha256(f"{facts.epoch} {facts.secret}".encode()).hexdigest()


# ---- the engines --------------------------------------------------------------------------------


def source_at(address: str | Path) -> Source:
    """The store there, not open yet."""
    if is_database(address):
        with asyncpg_wanted():
            from ..postgres.moving import PostgresSource

        return PostgresSource(str(address))
    from ..sqlite.care.moving import SqliteSource

    return SqliteSource(file_at(address))


def target_at(address: str | Path) -> Target:
    """What is to become a store there; nothing is made before its `open`."""
    if is_database(address):
        with asyncpg_wanted():
            from ..postgres.moving import PostgresTarget

        return PostgresTarget(str(address))
    from ..sqlite.care.moving import SqliteTarget

    return SqliteTarget(file_at(address))
