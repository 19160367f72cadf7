"""All figures, one after the other."""

import subprocess
import sys

SCRIPTS = (
    *("stdio_figures", "http_figures", "store_act", "long_files", "rules_cost"),
    *("postgres_act", "postgres_reads", "moving_stores"),
)

for script in SCRIPTS:
    subprocess.run([sys.executable, "-m", f"bench.{script}"], check=True)
