"""The glue: how this process reaches its backend, and how backend and bridge are served to others.

The only module that knows both sides; what it does not need at once it imports late, because a
host waits for the bridge to start.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import httpx2

from room_mcp import tracing
from room_mcp.client import RETRY_FOR_S, RoomsClient
from room_mcp.serving import Listening, Served, forget
from room_mcp.settings import Settings
from room_mcp.store_address import shown

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mcp.server.auth.provider import AccessToken
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from room_mcp.backend.gate import Door
    from room_mcp.backend.guard import Hosts
    from room_mcp.store.interface import Store

EMBEDDED_URL = "http://embedded"  # never resolved: the transport hands it to the app
COLLECT_AFTER = (50_000, 20, 50)  # allocations, then collections of the younger generation
ENDS_WITHIN_S = 7  # what is asked when the end begins has more than MCP takes; Docker waits for 10
LAST_HERE = (b"connection", b"close")  # a header: after this answer, ask by another connection
SAME_PROCESS_URL = "http://localhost"  # the same, for an app that asks who is addressed

logger = logging.getLogger(__name__)


def open_client(
    settings: Settings,
    *,
    retry_for_s: float = RETRY_FOR_S,
    trusted: bool = True,
    for_many: bool = False,
) -> RoomsClient:
    """A client of the backend that the settings name; nothing is opened before the first call.

    Args:
        retry_for_s: How long to go on trying.
        trusted: Whether calls are those of whoever owns the store, where it is no server's. Others
            have the names that their keys hold.
        for_many: Whether calls of many come by it, whom the settings limit together; none of them
            has the key of this process then, unless a server is named.
    """
    if settings.url:
        return RoomsClient(
            settings.url,
            key=settings.key,
            certificate=settings.certificate,
            retry_for_s=retry_for_s,
        )
    embedded = EmbeddedTransport(settings, trusted=trusted, limited=for_many)
    url = EMBEDDED_URL if trusted else SAME_PROCESS_URL
    key = "" if trusted or for_many else settings.key
    return RoomsClient(url, key=key, transport=embedded, retry_for_s=retry_for_s)


class EmbeddedTransport(httpx2.AsyncBaseTransport):
    """The REST app in this process, on the store of the settings: no port, no daemon.

    Args:
        trusted: Whether requests are those of whoever runs this process, who can open the file
            anyway; not when they are made for callers from elsewhere.
        limited: Whether the limits of the settings hold. Requests in a process come from no
            address: on a database all machines would count as one.
    """

    def __init__(self, settings: Settings, *, trusted: bool = True, limited: bool = True) -> None:
        self._settings = settings
        self._trusted = trusted
        self._limited = limited
        self._opening = anyio.Lock()
        self._store: Store | None = None
        self._app: httpx2.ASGITransport | None = None
        self._retention: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        from room_mcp.backend.errors import problem
        from room_mcp.store.interface import StoreError

        try:
            app = self._app or await self._opened()
        except StoreError as error:
            told = problem(error)
            return httpx2.Response(
                told.status_code, headers=dict(told.headers), content=bytes(told.body)
            )
        return await app.handle_async_request(request)

    async def _opened(self) -> httpx2.ASGITransport:
        import asyncio

        from room_mcp.backend.app import create_app
        from room_mcp.backend.limiting import NO_LIMITS, Limits
        from room_mcp.backend.retention import EMBEDDED_AFTER_S
        from room_mcp.store.opening import open_store

        async with self._opening:
            if self._app is None:
                store = open_store(self._settings.store)
                with anyio.CancelScope(shield=True):  # half opened, nobody would close it
                    await store.open()
                self._store = store
                limits = (
                    Limits.of(self._settings, requires_key=False) if self._limited else NO_LIMITS
                )
                app = create_app(store, self._settings, limits=limits)
                retention = app.state.services.retention
                self._retention = asyncio.create_task(retention.run(EMBEDDED_AFTER_S))
                self._app = _in_process(_trusted(app) if self._trusted else app)
            return self._app

    async def aclose(self) -> None:
        if self._retention is not None:
            self._retention.cancel()
        if self._store is not None:
            await self._store.aclose()


def _in_process(app: ASGIApp) -> httpx2.ASGITransport:
    # Errors become problems inside the app; what still escapes must not rise in its client.
    return httpx2.ASGITransport(app, raise_app_exceptions=False)


def _trusted(app: ASGIApp) -> ASGIApp:
    from room_mcp.backend.callers import trust

    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        trust(scope)
        await app(scope, receive, send)

    return trusted


async def serve(settings: Settings, listening: Listening, door: Door) -> None:
    """Serve the REST backend and MCP until SIGTERM or SIGINT; the first line on stdout is the
    base URL.

    Raises:
        StoreError: The store cannot be opened.
    """
    from room_mcp.backend.app import create_app, drain, leave
    from room_mcp.backend.limiting import Limits
    from room_mcp.bridge.http import MCP_PATH, Keys, McpOverHttp
    from room_mcp.bridge.logs import log_to_stderr
    from room_mcp.bridge.server import build_open_server
    from room_mcp.store.opening import open_store

    log_to_stderr(settings)
    end_traces = tracing.export()
    store = open_store(settings.store)
    await store.open()
    resource_url = (listening.public_url or listening.url(listening.port)) + MCP_PATH
    if door.requires_key:
        await _warn_without_key(store)

    async def backend(scope: Scope, receive: Receive, send: Send) -> None:
        # Past the guard: what this call is made for has come through it.
        scope["app"] = app
        _for_whom_it_is_made(scope)
        await app.state.past_guard(scope, receive, send)

    client = RoomsClient(SAME_PROCESS_URL, transport=_in_process(backend))
    verifier = _Verifier(store, resource_url)
    keys = Keys(verifier, resource_url, door.requires_key, _admitted_to_mcp)
    mcp = McpOverHttp(build_open_server(settings, client), keys=keys)
    app = create_app(
        store,
        settings,
        hosts=_hosts(listening),
        routes=mcp.routes,
        alongside=mcp.running,
        door=door,
        limits=Limits.of(settings, requires_key=door.requires_key, has_demo=door.has_demo),
    )

    def stop() -> None:
        mcp.stop()
        drain(app)

    def note(url: str) -> None:
        if door.requires_key:
            served = Served(
                listening.public_url or url,
                shown(settings.store),
                listening.pin,
                os.getpid(),
            )
            served.note(settings.home)

    try:
        await _listen(app, settings, listening, "", stop, note, partial(leave, app))
    finally:
        forget(settings.home)
        end_traces()


def _for_whom_it_is_made(scope: Scope) -> None:
    """Give a call of the bridge the rights of whoever asked the bridge, and no more."""
    from starlette.requests import HTTPConnection

    from room_mcp.backend.callers import KEY_ID, REQUEST_ID, VIA, trust
    from room_mcp.bridge import agents

    asked_by = agents.asked_by.get()
    if asked_by is agents.OWN_ACCOUNT:
        trust(scope)
    elif isinstance(asked_by, HTTPConnection):
        scope["client"] = asked_by.scope.get("client")
        scope[VIA] = asked_by.scope.get(REQUEST_ID)
        if (key_id := asked_by.scope.get(agents.KEY_ID)) is not None:
            scope[KEY_ID] = key_id


async def _admitted_to_mcp(scope: Scope, has_wrong_key: bool) -> ASGIApp | None:
    """Count what comes to MCP as the gate does for REST: wrong keys, and connections. What to
    answer once there are too many; None lets the request in."""
    from starlette.requests import HTTPConnection

    from room_mcp.backend import observing
    from room_mcp.backend.auditing import note_at_door
    from room_mcp.backend.callers import CALLER, REQUEST_ID, Caller
    from room_mcp.backend.errors import HttpProblem, problem

    services = scope["app"].state.services
    request = HTTPConnection(scope)
    try:
        if has_wrong_key:
            note_at_door(scope, HttpProblem("key_invalid", "The key lets nobody in."))
            await services.gate.knock(request)
        scope[CALLER] = caller = Caller() if has_wrong_key else await services.gate.caller(request)
        if caller.key is not None:
            observing.note(key_id=caller.key.id)
        await services.limiter.connected(request)
    except HttpProblem as refusal:
        observing.note_refusal(refusal)
        return problem(refusal, scope.get(REQUEST_ID, ""))
    return None


class _Verifier:
    """The server's keys as the SDK wants to know them; a key is made for this server alone."""

    def __init__(self, store: Store, resource_url: str) -> None:
        from room_mcp.backend.gate import Gate
        from room_mcp.backend.service import utc_now

        self._gate = Gate(store, utc_now)
        self._resource_url = resource_url

    async def verify_token(self, token: str) -> AccessToken | None:
        from mcp.server.auth.provider import AccessToken

        from room_mcp.backend.callers import SERVER_KEY_PREFIX
        from room_mcp.bridge.http import CLAIMED_KEY

        key = await self._gate.key(token) if token.startswith(SERVER_KEY_PREFIX) else None
        if key is None:
            return None
        return AccessToken(
            token=key.id,  # nothing here needs to see the key again
            client_id=key.id,
            scopes=[],
            resource=self._resource_url,
            subject=key.name,
            claims={CLAIMED_KEY: key.id},
        )


