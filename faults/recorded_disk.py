"""A disk that remembers every change, so that a power cut can be tried at any moment of it.

What was synced is there after the cut. Of every other change, each by itself, chance says whether
it is there, is not, or is there in some of its sectors only.

The model is harsher than most disks, and kinder in one point, as SQLite itself assumes
(`SQLITE_IOCAP_POWERSAFE_OVERWRITE`): a write that is cut off harms no byte beside its own. The
shared memory of a WAL is no part of it: the first connection after a cut makes it anew.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

CLOSING_S = 30.0  # what the threads of a closed store take at most, on a busy machine
SECTOR_BYTES = 512  # what a disk writes as a whole
SYNC_S = 0.0002  # a quick disk's; long enough that others get on before a sync is done

# With the first sync of a file of these kinds, SQLite syncs its folder too.
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


class Made(NamedTuple):
    """A file got this name; `file` counts all files there ever were."""

    name: str
    file: int


class Removed(NamedTuple):
    name: str


class Written(NamedTuple):
    file: int
    offset: int
    content: bytes


class Truncated(NamedTuple):
    file: int
    size: int


class Synced(NamedTuple):
    file: int


class FolderSynced(NamedTuple):
    """All names are on the disk."""


class Marked(NamedTuple):
    """No change of the disk: what was known outside by then."""

    what: object


Event = Made | Removed | Written | Truncated | Synced | FolderSynced | Marked


class Disk:
    """The files of one folder: what is safe, and the changes that are not yet."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._safe: dict[int, bytearray] = {}
        self._safe_names: dict[str, int] = {}
        self._changes: list[Written | Truncated] = []
        self._name_changes: list[Made | Removed] = []
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        match event:
            case Made(_, file):
                self._safe.setdefault(file, bytearray())
                self._name_changes.append(event)
            case Removed():
                self._name_changes.append(event)
            case Written() | Truncated():
                self._changes.append(event)
            case Synced(file):
                for change in self._changes:
                    if change.file == file:
                        _apply(self._safe, change)
                self._changes = [change for change in self._changes if change.file != file]
            case FolderSynced():
                for change in self._name_changes:
                    _rename(self._safe_names, change)
                self._name_changes.clear()
            case Marked():
                pass

    def cached(self) -> dict[str, bytes]:
        """The files as processes see them: every change is there."""
        return self._files(self._name_changes, self._changes)

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """The files as a power cut may leave them."""
        # Drawn for each cut, so that some lose nearly everything and others nearly nothing.
        weights = [chance.random() for _ in range(3)]
        changes: list[Written | Truncated] = []
        for change in self._changes:
            fate = chance.choices(("lost", "kept", "torn"), weights)[0]
            if fate == "torn" and isinstance(change, Written):
                changes += [part for part in _sectors(change) if chance.random() < 0.5]
            elif fate != "lost":
                changes.append(change)
        names = [change for change in self._name_changes if chance.random() < 0.5]
        return self._files(names, changes)

    def _files(
        self, name_changes: Sequence[Made | Removed], changes: Sequence[Written | Truncated]
    ) -> dict[str, bytes]:
        names = dict(self._safe_names)
        for change in name_changes:
            _rename(names, change)
        files = {file: bytearray(self._safe[file]) for file in names.values()}
        for change in changes:
            if change.file in files:
                _apply(files, change)
        return {name: bytes(files[file]) for name, file in names.items()}


def _rename(names: dict[str, int], change: Made | Removed) -> None:
    if isinstance(change, Made):
        names[change.name] = change.file
    else:
        names.pop(change.name, None)


def _apply(files: Mapping[int, bytearray], change: Written | Truncated) -> None:
    held = files[change.file]
    if isinstance(change, Truncated):
        del held[change.size :]
        return
    if len(held) < change.offset:
        held.extend(bytes(change.offset - len(held)))
    held[change.offset : change.offset + len(change.content)] = change.content


def _sectors(write: Written) -> Iterator[Written]:
    start, end = write.offset, write.offset + len(write.content)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield Written(write.file, start, write.content[start - write.offset : stop - write.offset])
        start = stop


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


class RecordedDisk(apsw.VFS):
    """What changes in databases that are opened on it stands in `events`; all in one folder.

    Args:
        events: What happened before to the files that are there already.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.events: list[Event] = list(events)
        self._file_of: dict[str, int] = {}
        for event in events:
            if isinstance(event, Made | Removed):
                _rename(self._file_of, event)
        self._made = sum(isinstance(event, Made) for event in events)
        super().__init__("recorded", base="unix", makedefault=True)

    def mark(self, what: object) -> None:
        self.events.append(Marked(what))

    def xOpen(self, name, flags):  # SQLite's name
        if name is None:  # a temporary file, which does not outlive its process
            return apsw.VFSFile("unix", name, flags)
        return _File(self, name, flags)

    def xDelete(self, filename, syncdir):  # SQLite's name
        super().xDelete(filename, syncdir)
        name = os.path.basename(filename)
        del self._file_of[name]
        self.events.append(Removed(name))
        if syncdir:
            self.events.append(FolderSynced())

    def file_at(self, path: str) -> tuple[int, bool]:
        """Its number, and whether it is new."""
        name = os.path.basename(path)
        if name in self._file_of:
            return self._file_of[name], False
        self._made += 1
        self._file_of[name] = self._made
        self.events.append(Made(name, self._made))
        return self._made, True


class _File(apsw.VFSFile):
    def __init__(self, disk: RecordedDisk, name, flags) -> None:
        super().__init__("unix", name, flags)
        self._events = disk.events
        self._file, is_new = disk.file_at(name if isinstance(name, str) else name.filename())
        self._syncs_folder = is_new and bool(flags[0] & _JOURNALS)

    def xWrite(self, data, offset):  # SQLite's name
        super().xWrite(data, offset)
        self._events.append(Written(self._file, offset, bytes(data)))

    def xTruncate(self, newsize):  # SQLite's name
        super().xTruncate(newsize)
        self._events.append(Truncated(self._file, newsize))

    def xSync(self, flags):  # SQLite's name
        time.sleep(SYNC_S)  # no real sync: the power stays on here
        self._events.append(Synced(self._file))
        if self._syncs_folder:
            self._syncs_folder = False
            self._events.append(FolderSynced())


def let_threads_end() -> None:
    """Wait for those of closed stores: where a query takes long, they end behind `aclose`."""
    for thread in threading.enumerate():
        if thread.name.startswith("room-mcp "):
            thread.join(CLOSING_S)


@contextmanager
def recorded_disk(events: Sequence[Event] = ()) -> Generator[RecordedDisk]:
    """Databases opened meanwhile are on this disk; close them before the end."""
    disk = RecordedDisk(events)
    try:
        yield disk
    finally:
        let_threads_end()  # a VFS must outlive the last file that is opened on it
        disk.unregister()
