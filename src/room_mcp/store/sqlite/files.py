"""Which files a store is in at this moment.

SQLite goes on with the files that it has opened, also after somebody has deleted them or put
others in their place: what it then commits, nobody finds later. So whoever reads or writes looks
first whether the files at the path are still the ones that are open.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..interface import StoreBusy, StoreUnavailable

LEFT = ".left-wal-"  # behind the name of the store: a WAL without its database

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

    def strays(self, note: bytes) -> tuple[bool, bool]:
        """Whether the WAL and its index that lie there are those of a database that was there
        before. SQLite would read and write that WAL into whatever database it finds.

        Args:
            note: Of the files that were opened last by any process.
        """
        noted, found = Files.from_note(note), self.files()
        if noted is None or noted.database == found.database:
            return False, False
        wal = found.wal is not None and found.wal == noted.wal
        return wal, found.shm is not None and (wal or found.shm == noted.shm)

    def set_wal_aside(self) -> str | None:
        """Give the WAL a name by which SQLite does not find it.

        Returns:
            The name; None when nothing was in it.

        Raises:
            StoreUnavailable: It cannot be renamed.
        """
        name = aside = f"{self._database}{LEFT}{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        number = 1
        while os.path.exists(aside):
            number += 1
            aside = f"{name}-{number}"
        try:
            os.rename(self._wal, aside)
            if os.stat(aside).st_size == 0:
                os.unlink(aside)
                return None
        except OSError as error:
            raise _in_the_way(self._wal, self._shm, error) from error
        # After a power cut it must not be back, when nobody knows any more whose it is.
        with suppress(OSError):
            _sync(os.path.dirname(aside))
        return aside

    def left(self, wal: FileId | None) -> str | None:
        """The name that this WAL was given when it was set aside."""
        folder, name = os.path.split(self._database)
        for one in os.listdir(folder or "."):
            at = os.path.join(folder, one)
            if one.startswith(name + LEFT) and wal is not None and file_id(at) == wal:
                return at
        return None

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
            raise _in_the_way(self._wal, self._shm, error) from error


def file_id(path: str) -> FileId | None:
    """None when nothing is there, or it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _sync(folder: str) -> None:
    descriptor = os.open(folder or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_the_way(wal: str, shm: str, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"{wal} and {shm} belong to another file and cannot be removed: {error.strerror}.",
        advice="Stop every room-mcp that uses them, and move these two away.",
    )


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
