"""Where logs go: to stderr, before the SDK decides otherwise."""

from __future__ import annotations

import logging
import sys

from room_mcp.settings import Settings


def log_to_stderr(settings: Settings) -> None:
    """Log at the level of the settings; called before a server of the SDK is made, which would
    log at INFO, with what peers sent in it."""
    logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(name)s: %(message)s")
