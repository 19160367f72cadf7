"""An agent of pydantic-ai, run with a model that calls the one tool it is told to call."""

from __future__ import annotations

import asyncio
from typing import Any

from fastmcp.client.transports import StdioTransport
from lines import LONGEST_CALL_S, connection, converse
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel


async def main() -> None:
    where = connection()
    over_stdio = where.pop("transport") == "stdio"
    wanted: ToolCallPart | None = None
    shown, refused = "", False

    def puppet(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """Calls a tool, and ends the run when it is shown what came of it."""
        nonlocal shown, refused
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            shown, refused = last.model_response_str(), last.outcome != "success"
            return ModelResponse(parts=[TextPart("Seen.")])
        assert wanted is not None
        return ModelResponse(parts=[wanted])

    # A URL that ends with /sse is spoken to over SSE.
    transport = StdioTransport(**where) if over_stdio else where["url"]
    # By default it gives a server 5 s to start, which a busy machine may need.
    toolset = MCPToolset(transport, init_timeout=LONGEST_CALL_S, read_timeout=LONGEST_CALL_S)
    agent = Agent(FunctionModel(puppet), toolsets=[toolset])

    async def call(name: str, arguments: dict[str, Any]) -> tuple[str, bool | None]:
        nonlocal wanted
        wanted = ToolCallPart(name, arguments)
        await agent.run("Go on.")
        return shown, refused

    async with agent:
        await converse([tool.name for tool in await toolset.list_tools()], call)


asyncio.run(main())
