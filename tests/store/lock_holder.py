"""Holds the file lock of a store until its standard input ends: python lock_holder.py PATH"""

import fcntl
import sys

with open(sys.argv[1] + ".lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