def _hosts(listening: Listening) -> Hosts:
    from room_mcp.backend.guard import Hosts

    return Hosts(listening.own_names, listening.is_on_all_addresses, listening.public_origin)


async def _warn_without_key(store: Store) -> None:
    """Say so when nobody could come in."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    if not any(key.is_valid(now) for key in await store.server_keys()):
        print(
            "room-mcp: no key is valid yet, so nobody can come in: "
            "`room-mcp invite` brings another machine in, `room-mcp keys create NAME` makes a key; "
            "both also while the server runs.",
            file=sys.stderr,
        )


async def serve_mcp(
    settings: Settings,
    transport: str,
    host: str,
    port: int,
    *,
    path: str = "",
    max_wait_s: float | None = None,
) -> None:
    """Serve MCP alone over HTTP; the first line on stdout is the URL for hosts.

    Args:
        transport: "streamable-http" or "sse".
        port: 0 picks a free one.
        path: Where it is served; by default /mcp or /sse.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware

    from room_mcp.backend.guard import Guard
    from room_mcp.bridge.http import MCP_PATH, SSE_PATH, McpOverHttp
    from room_mcp.bridge.logs import log_to_stderr
    from room_mcp.bridge.server import build_open_server

    log_to_stderr(settings)
    client = open_client(settings, trusted=False, for_many=True)
    server = build_open_server(settings, client, max_wait_s=max_wait_s)
    sse = transport == "sse"
    path = path or (SSE_PATH if sse else MCP_PATH)
    mcp = McpOverHttp(server, mcp_path="" if sse else path, sse_path=path if sse else "")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with client, mcp.running():
            yield

    app = Starlette(routes=mcp.routes, middleware=[Middleware(Guard)], lifespan=lifespan)
    app.router.redirect_slashes = False  # as beside REST: an address is one, or 404
    await _listen(app, settings, Listening(host, port), path, mcp.stop)


