"""All proofs, one after the other; a skipped one counts as failed, because it proves nothing."""

from __future__ import annotations

import subprocess
import sys

from proof import PROOFS


def run_all() -> int:
    ended: dict[str, int] = {}
    for name in PROOFS:
        done = subprocess.run([sys.executable, "-m", f"proof.{name}"], check=False)
        ended[name] = done.returncode
    for name, code in ended.items():
        print(f"{name:<12} { {0: 'ok', 3: 'skipped in part'}.get(code, 'FAILED') }")
    return int(any(ended.values()))


if __name__ == "__main__":
    sys.exit(run_all())
