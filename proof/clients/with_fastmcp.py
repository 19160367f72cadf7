"""The client of fastmcp."""

from __future__ import annotations

import asyncio
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from lines import connection, converse, text_of


async def main() -> None:
    where = connection()
    over_stdio = where.pop("transport") == "stdio"
    # A URL that ends with /sse is spoken to over SSE.
    async with Client(StdioTransport(**where) if over_stdio else where["url"]) as client:

        async def call(name: str, arguments: dict[str, Any]) -> tuple[str, bool | None]:
            result = await client.call_tool(name, arguments, raise_on_error=False)
            return text_of(result.content), result.is_error

        await converse([tool.name for tool in await client.list_tools()], call)


asyncio.run(main())
