"""`room-mcp`, with the fixtures on the server that it serves over HTTP.

python -m proof.conformance.serving serve --port 0
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from mcp.shared.exceptions import MCPDeprecationWarning

from room_mcp import cli
from room_mcp.bridge import server
from room_mcp.bridge.server import RoomServer

from .fixtures import register

_build_open_server = server.build_open_server


def with_fixtures(*arguments: Any, **named: Any) -> RoomServer:
    built = _build_open_server(*arguments, **named)
    register(built)
    return built


def main() -> int:
    # The command builds its server itself. Put in here, the fixtures stand behind everything
    # that a request to the shipped one goes through.
    server.build_open_server = with_fixtures
    # 2025-11-25 requires what 2026-07-28 has deprecated.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
