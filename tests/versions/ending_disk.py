"""A disk on which everything ends at some write: an SQLite VFS above the real one.

As a program, it opens copies of a store on such disks, one after the other, each time in a process
that dies by kill -9 some writes later, until one lives: python ending_disk.py FILE
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import apsw

STEP = 4  # writes between two ends: a migration makes dozens, and each end takes time


class EndingDisk(apsw.VFS):
    """Lets so many writes through, then calls `end` before each."""

    def __init__(self, writes: int, end: Callable[[], None]) -> None:
        self._left = writes
        self._end = end
        super().__init__("ending", base="unix", makedefault=True)

    def xOpen(self, name, flags):  # SQLite's name
        return _File(self, name, flags)

    def take(self) -> None:
        if self._left == 0:
            self._end()
        else:
            self._left -= 1

    @property
    def has_ended(self) -> bool:
        return self._left == 0


class _File(apsw.VFSFile):
    def __init__(self, disk: EndingDisk, name, flags) -> None:
        self._disk = disk
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # SQLite's name
        self._disk.take()
        super().xWrite(data, offset)

    def xSync(self, flags):  # SQLite's name
        self._disk.take()
        super().xSync(flags)


@contextmanager
def full_after(writes: int) -> Iterator[EndingDisk]:
    """Databases opened meanwhile are on a disk that is full after so many writes."""

    def refuse() -> None:
        raise apsw.FullError("no space left")

    disk = EndingDisk(writes, refuse)
    try:
        yield disk
    finally:
        disk.unregister()


def main(path: Path) -> None:
    from room_mcp.store.opening import open_store

    async def open_and_close(copy: Path) -> None:
        store = open_store(copy)
        await store.open()
        await store.aclose()

    for writes in count(step=STEP):
        copy = path.with_name(f"{writes}.db")
        shutil.copy(path, copy)
        child = os.fork()  # quicker than a new process, which had to import everything again
        if child == 0:
            disk = EndingDisk(writes, lambda: os.kill(os.getpid(), signal.SIGKILL))
            asyncio.run(open_and_close(copy))
            disk.unregister()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(copy, os.waitstatus_to_exitcode(status), flush=True)
        if status == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
