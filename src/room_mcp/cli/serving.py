"""The commands that serve or start something else: MCP alone, `serve`, `demo`, `version`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import resource
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, NoReturn

import room_mcp
from room_mcp.serving import Listening, is_loopback

from . import Failed, WrongUse, door
from .door import DEFAULT_HOST, DEFAULT_PORT
from .options import Commands, command

OPEN_FILES = 10_240  # what every system grants that grants more than 1,024
STDIO = "stdio"
TRANSPORTS = (STDIO, "streamable-http", "http", "sse")

AT_A_TERMINAL = (
    "room-mcp: this is an MCP server that waits for a host to speak on stdin. "
    "`room-mcp install` registers it with a host, `room-mcp --help` shows the other commands."
)


def mcp(args: argparse.Namespace) -> int:
    """Serve MCP alone: over stdin and stdout until stdin ends, or over HTTP until stopped."""
    transport = args.transport or STDIO
    if transport not in TRANSPORTS:
        raise WrongUse(f"There is no transport {transport!r}. Choose {' or '.join(TRANSPORTS)}.")
    return _stdio(args) if transport == STDIO else _http(args, transport)


def _stdio(args: argparse.Namespace) -> int:
    if any(value is not None for value in (args.mcp_host, args.mcp_port, args.path)):
        raise WrongUse(
            "--host, --port and --path need --transport streamable-http or sse; over stdio there "
            "is no address."
        )
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
    from room_mcp.bridge.stdio import run_stdio
    from room_mcp.compose import open_client

    gc.enable()
    gc.freeze()
    # An agent of one machine is not trusted with the names of another's.
    client = open_client(settings, trusted=not settings.is_shared)
    return run_stdio(settings, client, agent=args.own_name or "", max_wait_s=args.max_wait)


def _http(args: argparse.Namespace, transport: str) -> int:
    from room_mcp.settings import AGENT, Settings

    settings = Settings.from_env()
    if args.own_name or settings.agent:
        raise WrongUse(
            f"--agent and {AGENT.name} name the one agent of a stdio process. Over HTTP every "
            "agent names itself, by its address /as/NAME/… or the header Room-Agent."
        )
    host = DEFAULT_HOST if args.mcp_host is None else args.mcp_host
    port = DEFAULT_PORT if args.mcp_port is None else args.mcp_port
    _must_be_loopback(host, port)
    _must_be_free(host, port)
    from room_mcp.compose import serve_mcp

    # One name for the transport, by whichever it was asked for.
    kind = "sse" if transport == "sse" else "streamable-http"
    path = args.path or ""
    return _run(serve_mcp(settings, kind, host, port, path=path, max_wait_s=args.max_wait))


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "serve",
        "serve the rooms of this machine over HTTP",
        serve,
        "The first line on stdout is the server's address.",
    )
    door.add_options(parser)


def serve(args: argparse.Namespace) -> int:
    """Serve the REST backend and MCP on one port until SIGTERM or Ctrl-C."""
    from room_mcp.settings import URL, Settings

    settings = Settings.from_env()
    if settings.is_connected:
        raise WrongUse(
            f"This machine is connected to {settings.url}, where its rooms are. `room-mcp "
            "disconnect` lets it serve its own."
        )
    if settings.url:
        raise WrongUse(
            f"{URL.name} is set: it says that the rooms are on another server. Unset it to serve "
            "the rooms of this machine."
        )
    lets_in = door.door_of(args)
    listening = door.listening_of(args, settings)
    _must_be_free(args.host, args.port)
    _say(listening)
    from room_mcp.compose import serve

    if args.store:
        settings = replace(settings, store=args.store)
    return _run(serve(settings, listening, lets_in))


def _say(listening: Listening) -> None:
    """What a person has to know beside the address, which alone goes to stdout."""
    if listening.pin:
        from room_mcp import certificates

        shown = certificates.shown(certificates.fingerprint(listening.pin))
        print(f"room-mcp: certificate SHA-256 {shown}", file=sys.stderr)
    if listening.public_url:
        print(f"room-mcp: others reach it at {listening.public_url}", file=sys.stderr)
    elif listening.is_on_all_addresses:
        print("room-mcp: it listens on every address of this machine", file=sys.stderr)


def _run(serving: Coroutine[Any, Any, None]) -> int:
    import asyncio

    import uvloop

    _allow_many_connections()
    # The server ends in order first, then raises the signal again.
    signal.signal(signal.SIGTERM, _end)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serving)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _allow_many_connections() -> None:
    """As many open files as the system grants a process: by default it is 1,024 on many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    with contextlib.suppress(ValueError, OSError):  # what there is has to do then
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _must_be_loopback(host: str, port: int) -> None:
    if not is_loopback(host):
        raise WrongUse(
            f"--host {host} would let others in, and MCP alone knows no keys: it serves this "
            "machine only. `room-mcp serve --require-key` has MCP too, for others as well; or a "
            f"tunnel leads here: ssh -L {port}:127.0.0.1:{port} HOST"
        )


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

    return run_demo(args.name)


def version(args: argparse.Namespace) -> int:
    print(f"room-mcp {room_mcp.__version__}")
    return 0
