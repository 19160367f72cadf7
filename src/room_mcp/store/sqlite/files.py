"""Which files a store is in at this moment.

SQLite goes on with the files that it has opened, also after somebody has deleted them or put
others in their place: what it then commits, nobody finds later. So whoever reads or writes looks
first whether the files at the path are still the ones that are open.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..interface import StoreBusy, StoreUnavailable

FileId = tuple[int, int]  # device and inode: nobody else gets them while the file is open


class Files(NamedTuple):
    """None: not there. The -shm file is the index of the WAL."""

    database: FileId | None
    wal: FileId | None
    shm: FileId | None

    def noted(self) -> bytes:
        """As it stands in the lock's file."""
        return json.dumps(self).encode()

    @classmethod
    def from_note(cls, note: bytes) -> Files | None:
        """None: nothing was noted."""
        try:
            return cls(*(None if one is None else (one[0], one[1]) for one in json.loads(note)))
        except (ValueError, TypeError, LookupError):
            return None


class Place:
    """The paths of a store."""

    def __init__(self, path: Path) -> None:
        self._database = str(path)
        self._wal = self._database + "-wal"
        self._shm = self._database + "-shm"

    def files(self) -> Files:
        """What is there now; takes a few microseconds."""
        return Files(file_id(self._database), file_id(self._wal), file_id(self._shm))

    def remove_wal(self, *, wal: bool, shm: bool) -> None:
        """Take away the WAL, its index, or both.

        Raises:
            StoreUnavailable: They cannot be removed, and would spoil what is opened beside them.
        """
        try:
            for name, is_wanted in ((self._wal, wal), (self._shm, shm)):
                if is_wanted:
                    with suppress(FileNotFoundError):
                        os.unlink(name)
        except OSError as error:
            raise StoreUnavailable(
                f"{self._wal} and {self._shm} belong to another file and cannot be removed: "
                f"{error.strerror}.",
                advice="Stop every room-mcp that uses them, and remove these two.",
            ) from error


def file_id(path: str) -> FileId | None:
    """None when nothing is there, or it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def deleted(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} was deleted while it was in use; nothing is stored.",
        advice="Restore a backup (room-mcp restore FILE), or restart every room-mcp to begin anew."
        " Until then what was stored can still be read here.",
    )


def vanished(path: Path) -> StoreBusy:
    return StoreBusy(
        f"Files of {path} vanished, and another process has to save what it has open; "
        "nothing was stored.",
        advice="Try again.",
    )
