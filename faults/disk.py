"""A disk that is full, or can only be read, under a store at work.

    python -m faults.disk [--times 5]

A real one where this user may mount; otherwise the limit that the system keeps on the size of
files, which SQLite meets in the same place.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from room_mcp.store.interface import StoreUnavailable
from room_mcp.store.opening import open_store

from .crowd import crowd
from .ground import Seen, a_room, check
from .recording import Recording, StoreDoor, read

TIMES = 5
ROOMS = 2
POSTS = 40  # between two faults
REFUSALS = 8  # in each fault
DISK_SIZE = "8m"


def _may_run(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path) -> Generator[bool]:
    """A disk of few megabytes in this folder; False: nothing may be mounted here."""
    mounted = _may_run("mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", folder)
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Generator[None]:
    """Nothing more fits on the disk with this folder."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def no_file_grows(path: Path) -> Generator[None]:
    """No file of this process may get larger than the WAL of the store is."""
    wal = path.with_name(path.name + "-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ, so the write itself fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def immutable(path: Path) -> Generator[bool]:
    """The database and its WAL cannot be written, not even where they are open; False: that
    cannot be had here."""
    files = [path, path.with_name(path.name + "-wal")]
    made = _may_run("chattr", "+i", *files) and not _is_writable(files[1])
    try:
        yield made
    finally:
        _may_run("chattr", "-i", *files)


def _is_writable(path: Path) -> bool:
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY))
        return True
    return False


async def fail_and_go_on(folder: Path, *, times: int, kind: str) -> Seen:
    """Writers are refused as long as the disk fails, readers are not; then all go on.

    Args:
        kind: "full", "limited" or "immutable".
    """
    path, seen = folder / "rooms.db", Seen()
    store = open_store(path)
    await store.open()
    rooms = [await a_room(store, f"room {n}") for n in range(ROOMS)]
    door = StoreDoor(store)
    async with crowd(door, seen.recording, rooms) as people:
        for number in range(times):
            await people.more_acknowledged(POSTS)
            with ExitStack() as fault:
                if kind == "full":
                    fault.enter_context(full(folder))
                elif kind == "limited":
                    fault.enter_context(no_file_grows(path))
                elif not fault.enter_context(immutable(path)):
                    print("skipped  read-only: no file can be made immutable here", flush=True)
                    break
                await people.more_failed(REFUSALS)
                seen.findings += await read_all(door, seen.recording, rooms, number)
        await people.more_acknowledged(POSTS)
    await store.aclose()
    seen.findings += await check(seen.recording, path, rooms)
    return seen


async def read_all(
    door: StoreDoor, recording: Recording, rooms: Sequence[str], number: int
) -> list[str]:
    """Read every room while nothing can be written."""
    try:
        async with asyncio.timeout(10):
            for room in rooms:
                await read(door, recording, room, f"late reader {number}", 0)
    except TimeoutError:
        return ["a reader got no answer while nothing could be written"]
    return []


async def open_read_only(folder: Path) -> list[str]:
    """What is wrong with how a store says that its disk can only be read."""
    path = folder / "rooms.db"
    store = open_store(path)
    await store.open()
    await store.aclose()
    await asyncio.to_thread(_may_run, "mount", "-o", "remount,ro", folder)
    try:
        await open_store(path).open()
    except StoreUnavailable as error:
        told = str(error)
        fits = "Read-only file system" in told and "Make the disk writable" in told
        return [] if fits else [f"a read-only disk was told as: {told}"]
    return ["a store was opened on a read-only disk"]


async def run(times: int) -> int:
    ended = 0
    with tempfile.TemporaryDirectory(prefix="room-mcp-disk-") as temporary:
        folder = Path(temporary)
        for kind in ("full", "limited", "immutable"):
            place = folder / kind
            place.mkdir()
            with ExitStack() as disks:
                if kind == "full" and not disks.enter_context(small_disk(place)):
                    print("skipped  full: nothing may be mounted here; see limited", flush=True)
                    continue
                seen = await fail_and_go_on(place, times=times, kind=kind)
                ended |= seen.told(f"disk {kind}")
        place = folder / "read-only"
        place.mkdir()
        with small_disk(place) as mounted:
            if mounted:
                findings = await open_read_only(place)
                ended |= Seen(findings=findings).told("opening on a read-only disk")
            else:
                print("skipped  opening on a read-only disk: nothing may be mounted", flush=True)
    return ended


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.disk", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--times", type=int, default=TIMES)
    args = parser.parse_args(arguments)
    print(f"== disk: {args.times} times each", flush=True)
    return asyncio.run(run(args.times))


if __name__ == "__main__":
    sys.exit(main())
