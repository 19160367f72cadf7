"""Proofs with programs that were not written here: suites, clients and hosts.

Each is a module of its own, run by `make` or `python -m proof.NAME`. It prints a line for each
thing it saw, and ends with 0 when all of it held, 1 when something failed, and 3 when nothing
failed but something could not be tried on this machine.
"""

PROOFS = ("conformance", "inspector", "clients", "hosts", "fuzz", "rest_fuzz")
