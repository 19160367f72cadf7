"""MCP over HTTP for many agents: streamable HTTP and SSE, as routes for an ASGI app.

Each agent has an address of its own, `/as/NAME/mcp` or `/as/NAME/sse`, or sends the header
`Room-Agent`. The name is read from every request anew: nothing is bound to a session.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from mcp.server.auth.middleware.bearer_auth import (
    AuthenticatedUser,
    BearerAuthBackend,
    RequireAuthMiddleware,
)
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import INVALID_REQUEST
from pydantic import AnyHttpUrl
from sse_starlette.sse import AppStatus
from starlette.datastructures import Headers
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from room_mcp.rooms import member_name, skeleton
from room_mcp.rooms.refusals import Refusal

from . import sdk
from .agents import AGENT, KEY_ID, MAX_AGENTS
from .open_requests import OpenRequests
from .server import RoomServer

MCP_PATH = "/mcp"
SSE_PATH = "/sse"
MESSAGES_PATH = "/messages/"
AGENT_HEADER = "room-agent"
SERVER_KEY_PREFIX = "rks_"  # as the backend makes them
CLAIMED_KEY = "key_id"  # the claim of a verified token that says which key it is


@dataclass(frozen=True)
class Keys:
    """How callers show who they are.

    Args:
        verifier: Knows the keys of the server; its tokens have the key's id as the claim
            `CLAIMED_KEY`, and the name that it stands for as their subject.
        resource_url: Where MCP is served, for tokens that were made for it.
        required: Whether nobody comes in without one.
        admit: Told of each request and whether its key is a wrong one; answers with what to say
            instead of letting it in, if anything.
    """

    verifier: TokenVerifier
    resource_url: str
    required: bool
    admit: Callable[[Scope, bool], Awaitable[ASGIApp | None]]


class McpOverHttp:
    """The routes of one server, for an app that guards itself by Host and Origin.

    Args:
        keys: Who may come in; without it everybody, under any name.
        mcp_path: Where streamable HTTP is; empty leaves it out.
        sse_path: Where SSE is; empty leaves it out.
    """

    def __init__(
        self,
        server: RoomServer,
        *,
        mcp_path: str = MCP_PATH,
        sse_path: str = SSE_PATH,
        keys: Keys | None = None,
    ) -> None:
        self._server = server
        self._keys = keys
        self._requests = OpenRequests()
        # Else it ends all streams within half a second of a signal, with or without an answer.
        AppStatus.disable_automatic_graceful_drain()
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
        if keys is not None:
            # There is no other server that makes keys: whoever needs one asks who runs this.
            url = AnyHttpUrl(keys.resource_url)
            self.routes += create_protected_resource_routes(url, [url], resource_name="room-mcp")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """What has to run while the routes are served; once."""
        async with nullcontext() if self._sessions is None else self._sessions.run():
            yield

    def stop(self) -> None:
        """Answer what waits, then end what would go on for ever."""
        self._server.stop()
        self._requests.end_when_answered(lambda: self._server.is_answering)

    def _add(self, path: str, app: ASGIApp, methods: set[str] | None = None) -> None:
        named: ASGIApp = _Named(self._requests.around(app))
        if self._keys is not None:
            named = _knowing_keys(named, self._keys)
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


def _knowing_keys(app: ASGIApp, keys: Keys) -> ASGIApp:
    """The app behind the SDK's verification of bearer tokens.

    Where no key is required, other tokens than keys of ours are passed over: they are meant for
    somebody else.
    """
    url = AnyHttpUrl(keys.resource_url)
    required = RequireAuthMiddleware(app, [], build_resource_metadata_url(url))

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        if isinstance(user := scope.get("user"), AuthenticatedUser):
            scope[KEY_ID] = (user.access_token.claims or {})[CLAIMED_KEY]
        shown = Headers(scope=scope).get("authorization", "").partition(" ")[2].strip()
        is_ours = shown.startswith(SERVER_KEY_PREFIX)
        if (told := await keys.admit(scope, is_ours and KEY_ID not in scope)) is not None:
            await told(scope, receive, send)
            return
        is_needed = keys.required or is_ours
        await (required if is_needed else app)(scope, receive, send)

    # The tokens' audience is checked: a key was made for this server, or it is none here.
    backend = BearerAuthBackend(keys.verifier, resource_server_url=url)
    return AuthenticationMiddleware(admitted, backend=backend)


class _Named:
    """Reads the agent's name, from the path or the header, into the scope; by default it is the
    one for which the server key stands, and it has to be one that the key may use."""

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
        user = scope.get("user")
        own = (user.access_token.subject or "") if isinstance(user, AuthenticatedUser) else ""
        scope[AGENT] = name = names[0] if names else own
        if own and skeleton(name) != skeleton(own) and not _is_below(name, own):
            told = f"Your key stands for {own!r}. Connect as {own!r} or as '{own}/…'."
            await _refused(told, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_below(name: str, own: str) -> bool:
    return skeleton(name).startswith(f"{skeleton(own)}/")


@lru_cache(maxsize=MAX_AGENTS)
def _name_in(said: str) -> str:
    """The name that was said, percent-encoded where a header takes no other letters."""
    return member_name(unquote(said))


def _refused(told: str, status: int = 400) -> Response:
    """A JSON-RPC error, which MCP clients show to people."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": told}}
    return Response(json.dumps(body), status, media_type="application/json")
