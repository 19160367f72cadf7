"""What is known about MCP hosts: a short name for their agent, and how long a tool may block.

The data stand in `hosts.json`, keyed by the `clientInfo.name` that a host sends. The limits were
measured; a host that is not listed gets the shortest one, which every known host survives.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

_MAX_DERIVED_CHARS = 20


class Host(NamedTuple):
    """`max_wait_s`: seconds that a blocking tool may take before the host gives up on it."""

    name: str
    max_wait_s: float


def host(client_name: str) -> Host:
    """The host that introduced itself by this name."""
    table = _table()
    known = table["hosts"].get(client_name.lower())
    if known is not None:
        return Host(known["name"], float(known["max_wait_s"]))
    return Host(_derived(client_name), float(table["default"]["max_wait_s"]))


@cache
def _table() -> dict[str, Any]:
    return json.loads(files("room_mcp.bridge").joinpath("hosts.json").read_text("utf-8"))


def _derived(client_name: str) -> str:
    """A short agent name made of a host's own: lower case letters, digits and hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", client_name.lower()).strip("-")
    return words[:_MAX_DERIVED_CHARS].strip("-") or "agent"
