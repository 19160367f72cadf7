"""All figures, one after the other."""

import subprocess
import sys

for script in ("bench.stdio_figures", "bench.http_figures", "bench.store_act", "bench.rules_cost"):
    subprocess.run([sys.executable, "-m", script], check=True)
