"""What each request leaves behind: one line in the log, and counts.

While it runs, every record in the log says which request it is about.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import lru_cache
from uuid import UUID

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from room_mcp import logs, tracing

from .callers import REQUEST_ID, VIA
from .errors import KINDS, code_of, new_request_id
from .measures import Measures
from .secrets import secret_in

logger = logging.getLogger("room_mcp.requests")

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})
MAX_REMEMBERED = 4_096  # names and ids that were looked at
OTHER = "other"  # what is no word of ours, of which there may be any number

Facts = dict[str, str | int | float]


class _Request:
    """One that is being answered: what the log says of it, and where it is counted."""

    def __init__(self, measures: Measures, facts: Facts) -> None:
        self.measures = measures
        self.facts = facts
        self.route = ""
        self.code = ""
        self.status = 0
        self.has_ended = False


_REQUEST: ContextVar[_Request | None] = ContextVar("observed", default=None)


def note(
    *, route: str = "", room_id: str | None = None, member: str = "", key_id: str = ""
) -> None:
    """Say more about the request at hand: what has become known of it."""
    request = _at_hand()
    if request is None:
        return
    request.route = route or request.route
    if room_id is not None:
        request.facts["room"] = logs.shown_id(room_id)
    if member and _may_be_shown(member):
        request.facts["member"] = member
    if key_id:
        request.facts["key_id"] = key_id


def note_refusal(error: Exception) -> None:
    """Count what the request at hand was refused with, or a part of it."""
    if (request := _at_hand()) is not None:
        code = code_of(error)
        request.code = code if code in KINDS else OTHER
        request.measures.refusals.add(request.code)


async def answered(
    request: Request, method: str, path: str, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """The answer of a call of the contract, within a span, which continues the caller's trace.

    Args:
        method, path: As the contract has them.
    """
    room_id = room_in(request)
    note(route=path, room_id=room_id)
    attributes = {"http.request.method": method, "http.route": path}
    if room_id is not None:
        attributes["room_mcp.room"] = logs.shown_id(room_id)
    with tracing.span(f"{method} {path}", attributes, came_with=request.headers) as span:
        response = await answer(request)
        if span is not None:
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 400 and (seen := _at_hand()) is not None:
                span.set_attribute("room_mcp.code", seen.code)
                span.set_attribute("error.type", seen.code or str(response.status_code))
        return response


def _at_hand() -> _Request | None:
    """What goes on in a context that a request has left behind is not about that request."""
    request = _REQUEST.get()
    return None if request is None or request.has_ended else request


def room_in(request: HTTPConnection) -> str | None:
    """The room that the path names; what is no id at all may be a key in the wrong place."""
    said = request.path_params.get("id")
    return None if said is None else _id_in(said)


@lru_cache(maxsize=MAX_REMEMBERED)
def _id_in(said: str) -> str | None:
    try:
        return str(UUID(said))
    except ValueError:
        return None


@lru_cache(maxsize=MAX_REMEMBERED)
def _may_be_shown(name: str) -> bool:
    return secret_in(name) is None


class Observing:
    """An app, each of whose requests is given an id, counted and logged."""

    def __init__(self, app: ASGIApp, *, measures: Measures, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._measures = measures
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = request_id = new_request_id()
        facts: Facts = {"request_id": request_id}
        if via := scope.get(VIA):
            facts["via"] = via
        request = _Request(self._measures, facts)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        token = _REQUEST.set(request)
        began = time.perf_counter()
        with logs.during(facts):
            try:
                await self._app(scope, receive, noting)
            except Exception:
                request.status = request.status or 500
                raise
            finally:
                self._ended(request, scope, time.perf_counter() - began)
                _REQUEST.reset(token)
                # A session of MCP that began here goes on.
                request.has_ended = True
                facts.clear()

    def _ended(self, request: _Request, scope: Scope, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        route = request.route or self._route(scope)
        self._measures.requests.add(method, route, str(request.status))
        if not logger.isEnabledFor(logging.INFO):
            return
        facts: Facts = {
            "method": method,
            "route": route,
            "status": request.status,
            "duration_ms": round(seconds * 1000, 1),
        }
        told = str(request.status)
        if request.code and request.status >= 400:  # what was refused may be a part only
            facts["code"] = request.code
            told = f"{told} {request.code}"
        line = "%s %s: %s in %.1f ms"
        logger.info(line, method, route, told, seconds * 1000, extra={logs.FACTS: facts})

    def _route(self, scope: Scope) -> str:
        """The template of what was called: a path may hold ids, keys and whatever else."""
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                return route.path
        return OTHER
