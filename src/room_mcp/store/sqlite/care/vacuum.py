"""Giving the disk back what the store does not need any more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from ..connection import must_be_sound
from ..schema import open_locked
from . import places
from .backup import said_plainly
from .places import beside

MERGED_PAGES = 256  # of the full-text index at a time, some ten milliseconds


class Vacuumed(NamedTuple):
    """Sizes with the WAL; `blocked_s` is how long writers had to wait, at most.

    `is_settled` is False while somebody reads what was there before: what was freed is the disk's
    only when he has ended, with the next vacuum.
    """

    before_bytes: int
    after_bytes: int
    is_settled: bool
    blocked_s: float


def vacuum(store: Path) -> Vacuumed:
    """Write the store anew without gaps, under the lock that writers queue for.

    The full-text index is merged first, in steps between which others write. The new file is
    made beside the store, and takes its place in one transaction: readers go on all the while.

    Raises:
        StoreUnavailable, StoreBusy: With advice; the store is as it was.
    """
    must_be_sound()
    places.must_exist(store)
    files = (store, beside(store, "-wal"))
    before = places.size_bytes(files)
    places.must_have_space(store.parent, 2 * before)
    with said_plainly(store, store):
        blocked_s = _merge_words(store)
        with places.workplace(store) as folder, places.locked(store) as since:
            db = open_locked(store).db
            try:
                db.run("VACUUM INTO ?", (str(folder / "rooms.db"),))
            finally:
                db.close()
            is_settled = places.put_in_place(folder / "rooms.db", store)
            after = places.size_bytes(files)
            blocked_s = max(blocked_s, time.monotonic() - since)
    return Vacuumed(before, after, is_settled, blocked_s)


def _merge_words(store: Path) -> float:
    """Merge the full-text index into one part; the longest time that a step took."""
    longest_s = 0.0
    pages = -MERGED_PAGES  # once, to begin with all parts; then it goes on
    is_left = True
    while is_left:
        with places.locked(store) as since:
            db = open_locked(store).db
            try:
                before = db.changed_rows()
                db.run("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
                is_left = db.changed_rows() - before >= 2  # SQLite's sign that there is more
            finally:
                db.close()
            longest_s = max(longest_s, time.monotonic() - since)
        pages = MERGED_PAGES
    return longest_s
