"""Log records on stderr: as lines for people, or as JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from room_mcp.plain import plain
from room_mcp.settings import Settings

SHOWN_ID_CHARS = 8  # of a room's id: finds it in the directory, and is 90 bits short of letting in
FACTS = "room_mcp_facts"  # the attribute of a record that holds what JSON shows beside the sentence

Facts = Mapping[str, str | int | float]

_REQUEST: ContextVar[Facts | None] = ContextVar("request", default=None)


@contextmanager
def during(request: Facts) -> Generator[None]:
    """Records that are made inside tell which request they are about, as far as it is known."""
    token = _REQUEST.set(request)
    try:
        yield
    finally:
        _REQUEST.reset(token)


def shown_id(room_id: str) -> str:
    """How logs, metrics and traces call a room: its id is what lets one in."""
    return room_id[:SHOWN_ID_CHARS]


class HarmlessLines(logging.Formatter):
    """Records that cannot act on a terminal; only their first lines begin as records do."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        about = " ".join(f"{name}={value}" for name, value in (_REQUEST.get() or {}).items())
        return f"{line} [{about}]" if about else line

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record)).replace("\n", "\n  ")


class JsonLines(logging.Formatter):
    """Each record as one JSON object, on one line of ASCII: nothing in it acts or ends the line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, object] = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        for facts in (_REQUEST.get(), getattr(record, FACTS, None)):
            told |= facts or {}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = record.stack_info
        return json.dumps(told)


def log_to_stderr(settings: Settings) -> None:
    """Log at the level and in the format of the settings, from now on."""
    lines = logging.StreamHandler(sys.stderr)
    is_json = settings.log_format == "json"
    lines.setFormatter(JsonLines() if is_json else HarmlessLines("%(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[lines])
