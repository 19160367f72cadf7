"""A disk whose syncs take longer: an SQLite VFS above the real one.

While it is there, it is the VFS of every database that is opened, so the code that is measured
does not know of it. Only `xSync` is Python; but apsw takes the interpreter's lock for every read
and write of a file, which cost 5 to 15 % of the rate without any delay. Compare only what ran on
it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import apsw

CLOSING_S = 30.0  # what the threads of a closed store take at most, on a busy machine


class SlowDisk(apsw.VFS):
    """Each sync takes `delay_s` longer; the thread sleeps, and other threads go on."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        super().__init__("slow", base="unix", makedefault=True)

    def xOpen(self, name, flags):  # SQLite's name
        return _File(self.delay_s, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, delay_s: float, name, flags) -> None:
        self._delay_s = delay_s
        super().__init__("unix", name, flags)

    def xSync(self, flags):  # SQLite's name
        super().xSync(flags)
        time.sleep(self._delay_s)


@contextmanager
def slow_disk(delay_s: float) -> Generator[SlowDisk]:
    """Databases opened meanwhile are on this disk; close them before the end."""
    disk = SlowDisk(delay_s)
    try:
        yield disk
    finally:
        for thread in threading.enumerate():
            # A store's threads end behind its `aclose`, and a VFS must outlive its last file.
            if thread.name.startswith("room-mcp "):
                thread.join(CLOSING_S)
        disk.unregister()
