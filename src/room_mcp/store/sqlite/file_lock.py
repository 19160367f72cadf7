"""The lock that write transactions of all processes on one store queue for.

SQLite's own busy handler sleeps and polls, and starves whole processes under load; waiters for
this lock are woken by the kernel. It is a file of its own, because closing a descriptor of the
database file would drop the locks that SQLite holds on it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..interface import StoreUnavailable

try:
    import fcntl
except ImportError:
    raise StoreUnavailable(
        "The SQLite store is not supported on Windows yet.",
        advice="Run room-mcp under WSL, or set ROOM_MCP_URL to a server that runs elsewhere.",
    ) from None


class FileLock:
    """An exclusive lock that dies with its holder; one per store and process, for one thread."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        """Wait for the lock, however long that takes."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)
