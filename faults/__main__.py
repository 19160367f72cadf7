"""All runs, one after the other; about three quarters of an hour.

    python -m faults [NAME ...]

A line that begins with FAILED is a finding; any of them makes it end with 1.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

RUNS: Mapping[str, Sequence[str]] = {
    "kills": ("kills",),
    "power": ("power",),
    "proxy": ("proxy",),
    "disk": ("disk",),
    "stopped": ("stopped",),
    "clocks": ("clocks",),
    "files": ("files",),
    "damage": ("damage",),
    "postgres_crash": ("postgres_crash",),
    "postgres_dropped": ("postgres_dropped",),
    "postgres_failover": ("postgres_failover",),
    "postgres_nodes": ("postgres_nodes",),
    "postgres_kills": ("kills", "--postgres"),
    "postgres_stopped": ("postgres_stopped",),
    "postgres_clocks": ("clocks", "--postgres"),
    "postgres_disk": ("postgres_disk",),
}
"""Each is a module of `faults` and its arguments; it ends with 0 when it found nothing."""


def main(names: Sequence[str]) -> int:
    if unknown := sorted(set(names) - RUNS.keys()):
        print(f"There is no run {', '.join(unknown)}; there are {', '.join(RUNS)}.")
        return 2
    ended: dict[str, str] = {}
    for name in names or RUNS:
        began = time.monotonic()
        module, *arguments = RUNS[name]
        code = subprocess.run([sys.executable, "-m", f"faults.{module}", *arguments]).returncode
        took_s = time.monotonic() - began
        ended[name] = f"{'FAILED' if code else 'ok':<8} {name:<17} {took_s:,.0f} s"
    print("\n".join(ended.values()))
    return int(any(line.startswith("FAILED") for line in ended.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
