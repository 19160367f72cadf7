"""A disk that can be full or broken: an SQLite VFS above the real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


class FailingDisk(apsw.VFS):
    """`trouble` names what fails from now on: "" nothing, "full" and "read-only" writes, "sync"
    syncs."""

    def __init__(self) -> None:
        self.trouble = ""
        self._after: tuple[int, str] | None = None
        super().__init__("failing", base="unix", makedefault=True)

    def fail_after(self, writes: int, trouble: str) -> None:
        """So many writes from now on go well."""
        self._after = (writes, trouble)

    def count(self) -> None:
        """One write is about to begin."""
        if self._after is not None:
            left, trouble = self._after
            self._after = (left - 1, trouble)
            self.trouble = trouble if left <= 0 else self.trouble

    def xOpen(self, name, flags):  # SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name, flags) -> None:
        self._disk = disk
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):  # SQLite's name
        self._disk.count()
        if self._disk.trouble == "full":
            raise apsw.FullError("no space left")
        if self._disk.trouble == "read-only":
            raise apsw.exception_for(apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xSync(self, flags):  # SQLite's name
        if self._disk.trouble == "sync":
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Databases opened meanwhile are on this disk."""
    disk = FailingDisk()
    try:
        yield disk
    finally:
        disk.unregister()
