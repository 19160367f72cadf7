"""The lock that write transactions of all processes on one store queue for.

SQLite's own busy handler sleeps and polls, and starves whole processes under load; waiters for
this lock are woken by the kernel. It is a file of its own, because closing a descriptor of the
database file would drop the locks that SQLite holds on it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..interface import StoreUnavailable
from .files import FileId, file_id

try:
    import fcntl
except ImportError:
    raise StoreUnavailable(
        "The SQLite store is not supported on Windows yet.",
        advice="Run room-mcp under WSL, or set ROOM_MCP_URL to a server that runs elsewhere.",
    ) from None


MAX_NOTE_BYTES = 4096


class FileLock:
    """An exclusive lock that dies with its holder; one per store and process, for one thread.

    When the lock's file was deleted it is made anew: whoever holds the lock holds the one that
    others find.

    Raises:
        StoreUnavailable: The file cannot be made, here or when the lock is taken.
    """

    def __init__(self, path: Path) -> None:
        self.is_new = True  # nothing was noted in this one; it may have been made just now
        self._path = path
        self._fd = -1
        self._open()

    def acquire(self) -> None:
        """Wait for the lock, however long that takes."""
        while not self._took(fcntl.LOCK_EX):
            self._open()

    def try_acquire(self) -> bool:
        try:
            while not self._took(fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._open()
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError:
            self.close()  # lets go as well; the next one who wants it opens the file again

    def note(self, text: bytes) -> None:
        """Write this into the lock's file, for whoever holds the lock later."""
        self.is_new = False
        if self.noted() != text:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text, 0)

    def noted(self) -> bytes:
        """What was written last; empty in a new file, and where the disk was full."""
        try:
            return os.pread(self._fd, MAX_NOTE_BYTES, 0)
        except OSError as error:
            raise self._failed(error) from error

    def forget(self) -> None:
        """Nothing is noted from here on."""
        try:
            os.ftruncate(self._fd, 0)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _took(self, how: int) -> bool:
        """False: locked, but no longer the file that others lock."""
        if self._fd < 0:
            return False
        try:
            fcntl.flock(self._fd, how)
        except BlockingIOError:
            raise
        except OSError as error:
            raise self._failed(error) from error
        return file_id(str(self._path)) == self._id

    def _failed(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path} cannot be locked or read: {error.strerror}.",
            advice="Check the disk, then try again.",
        )

    def _open(self) -> None:
        self.close()
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"The folder {self._path.parent} cannot be written: {error.strerror}.",
                advice=_advice(error),
            ) from error
        self.is_new = True
        found = os.fstat(self._fd)
        self._id: FileId = (found.st_dev, found.st_ino)


def _advice(error: OSError) -> str:
    if error.errno == errno.EROFS:
        return (
            "Make the disk writable, or copy the store to one that is and name it there "
            "(ROOM_MCP_HOME, --store): processes that share a store must be able to lock it."
        )
    if error.errno == errno.ENOENT:
        return "Make it again and restore a backup there: room-mcp restore FILE"
    return "Check its permissions, or name another file (ROOM_MCP_HOME, --store)."
