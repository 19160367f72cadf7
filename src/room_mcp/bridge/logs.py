"""Where logs go: to stderr, before the SDK decides otherwise."""

from __future__ import annotations

import logging
import sys

from room_mcp.settings import Settings


def log_to_stderr(settings: Settings) -> None:
    """Log at the level of the settings; called before a server of the SDK is made, which would
    log at INFO, with what peers sent in it."""
    for name in ("mcp.server.sse", "mcp.server.streamable_http"):
        # They log a stack trace for a message that is none, and for a client that hangs up.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(name)s: %(message)s")
