"""The glue: how this process reaches its backend, and how the backend is served to others.

The only module that knows both sides; what it does not need at once it imports late, because a
host waits for the bridge to start.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import httpx2

from room_mcp.client import RoomsClient
from room_mcp.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from room_mcp.store.interface import Store

EMBEDDED_URL = "http://embedded"  # never resolved: the transport hands it to the app

logger = logging.getLogger(__name__)


def open_client(settings: Settings) -> RoomsClient:
    """A client of the backend that the settings name; nothing is opened before the first call."""
    if settings.url:
        return RoomsClient(settings.url, key=settings.key)
    return RoomsClient(EMBEDDED_URL, transport=EmbeddedTransport(settings))


class EmbeddedTransport(httpx2.AsyncBaseTransport):
    """The REST app in this process, on the store of the settings: no port, no daemon.

    Requests through it are trusted: whoever runs this process can open the file anyway.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
                await store.open()
                self._store = store
                # Errors become problems inside the app; what still escapes must not rise here.
                self._app = httpx2.ASGITransport(
                    _trusted(create_app(store, self._settings)), raise_app_exceptions=False
                )
            return self._app

    async def aclose(self) -> None:
        if self._store is not None:
            await self._store.aclose()


def _trusted(app: ASGIApp) -> ASGIApp:
    from room_mcp.backend.callers import trust

    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        trust(scope)
        await app(scope, receive, send)

    return trusted


async def serve(settings: Settings, host: str, port: int) -> None:
    """Serve the REST backend until SIGTERM or SIGINT; the first line on stdout is the base URL.

    Args:
        port: 0 picks a free one.

    Raises:
        StoreError: The store cannot be opened.
    """
    import uvicorn

    from room_mcp.backend.app import create_app, drain
    from room_mcp.store.opening import open_store

    store = open_store(settings.store)
    await store.open()
    app = create_app(store, settings)

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            if self.servers:
                bound = self.servers[0].sockets[0].getsockname()[1]
                shown = f"[{host}]" if ":" in host else host
                print(f"http://{shown}:{bound}", flush=True)

        def handle_exit(self, sig: int, frame: object) -> None:
            drain(app)  # else every open wait would hold the end up
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
    await Server(config).serve()
