"""Tries the hosts that are named, or all: python -m proof.hosts [HOST…]"""

from __future__ import annotations

import sys

from proof.ground import CannotTry, Report

from .table import BY_NAME, HOSTS
from .trial import attempt


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        print(f"no such host: {', '.join(unknown)}; known: {', '.join(BY_NAME)}", file=sys.stderr)
        return 2
    report = Report("hosts")
    for host in [BY_NAME[name] for name in names] or HOSTS:
        try:
            attempt(host, report)
        except CannotTry as error:
            report.skip(host.label, str(error))
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
