"""Demonstrations: real processes, scripted agents, no network beyond this machine, no key."""

from __future__ import annotations

import argparse


def run_demo(args: argparse.Namespace) -> int:
    """Run the demonstration named in `args.name`; the exit code."""
    import anyio

    from .review import review

    return anyio.run(review)
