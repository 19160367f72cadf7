"""The templates that come with the package, read from `templates/`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from .contract import Contract
from .documents import contract_of

BUILT_IN = ("open", "code-review", "handoff", "decision", "task-queue")
_FOLDER = files("room_mcp.rooms") / "templates"


@cache
def template(name: str) -> Contract:
    """The built-in template of this name; raises KeyError for another."""
    if name not in BUILT_IN:
        raise KeyError(name)
    return contract_of((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


OPEN = template("open")
