"""A process that stops itself in the midst of a transaction.

    python -m faults.stopping PATH ROOM [IDLE_MS]

It posts and writes down its recording. Told so by a line of its input, it stops (SIGSTOP) at the
next write into the WAL: it holds the file lock then, its act was claimed, and nothing is committed.
Where PATH is the address of a database it stops before the next COMMIT, and holds the room until
the server gives it up, after IDLE_MS if that is told.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import Any

import apsw

from room_mcp.store.opening import open_store

from .child import OPENING, orders, write_out
from .recording import Call, Recording, StoreDoor, post

POSTS = 5  # before and after it stops


def stop_here() -> None:
    """Stop this process, with this thread where it is.

    What is sent to the process goes to its main thread: on a busy machine this one would go on
    until that one runs.
    """
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


class StoppingDisk(apsw.VFS):
    """`is_due`: the next write into a WAL stops the process."""

    def __init__(self) -> None:
        self.is_due = False
        super().__init__("stopping", base="unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: StoppingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._is_wal = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("unix", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # SQLite's name
        if self._is_wal and self._disk.is_due:
            self._disk.is_due = False
            stop_here()
        super().xWrite(data, offset)  # pyright: ignore[reportUnknownMemberType] -- apsw's stub


class StoppingCommits:
    """`is_due`: the next COMMIT that is sent to PostgreSQL stops the process before."""

    def __init__(self, idle_ms: str) -> None:
        from room_mcp.store.postgres import sessions  # late: asyncpg is an extra
        from room_mcp.store.postgres.database import Database

        if idle_ms:
            sessions.SESSION["idle_in_transaction_session_timeout"] = idle_ms
        self.is_due = False
        database: Any = Database
        commit = database.commit

        async def committed(db: Any) -> None:
            if self.is_due:
                self.is_due = False
                stop_here()
            await commit(db)

        database.commit = committed


async def main(path: str, room: str, idle_ms: str = "") -> None:
    disk = StoppingCommits(idle_ms) if "://" in path else StoppingDisk()
    store = open_store(path)
    await store.open()
    write_out(OPENING)
    recording, door, reader = Recording(write_out), StoreDoor(store), await orders()
    stops = 0
    while await reader.readline():
        for number in range(2 * POSTS):
            if number == POSTS:
                disk.is_due = True
            key = f"{stops} {number}"
            await post(door, recording, Call(room, "stopped", key, f"stopped {key}"))
        stops += 1
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
