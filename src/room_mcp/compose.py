"""The glue: how this process reaches its backend, and how backend and bridge are served to others.

The only module that knows both sides; what it does not need at once it imports late, because a
host waits for the bridge to start.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx2

from room_mcp.client import RoomsClient
from room_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

    from room_mcp.store.interface import Store

EMBEDDED_URL = "http://embedded"  # never resolved: the transport hands it to the app
COLLECT_AFTER = (50_000, 20, 50)  # allocations, then collections of the younger generation
SAME_PROCESS_URL = "http://localhost"  # the same, for an app that asks who is addressed

logger = logging.getLogger(__name__)


def open_client(settings: Settings) -> RoomsClient:
    """A client of the backend that the settings name; nothing is opened before the first call."""
    if settings.url:
        return RoomsClient(settings.url, key=settings.key)
    return RoomsClient(EMBEDDED_URL, transport=EmbeddedTransport(settings))


class EmbeddedTransport(httpx2.AsyncBaseTransport):
    """The REST app in this process, on the store of the settings: no port, no daemon.

    Args:
        trusted: Whether requests are those of whoever runs this process, who can open the file
            anyway; not when they are made for callers from elsewhere.
    """

    def __init__(self, settings: Settings, *, trusted: bool = True) -> None:
        self._settings = settings
        self._trusted = trusted
        self._opening = anyio.Lock()
        self._store: Store | None = None
        self._app: httpx2.ASGITransport | None = None

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
        from room_mcp.backend.app import create_app
        from room_mcp.store.opening import open_store

        async with self._opening:
            if self._app is None:
                store = open_store(self._settings.store)
                with anyio.CancelScope(shield=True):  # half opened, nobody would close it
                    await store.open()
                self._store = store
                app = create_app(store, self._settings)
                self._app = _in_process(_trusted(app) if self._trusted else app)
            return self._app

    async def aclose(self) -> None:
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


async def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the REST backend and MCP until SIGTERM or SIGINT; the first line on stdout is the
    base URL.

    Args:
        port: 0 picks a free one.

    Raises:
        StoreError: The store cannot be opened.
    """
    from room_mcp.backend.app import create_app, drain
    from room_mcp.bridge.http import McpOverHttp
    from room_mcp.bridge.logs import log_to_stderr
    from room_mcp.bridge.server import build_open_server
    from room_mcp.store.opening import open_store

    log_to_stderr(settings)
    store = open_store(settings.store)
    await store.open()

    async def backend(scope: Scope, receive: Receive, send: Send) -> None:
        # Not trusted: whoever reaches the port may call, and has no more rights than by REST.
        # Past the guard: what this call is made for has come through it.
        scope["app"] = app
        await app.router(scope, receive, send)

    client = RoomsClient(SAME_PROCESS_URL, transport=_in_process(backend))
    mcp = McpOverHttp(build_open_server(settings, client))
    app = create_app(store, settings, routes=mcp.routes, alongside=mcp.running)

    def stop() -> None:
        mcp.stop()
        drain(app)

    await _listen(app, settings, host, port, "", stop)


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

    from room_mcp.backend.guard import LOOPBACK, Guard
    from room_mcp.bridge.http import MCP_PATH, SSE_PATH, McpOverHttp
    from room_mcp.bridge.logs import log_to_stderr
    from room_mcp.bridge.server import build_open_server

    log_to_stderr(settings)
    if settings.url:
        client = open_client(settings)
    else:
        embedded = EmbeddedTransport(settings, trusted=False)
        client = RoomsClient(SAME_PROCESS_URL, transport=embedded)
    server = build_open_server(settings, client, max_wait_s=max_wait_s)
    sse = transport == "sse"
    path = path or (SSE_PATH if sse else MCP_PATH)
    mcp = McpOverHttp(server, mcp_path="" if sse else path, sse_path=path if sse else "")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with client, mcp.running():
            yield

    app = Starlette(
        routes=mcp.routes, middleware=[Middleware(Guard, hosts=LOOPBACK)], lifespan=lifespan
    )
    app.router.redirect_slashes = False  # as beside REST: an address is one, or 404
    await _listen(app, settings, host, port, path, mcp.stop)


async def _listen(
    app: Starlette,
    settings: Settings,
    host: str,
    port: int,
    path: str,
    stop: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, printing the URL first.

    Args:
        stop: Called once when the end begins: what waits has to be answered, else every open
            wait would hold the end up.
    """
    import asyncio

    import uvicorn

    loop = asyncio.get_running_loop()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            if self.servers:
                bound = self.servers[0].sockets[0].getsockname()[1]
                shown = f"[{host}]" if ":" in host else host
                print(f"http://{shown}:{bound}{path}", flush=True)

        def handle_exit(self, sig: int, frame: object) -> None:
            # A signal may arrive in the middle of anything; the loop is where others sleep.
            loop.call_soon_threadsafe(stop)
            super().handle_exit(sig, None)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level=settings.log_level.lower(),
        access_log=False,  # paths hold room ids, and an id is what lets one in
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    gc.collect()
    gc.freeze()  # what was imported stays: no collection has to look at it
    # Each connection keeps hundreds of objects; looked through as often as by default, those of a
    # thousand clients hold every answer up for tens of milliseconds.
    gc.set_threshold(*COLLECT_AFTER)
    await Server(config).serve()
