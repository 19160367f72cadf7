"""What the bridge needs of the SDK and finds only in its private parts; nothing else touches them.

tests/bridge/test_sdk.py says which part is missing when a release has moved one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.mcpserver import MCPServer
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from pydantic import BaseModel

ParamsT = TypeVar("ParamsT", bound=BaseModel)


def lowlevel(server: MCPServer[Any]) -> Server[Any]:
    """The server below, which runs connections and knows the handler of each method."""
    return server._lowlevel_server  # pyright: ignore[reportPrivateUsage] -- MCPServer offers no way in


def handle(
    server: MCPServer[Any],
    method: str,
    params: type[ParamsT],
    handler: Callable[[ServerRequestContext[Any, Any], ParamsT], Awaitable[Any]],
) -> None:
    """Answer a method of the protocol that MCPServer answers otherwise, or not at all."""
    lowlevel(server).add_request_handler(method, params, handler)


def announce_resources(server: MCPServer[Any]) -> None:
    """Tell clients of the handshake era that the list of resources changes; by itself the SDK
    says that it does not."""
    below = lowlevel(server)
    original = below.create_initialization_options

    def with_resources(
        options: NotificationOptions | None = None, *others: Any, **named: Any
    ) -> Any:
        options = options or NotificationOptions(resources_changed=True)
        return original(options, *others, **named)

    below.create_initialization_options = with_resources  # pyright: ignore[reportAttributeAccessIssue]


def without_header_arguments(server: MCPServer[Any], tools: Collection[str]) -> None:
    """Say that no argument of these tools comes as an HTTP header; to find that out, the SDK
    looks through a tool's schema at every call."""
    below = lowlevel(server)
    original = below.get_tool_input_schema

    def schema(name: str) -> Mapping[str, Any] | None:
        return None if name in tools or original is None else original(name)

    below.get_tool_input_schema = schema


def connection(context: ServerRequestContext[Any, Any]) -> Connection:
    """The connection that a request came by, which outlives the request in the handshake era."""
    return context.session._connection  # pyright: ignore[reportPrivateUsage] -- no public way to push later


async def run(
    server: MCPServer[Any],
    read: ReadStream[SessionMessage | Exception],
    write: WriteStream[SessionMessage],
) -> None:
    """Serve one connection over the given streams until the read side closes."""
    below = lowlevel(server)
    await below.run(read, write, below.create_initialization_options())
