"""An agent of openai-agents, run with a model that calls the one tool it is told to call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.mcp import MCPServer, MCPServerSse, MCPServerStdio, MCPServerStreamableHttp
from lines import LONGEST_CALL_S, connection, converse, text_of
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

SERVERS = {"stdio": MCPServerStdio, "http": MCPServerStreamableHttp, "sse": MCPServerSse}


class Puppet(Model):
    """Calls a tool, and ends the run when it is shown the output."""

    def __init__(self) -> None:
        self.tool = ""
        self.arguments: dict[str, Any] = {}
        self.shown: Any = ""
        self._calls = 0

    async def get_response(
        self, system_instructions: str | None, input: Any, *_: Any, **__: Any
    ) -> ModelResponse:
        last = input[-1]
        if last.get("type") == "function_call_output":
            self.shown = last["output"]
            text = ResponseOutputText(type="output_text", text="Seen.", annotations=[])
            output: Any = ResponseOutputMessage(
                id="said", type="message", role="assistant", status="completed", content=[text]
            )
        else:
            self._calls += 1
            output = ResponseFunctionToolCall(
                type="function_call",
                call_id=f"call-{self._calls}",
                name=self.tool,
                arguments=json.dumps(self.arguments),
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("nothing here streams")


async def main() -> None:
    set_tracing_disabled(True)
    where = connection()
    # Its default of 5 s is shorter than a wait; a user has to set this too.
    server: MCPServer = SERVERS[where.pop("transport")](
        params=where, client_session_timeout_seconds=LONGEST_CALL_S
    )
    async with server:
        model = Puppet()
        agent = Agent(name="agent", model=model, mcp_servers=[server])

        async def call(name: str, arguments: dict[str, Any]) -> tuple[str, bool | None]:
            model.tool, model.arguments = name, arguments
            await Runner.run(agent, "Go on.")
            return text_of(model.shown), None

        await converse([tool.name for tool in await server.list_tools()], call)


asyncio.run(main())
