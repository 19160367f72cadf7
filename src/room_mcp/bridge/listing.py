"""How the tools are listed: their names, titles and hints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import CallToolResult, ToolAnnotations

from .tools import Tools

AnyTool = Callable[..., Awaitable[CallToolResult]]

# Others' words come from outside, so what reads them is open-world; nothing but closing a room
# takes anything away.
_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
_ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
_TABLE: tuple[tuple[AnyTool, str, ToolAnnotations], ...] = (
    (Tools.create_room, "Open a room", _WRITES),
    (Tools.join_room, "Join a room", _WRITES),
    (Tools.send_message, "Send a message", _WRITES),
    (Tools.wait_for_messages, "Wait for messages", _READS),
    (Tools.read_history, "Read a room's history", _READS),
    (Tools.list_rooms, "List rooms", _READS),
    (Tools.search_messages, "Search messages", _READS),
    (Tools.close_room, "Close a room", _ENDS),
)
TOOL_NAMES = tuple(tool.__name__ for tool, _, _ in _TABLE)


def register(server: MCPServer[Any], tools_of: Callable[[Context[Any, Any]], Tools]) -> None:
    """Put the tools on the server, with titles and all four hints.

    Args:
        tools_of: The tools of the agent for which a call is made.
    """
    for tool, title, hints in _TABLE:
        server.add_tool(
            _of_caller(tool, tools_of),
            title=title,
            description=" ".join((tool.__doc__ or "").split()),
            annotations=hints,
            structured_output=False,
        )


def _of_caller(tool: AnyTool, tools_of: Callable[[Context[Any, Any]], Tools]) -> Callable[..., Any]:
    """The method as a function that finds whose it is by the context of the call."""

    @functools.wraps(tool)
    async def called(ctx: Context[Any, Any], **arguments: Any) -> CallToolResult:
        return await tool(tools_of(ctx), ctx, **arguments)

    signature = inspect.signature(tool, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name != "self"]
    called.__signature__ = signature.replace(parameters=own)  # pyright: ignore[reportAttributeAccessIssue]
    return called
