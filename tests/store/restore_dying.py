"""Restores a backup, and kills itself before a certain write to the store: PATH BACKUP WRITES

Says how many writes there were, if it comes to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import apsw

from room_mcp.store.sqlite.care.restore import restore


class DyingDisk(apsw.VFS):
    """Counts what is written to one database and its WAL; also what is cut off and synced."""

    def __init__(self, path: Path, writes: int) -> None:
        self._own = {str(path), f"{path}-wal"}
        self._die_at = writes
        self.count = 0
        super().__init__("dying", base="unix", makedefault=True)

    def xOpen(self, name, flags):  # SQLite's name
        return _File(self, name, flags)

    def step(self, name: str) -> None:
        self.count += name in self._own
        if name in self._own and self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


class _File(apsw.VFSFile):
    def __init__(self, disk: DyingDisk, name, flags) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # SQLite's name
        self._disk.step(self._name)
        super().xWrite(data, offset)

    def xTruncate(self, size):  # SQLite's name
        self._disk.step(self._name)
        super().xTruncate(size)

    def xSync(self, flags):  # SQLite's name
        self._disk.step(self._name)
        super().xSync(flags)


store, backup = Path(sys.argv[1]), Path(sys.argv[2])
disk = DyingDisk(store, int(sys.argv[3]))
restore(store, backup)
print(disk.count)
