"""`python -m room_mcp`: the same as the command `room-mcp`."""

from __future__ import annotations

import sys

from room_mcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
