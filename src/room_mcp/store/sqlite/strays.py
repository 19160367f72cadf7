"""The WAL of a database that was moved away or replaced, beside the one that is there now.

SQLite takes whatever WAL it finds for that of the database beside it: it shows what is in it, and
with the next checkpoint writes it there, which destroys that database. So it is set aside before
SQLite opens anything. It is kept: the old database may lie elsewhere, and miss what is in it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from .file_lock import FileLock
from .files import Place

logger = logging.getLogger(__name__)


def has_strays(path: Path) -> bool:
    """Whether there is such a WAL, or its index, beside a store; for those without its lock."""
    try:
        note = path.with_name(path.name + ".lock").read_bytes()
    except OSError:
        return False  # nobody ever wrote here
    return any(Place(path).strays(note))


def set_strays_aside(path: Path, lock: FileLock) -> None:
    """Leave nothing beside the store that belongs to another; the lock is held.

    Raises:
        StoreUnavailable: It cannot be renamed, and would spoil what is opened beside it.
    """
    place = Place(path)
    wal, shm = place.strays(lock.noted())
    if wal:
        aside = place.set_wal_aside()
        if aside is not None:
            logger.warning(
                "Another database was put in place of %s. What was only in the WAL of the one "
                "before is now in %s.",
                path,
                aside,
            )
    place.remove_wal(wal=False, shm=shm)
    if wal or shm:
        # Numbers are given again: a new WAL with the number of this one is no stray.
        lock.forget()
