"""What the figures depend on: the file system, and what a bare fdatasync takes on it."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SYNCS = 200


def file_system(folder: Path) -> str:
    done = subprocess.run(["df", "-PT", str(folder)], capture_output=True, text=True, check=True)
    device, kind, *_ = done.stdout.splitlines()[-1].split()
    return f"{kind} on {device}"


def fdatasync_ms(folder: Path) -> float:
    """Median milliseconds of writing 4 KiB behind the end of a file and one fdatasync."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            sync = getattr(os, "fdatasync", os.fsync)
            sync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def describe(folder: Path) -> str:
    return (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {file_system(folder)}, "
        f"bare fdatasync {fdatasync_ms(folder):.2f} ms"
    )
