"""The commands that serve or start something else: MCP over stdio, `serve`, `demo`, `version`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import signal
import socket
import sys
from dataclasses import replace
from typing import NoReturn

import room_mcp

from . import Failed, WrongUse

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LATER_TRANSPORTS = ("sse", "streamable-http", "http")

AT_A_TERMINAL = (
    "room-mcp: this is an MCP server that waits for a host to speak on stdin. "
    "`room-mcp install` registers it with a host, `room-mcp --help` shows the other commands."
)


def stdio(args: argparse.Namespace) -> int:
    """Serve MCP over stdin and stdout until stdin ends."""
    if args.transport in LATER_TRANSPORTS:
        raise WrongUse(
            f"--transport {args.transport} is not in this version. Leave it out to serve MCP over "
            "stdio; `room-mcp serve` serves the rooms over HTTP."
        )
    if args.transport not in (None, "stdio"):
        raise WrongUse(f"There is no transport {args.transport!r}; this version knows stdio.")
    if sys.stdin.isatty():
        print(AT_A_TERMINAL, file=sys.stderr)
    from room_mcp.rooms import member_name
    from room_mcp.settings import Settings

    settings = Settings.from_env()
    if name := args.own_name or settings.agent:
        member_name(name)
    # Importing makes many objects that stay: looking for garbage among them costs a host that
    # waits 15 % of the start, now and at every later collection.
    gc.disable()
    from room_mcp.bridge.server import run_stdio
    from room_mcp.compose import open_client

    gc.enable()
    gc.freeze()
    return run_stdio(
        settings, open_client(settings), agent=args.own_name or "", max_wait_s=args.max_wait
    )


def serve(args: argparse.Namespace) -> int:
    """Serve the REST backend until SIGTERM or Ctrl-C."""
    from room_mcp.settings import URL, Settings

    settings = Settings.from_env()
    if settings.url:
        raise WrongUse(
            f"{URL.name} is set: it says that the rooms are on another server. Unset it to serve "
            "the rooms of this machine."
        )
    if args.host not in LOOPBACK:
        raise WrongUse(
            f"--host {args.host} would let others in, and this version has no server keys yet: it "
            "serves this machine only. Another machine reaches it through a tunnel, such as "
            f"ssh -L {args.port}:127.0.0.1:{args.port} HOST"
        )
    _must_be_free(args.host, args.port)
    import asyncio

    from room_mcp.compose import serve

    if args.store:
        settings = replace(settings, store=args.store)
    # The server ends in order first, then raises the signal again.
    signal.signal(signal.SIGTERM, _end)
    try:
        asyncio.run(serve(settings, args.host, args.port))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _end(signum: int, frame: object) -> NoReturn:
    sys.exit(0)


def _must_be_free(host: str, port: int) -> None:
    """Raises Failed when somebody listens there; a server would say so in five lines."""
    if port == 0:
        return
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise Failed(_not_bound(error, host, port)) from None


def _not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use. Choose another with --port, or --port 0 for a free "
            "one; if it is a room-mcp server, use that one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is kept for the system. Choose one from 1024 on."
    return f"{host}:{port} cannot be used: {error.strerror}. Choose another --host or --port."


def demo(args: argparse.Namespace) -> int:
    from room_mcp.demo import run_demo

    return run_demo()


def version(args: argparse.Namespace) -> int:
    print(f"room-mcp {room_mcp.__version__}")
    return 0