async def _listen(
    app: Starlette,
    settings: Settings,
    listening: Listening,
    path: str,
    stop: Callable[[], None],
    started: Callable[[str], None] = lambda url: None,
    leave: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, printing the URL first.

    Args:
        started: Called with the URL just before it is printed.
        leave: Called when SIGTERM comes, `listening.drain_s` before the end begins.
        stop: Called when the end begins: what waits has to be answered, else every open wait
            would hold the end up.
    """
    import asyncio

    import uvicorn

    from room_mcp.backend.listening import BoundedProtocol

    loop = asyncio.get_running_loop()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            if self.servers:
                bound = self.servers[0].sockets[0].getsockname()[1]
                url = listening.url(bound)
                started(url)
                print(f"{url}{path}", flush=True)

        is_leaving = False

        def handle_exit(self, sig: int, frame: object) -> None:
            # A signal may arrive in the middle of anything; the loop is where others sleep.
            if sig == signal.SIGTERM and listening.drain_s and not self.is_leaving:
                self.is_leaving = True
                loop.call_soon_threadsafe(self._leave)
                return
            loop.call_soon_threadsafe(stop)
            super().handle_exit(sig, None)

        def _leave(self) -> None:
            leave()
            # Whoever keeps a connection would come back by it, and find it closed in the end.
            config.encoded_headers.append(LAST_HERE)
            self.server_state.default_headers.append(LAST_HERE)
            loop.call_later(listening.drain_s, self.handle_exit, signal.SIGTERM, None)

    config = uvicorn.Config(
        app,
        host=listening.host,
        port=listening.port,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.private_key,
        # Else a caller could say who he is: only what stands in front of us knows better.
        proxy_headers=bool(listening.proxy_ips),
        forwarded_allow_ips=list(listening.proxy_ips),
        http=BoundedProtocol,
        ws="none",
        log_config=None,  # its records go the way of all others
        log_level=settings.log_level.lower(),
        access_log=False,  # paths hold room ids, and an id is what lets one in
        timeout_graceful_shutdown=ENDS_WITHIN_S,
        server_header=False,
    )
    gc.collect()
    gc.freeze()  # what was imported stays: no collection has to look at it
    # Each connection keeps hundreds of objects; looked through as often as by default, those of a
    # thousand clients hold every answer up for tens of milliseconds.
    gc.set_threshold(*COLLECT_AFTER)
    await Server(config).serve()
