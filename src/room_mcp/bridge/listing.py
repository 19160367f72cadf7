"""How the tools are listed: their names, titles and hints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations

from .tools import Tools


def register(server: MCPServer[Any], tools: Tools) -> None:
    """Put the tools on the server, with titles and all four hints."""
    for tool, title, hints in _table(tools):
        server.add_tool(
            cast("Callable[..., Any]", tool),
            title=title,
            description=" ".join((tool.__doc__ or "").split()),
            annotations=hints,
            structured_output=False,
        )


def _table(
    tools: Tools,
) -> tuple[tuple[Callable[..., Awaitable[CallToolResult]], str, ToolAnnotations], ...]:
    # Others' words come from outside, so what reads them is open-world; nothing but closing a
    # room takes anything away.
    reads = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
    )
    writes = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
    )
    ends = ToolAnnotations(
        read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
    )
    return (
        (tools.create_room, "Open a room", writes),
        (tools.join_room, "Join a room", writes),
        (tools.send_message, "Send a message", writes),
        (tools.wait_for_messages, "Wait for messages", reads),
        (tools.read_history, "Read a room's history", reads),
        (tools.list_rooms, "List rooms", reads),
        (tools.search_messages, "Search messages", reads),
        (tools.close_room, "Close a room", ends),
    )
