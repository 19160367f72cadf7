"""Demonstrations: real processes, scripted agents, no network beyond this machine, no key."""

from __future__ import annotations


def run_demo() -> int:
    """Two agents and a third review a change in one room; the exit code."""
    import anyio

    from .review import review

    return anyio.run(review)
