"""MCP over stdin and stdout: what a host starts for its agent."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

import anyio
from mcp.server.stdio import stdio_server

from room_mcp.client import RoomsClient
from room_mcp.settings import Settings

from . import sdk
from .logs import log_to_stderr
from .server import RoomServer, build_server
from .waiting import PROGRESS_EVERY_S

_STDIO_EXIT = 128  # plus the signal's number, as shells report it


def run_stdio(
    settings: Settings,
    client: RoomsClient,
    *,
    agent: str = "",
    max_wait_s: float | None = None,
    progress_every_s: float = PROGRESS_EVERY_S,
) -> int:
    """Serve MCP over stdin and stdout until EOF, SIGTERM or SIGINT. The process's exit code."""
    log_to_stderr(settings)
    server = build_server(
        settings,
        client,
        agent=agent,
        max_wait_s=max_wait_s,
        progress_every_s=progress_every_s,
    )
    return anyio.run(_serve_stdio, server, client)


async def _serve_stdio(server: RoomServer, client: RoomsClient) -> int:
    # The SDK's own loop leaves a reader thread behind on SIGINT and no time to clean up on
    # SIGTERM; this one closes the backend, and then leaves without waiting for that thread.
    caught = 0
    # What a dependency prints would wait in sys.stdout, and reach the host when descriptor 1 is
    # given back at the end.
    async with stdio_server() as (read_stream, write_stream):
        with contextlib.redirect_stdout(sys.stderr), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def on_signal() -> None:
                    nonlocal caught
                    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                        async for one in signals:
                            caught = int(one)
                            scope.cancel()
                            return

                tasks.start_soon(on_signal)
                await sdk.run(server, read_stream, write_stream)
                await server.leave()
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await client.aclose()
        if caught:
            sys.stderr.flush()
            os._exit(_STDIO_EXIT + caught)
    return 0
