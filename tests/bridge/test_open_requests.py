"""How requests over HTTP end with the server: answered if they can be, and never for ever."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from room_mcp.bridge import open_requests
from room_mcp.bridge.http import McpOverHttp
from room_mcp.bridge.open_requests import OpenRequests
from room_mcp.bridge.server import build_open_server
from room_mcp.compose import open_client
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio

HANGS_S = 20


class Looks:
    """Whether anything is being answered, which is asked again and again."""

    def __init__(self, *, answering_until: int) -> None:
        self.count = 0
        self._until = answering_until

    def __call__(self) -> bool:
        self.count += 1
        return self.count < self._until


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> OpenRequests:
    monkeypatch.setattr(open_requests, "GOING_OUT_S", 0)
    return OpenRequests()


async def asked(app: ASGIApp) -> list[Message]:
    """What an app sends as its answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": []}
    with anyio.fail_after(HANGS_S):
        await app(scope, receive, send)
    return sent


async def test_what_is_being_answered_is_awaited(requests: OpenRequests):
    looks = Looks(answering_until=50)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        requests.end_when_answered(looks)
        while looks.count < 50:
            await anyio.lowlevel.checkpoint()
        await Response("said")(scope, receive, send)

    start, body = await asked(requests.around(slow))

    assert (start["status"], body["body"]) == (200, b"said")


async def test_an_answer_that_is_there_has_time_to_go_out(requests: OpenRequests):
    looks = Looks(answering_until=2)

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        requests.end_when_answered(looks)
        await anyio.sleep_forever()

    await asked(requests.around(stream))

    assert looks.count == 3  # it was not cut off as soon as nothing was being answered


async def test_what_never_ends_is_cut_off_when_all_are_answered(requests: OpenRequests):
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        requests.end_when_answered(lambda: False)
        await anyio.sleep_forever()

    _, end = await asked(requests.around(stream))

    assert end == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_what_cannot_be_answered_is_cut_off_in_the_end(
    requests: OpenRequests, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_requests, "ANSWERS_S", 0)

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        requests.end_when_answered(lambda: True)
        await anyio.sleep_forever()

    start, _ = await asked(requests.around(silent))

    assert start["status"] == 503


async def test_nothing_new_begins_once_the_end_has(requests: OpenRequests):
    requests.end_when_answered(lambda: False)

    start, _ = await asked(requests.around(Response("said")))

    assert start["status"] == 503


def test_a_signal_ends_no_stream_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is asked through it may not be answered yet; sse-starlette would not wait for that."""
    monkeypatch.setattr(AppStatus, "enable_automatic_graceful_drain", True)
    monkeypatch.setattr(AppStatus, "should_exit", False)
    settings = Settings(home=tmp_path, store=str(tmp_path / "rooms.db"))
    McpOverHttp(build_open_server(settings, open_client(settings)))

    uvicorn.Server(uvicorn.Config("anywhere:app", log_config=None)).handle_exit(
        signal.SIGTERM, None
    )

    assert not AppStatus.should_exit
