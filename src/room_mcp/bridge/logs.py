"""What the SDK may log, and where to, before it decides otherwise."""

from __future__ import annotations

import logging
from typing import cast

from pydantic import ValidationError

from room_mcp import logs
from room_mcp.settings import Settings

from .agents import HUNG_UP

_TRANSPORTS = ("mcp.server.sse", "mcp.server.streamable_http")
_REPEATING = ("sse_starlette", "mcp")  # at DEBUG they log requests and answers as they are
_BY_CALLERS = (ValidationError, *HUNG_UP)  # a message that is none, or nobody there any more


class _Failures(logging.Filter):
    """Lets errors through, except those that are a caller's doing: the SDK logs a stack trace
    for each of these."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return record.levelno >= logging.ERROR and not _is_by_callers(error)


_FAILURES = _Failures()


def log_to_stderr(settings: Settings) -> None:
    """Log at the level of the settings; called before a server of the SDK is made, which would
    log at INFO, with what peers sent in it."""
    for name in _TRANSPORTS:
        logging.getLogger(name).addFilter(_FAILURES)
    logs.log_to_stderr(settings)
    for name in _REPEATING:
        logging.getLogger(name).setLevel(max(logging.root.level, logging.INFO))


def _is_by_callers(error: BaseException | None) -> bool:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return group.split(_BY_CALLERS)[1] is None
    return isinstance(error, _BY_CALLERS)
