"""MCP over HTTP for many agents: streamable HTTP and SSE, as routes for an ASGI app.

Each agent has an address of its own, `/as/NAME/mcp` or `/as/NAME/sse`, or sends the header
`Room-Agent`. The name is read from every request anew: nothing is bound to a session.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import lru_cache
from urllib.parse import unquote

import anyio
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import INVALID_REQUEST
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from room_mcp.rooms import member_name, skeleton
from room_mcp.rooms.refusals import Refusal

from . import sdk
from .agents import AGENT, CUT, HUNG_UP, MAX_AGENTS
from .server import RoomServer

MCP_PATH = "/mcp"
SSE_PATH = "/sse"
MESSAGES_PATH = "/messages/"
AGENT_HEADER = "room-agent"
ENDING_S = 0.5  # for answers to go out; then what has no end of its own is cut off


class McpOverHttp:
    """The routes of one server, for an app that guards itself by Host and Origin.

    Args:
        mcp_path: Where streamable HTTP is; empty leaves it out.
        sse_path: Where SSE is; empty leaves it out.
    """

    def __init__(
        self,
        server: RoomServer,
        *,
        mcp_path: str = MCP_PATH,
        sse_path: str = SSE_PATH,
    ) -> None:
        self._server = server
        self._requests = _OpenRequests()
        self.routes: list[BaseRoute] = []
        # The app's own guard has looked at Host and Origin before; a second one, with a list of
        # its own, could only disagree.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._sessions = None
        if mcp_path:
            # Makes the session manager; its routes know one address only.
            server.streamable_http_app(transport_security=security)
            self._sessions = server.session_manager
            self._add(mcp_path, self._sessions.handle_request)
        if sse_path:
            self._sse = SseServerTransport(MESSAGES_PATH, security)
            self._add(sse_path, self._connect_sse, methods={"GET"})
            self._add(MESSAGES_PATH, self._sse.handle_post_message)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """What has to run while the routes are served; once."""
        async with nullcontext() if self._sessions is None else self._sessions.run():
            yield

    def stop(self) -> None:
        """Answer what waits, then end what would go on for ever."""
        self._server.stop()
        self._requests.end_soon()

    def _add(self, path: str, app: ASGIApp, methods: set[str] | None = None) -> None:
        named = _Named(self._requests.around(app))
        # The name may hold a slash, which arrives decoded.
        for route in (Route(path, named), Route(f"/as/{{agent:path}}{path}", named)):
            route.methods = methods  # not as an argument, which would let HEAD in with GET
            self.routes.append(route)

    async def _connect_sse(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The client is told to post below where it came from, so that its posts bring the name.
        agent = scope["path_params"].get("agent")
        before = scope.get("root_path", "") + (f"/as/{agent}" if agent else "")
        within = {**scope, "root_path": before}
        async with self._sse.connect_sse(within, receive, send) as (read, write):
            await sdk.run(self._server, read, write)


class _Named:
    """Reads the agent's name, from the path or the header, into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_path = scope.get("path_params", {}).get("agent")
        by_header = Headers(scope=scope).get(AGENT_HEADER)
        try:
            names = [_name_in(said) for said in (by_path, by_header) if said is not None]
        except Refusal as refusal:
            await _refused(f"{refusal.detail} {refusal.advice}")(scope, receive, send)
            return
        if len({skeleton(name) for name in names}) > 1:
            told = "The path and the header Room-Agent name different agents. Send one of them."
            await _refused(told)(scope, receive, send)
            return
        scope[AGENT] = names[0] if names else ""
        await self._app(scope, receive, send)


@lru_cache(maxsize=MAX_AGENTS)
def _name_in(said: str) -> str:
    """The name that was said, percent-encoded where a header takes no other letters."""
    return member_name(unquote(said))


def _refused(told: str) -> Response:
    """A JSON-RPC error, which MCP clients show to people."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": told}}
    return Response(json.dumps(body), 400, media_type="application/json")


class _OpenRequests:
    """The requests that are being answered, to end those that would never end by themselves."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._stopping = False

    def end_soon(self) -> None:
        self._stopping = True
        asyncio.get_running_loop().call_later(ENDING_S, self._end)

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
