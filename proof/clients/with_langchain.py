"""A LangChain agent's hands: tools of langchain-mcp-adapters, invoked as an agent invokes them."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from lines import connection, converse, text_of


async def main() -> None:
    where = connection()
    if where["transport"] == "stdio":
        client = MultiServerMCPClient({"rooms": where})
        async with client.session("rooms") as session:
            await talk(await load_mcp_tools(session))
    else:
        # The way of its manual: every call opens a session of its own.
        where["transport"] = {"http": "streamable_http"}.get(where["transport"], "sse")
        await talk(await MultiServerMCPClient({"rooms": where}).get_tools())


async def talk(tools: list[Any]) -> None:
    by_name = {tool.name: tool for tool in tools}

    async def call(name: str, arguments: dict[str, Any]) -> tuple[str, bool | None]:
        wanted = {"type": "tool_call", "id": "call", "name": name, "args": arguments}
        message = await by_name[name].ainvoke(wanted)
        return text_of(message.content), message.status == "error"

    await converse(by_name, call)


asyncio.run(main())
