"""What the SDK's HTTP transports log: failures of ours, and nothing of what callers do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from room_mcp.bridge.logs import log_to_stderr
from room_mcp.logs import HarmlessLines
from room_mcp.settings import Settings

GONE = [anyio.BrokenResourceError(), anyio.ClosedResourceError(), ClientDisconnect()]


@pytest.fixture(params=["mcp.server.sse", "mcp.server.streamable_http"])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[logging.Logger]:
    """The logger of a transport, once logging is set up, for a level that lets all through."""
    logger = logging.getLogger(request.param)
    level, filters = logger.level, [*logger.filters]
    log_to_stderr(Settings(home=tmp_path, store=str(tmp_path / "rooms.db"), log_level="DEBUG"))
    yield logger
    logger.setLevel(level)
    logger.filters[:] = filters


def no_message() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_json("{")
    return caught.value


def test_a_failure_of_the_transport_is_logged_with_its_stack_trace(
    transport: logging.Logger, caplog: pytest.LogCaptureFixture
):
    transport.error("Error handling POST request", exc_info=RuntimeError("out of order"))
    transport.error("connect_sse received non-HTTP request")

    assert caplog.messages == [
        "Error handling POST request",
        "connect_sse received non-HTTP request",
    ]
    assert "RuntimeError: out of order" in caplog.text


@pytest.mark.parametrize(
    "error",
    [*GONE, no_message(), ExceptionGroup("of a task group", [ExceptionGroup("of another", GONE)])],
    ids=lambda error: type(error).__name__,
)
def test_a_message_that_is_none_and_a_client_that_hangs_up_are_not_logged(
    transport: logging.Logger, caplog: pytest.LogCaptureFixture, error: Exception
):
    transport.error("Failed to parse message", exc_info=error)

    assert caplog.messages == []


def test_a_failure_beside_a_client_that_hangs_up_is_logged(
    transport: logging.Logger, caplog: pytest.LogCaptureFixture
):
    both = ExceptionGroup("of a task group", [*GONE, RuntimeError("out of order")])

    transport.error("SSE response error", exc_info=both)

    assert "RuntimeError: out of order" in caplog.text


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
def test_what_is_no_error_is_not_logged_as_it_may_hold_what_peers_sent(
    transport: logging.Logger, caplog: pytest.LogCaptureFixture, level: int
):
    caplog.set_level(logging.DEBUG)

    transport.log(level, "Received JSON: %s", '{"content": "a secret"}')

    assert caplog.messages == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028"])
def test_what_peers_sent_begins_no_record_and_does_not_act(end: str):
    hostile = f"fine{end}room_mcp: all keys were revoked\x1b[2J\u202e"
    record = logging.LogRecord("room_mcp", 30, "", 0, "Not known: %s", (hostile,), None)

    assert HarmlessLines("%(name)s: %(message)s").format(record).split("\n") == [
        "room_mcp: Not known: fine",
        r"  room_mcp: all keys were revoked\x1b[2J\u202e",
    ]
