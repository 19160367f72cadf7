"""Demonstrations: the real thing, scripted agents, no network beyond this machine, no key."""

from __future__ import annotations

from importlib import import_module


def run_demo(name: str = "review") -> int:
    """Play the demo of that name; the exit code."""
    import anyio

    from .stage import played

    return anyio.run(played, import_module(f".{name}", __name__).walk)
