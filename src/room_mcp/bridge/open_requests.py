"""The requests of MCP over HTTP that are open, and how they end when the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .agents import CUT, HUNG_UP

ANSWERS_S = 5.0  # for what is asked already; then it is cut off, whatever it waits for
GOING_OUT_S = 0.25  # for an answer that is there, on its way through the streams of the SDK


class OpenRequests:
    """The requests that are being answered, to end those that would never end by themselves."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._stopping = False

    def end_when_answered(self, is_answering: Callable[[], bool]) -> None:
        """Take no more; end what is left once the last answer is out, or has taken too long."""
        loop = asyncio.get_running_loop()
        cut_at = loop.time() + ANSWERS_S

        def look(was_answering: bool) -> None:
            answering = is_answering()
            if (answering or was_answering) and loop.time() < cut_at:
                loop.call_later(GOING_OUT_S, look, answering)
            else:
                self._end()

        if not self._stopping:
            self._stopping = True
            loop.call_later(GOING_OUT_S, look, True)

    def _end(self) -> None:
        for scope in self._scopes:
            scope.cancel()

    def around(self, app: ASGIApp) -> ASGIApp:
        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            begun = ended = False

            async def watched(message: Message) -> None:
                nonlocal begun, ended
                if ended:
                    return  # the SDK answers once more when a session ended meanwhile
                begun = begun or message["type"] == "http.response.start"
                ended = message["type"] == "http.response.body" and not message.get("more_body")
                await send(message)

            if self._stopping:
                await Response(status_code=503)(scope, receive, send)
                return
            with anyio.CancelScope() as until_stopped:
                self._scopes.add(until_stopped)
                try:
                    with _callers_leaving():
                        await app(scope, receive, watched)
                finally:
                    self._scopes.discard(until_stopped)
                    scope[CUT] = not ended
            if not begun:
                await Response(status_code=503)(scope, receive, send)
            elif not ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        return answered


@contextmanager
def _callers_leaving() -> Generator[None]:
    """Who hangs up in the middle is no failure of ours."""
    try:
        yield
    except HUNG_UP:
        pass
    except BaseExceptionGroup as group:
        _, others = group.split(HUNG_UP)
        if others is not None:
            raise
