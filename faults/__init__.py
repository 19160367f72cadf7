"""Faults on purpose: what kills, cuts, full disks and bad networks leave of a room's messages.

Each is a module of its own, run by `make faults` or `python -m faults.NAME`. What the posters and
readers saw is recorded as a `History`, and its checker says what does not fit together.
"""
