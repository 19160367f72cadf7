"""All runs, one after the other; about a quarter of an hour.

    python -m faults [NAME ...]

A line that begins with FAILED is a finding; any of them makes it end with 1.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

RUNS: Mapping[str, Sequence[str]] = {
    "kills": (),
    "power": (),
    "proxy": (),
    "disk": (),
    "stopped": (),
    "clocks": (),
    "files": (),
    "damage": (),
}
"""Each is `python -m faults.NAME` with these arguments; it ends with 0 when it found nothing."""


def main(names: Sequence[str]) -> int:
    if unknown := sorted(set(names) - RUNS.keys()):
        print(f"There is no run {', '.join(unknown)}; there are {', '.join(RUNS)}.")
        return 2
    ended: dict[str, str] = {}
    for name in names or RUNS:
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"faults.{name}", *RUNS[name]]).returncode
        took_s = time.monotonic() - began
        ended[name] = f"{'FAILED' if code else 'ok':<8} {name:<10} {took_s:,.0f} s"
    print("\n".join(ended.values()))
    return int(any(line.startswith("FAILED") for line in ended.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
