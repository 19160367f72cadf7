"""What a backend counts of itself: plain numbers, which `metrics.py` shows to Prometheus."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from room_mcp.rooms.guard import Level
from room_mcp.store.measuring import SECONDS, Spreads, StoreMeasures, Tally

# How a wait ended.
WOKEN, TIME, DRAINED, LEFT, REFUSED = "woken", "time", "drained", "left", "refused"


@dataclass(frozen=True, slots=True)
class Measures:
    """Counts since the process began. None has a label for a room or a member: there may be any
    number of them, and who reads figures need not know them.

    `posts` are by what became of them; `refusals` by code; `requests` by method, route and status;
    `waits` by how they ended; `guard` by the level that a message reached; `wakes` are seconds.
    """

    store: StoreMeasures = field(default_factory=StoreMeasures)
    requests: Tally = field(default_factory=Tally)
    refusals: Tally = field(default_factory=Tally)
    posts: Tally = field(default_factory=Tally)
    guard: Tally = field(default_factory=Tally)
    waits: Tally = field(default_factory=Tally)
    wakes: Spreads = field(default_factory=lambda: Spreads(SECONDS))

    def stored(self, level: Level) -> None:
        """A message was stored, and the guard found this about it."""
        self.posts.add("stored")
        self.guard.add(level.name.lower())

    def not_stored(self, code: str, status: int) -> None:
        """A message was not stored, and its sender was told so."""
        self.posts.add("refused" if status < 500 else "failed")
        if code == "hushed":
            self.guard.add(Level.HUSH.name.lower())

    def woken(self, room_ids: Collection[str], slept_at: float) -> None:
        """A wait has found something; if this process committed it, the time since is known."""
        committed_at = self.store.committed_at(room_ids)
        if committed_at is not None and committed_at >= slept_at:
            self.wakes.add(time.monotonic() - committed_at)
