"""The least that an MCP server on the same SDK can be: what ours is held against.

python -m bench.minimal_server [PORT]     over stdio, or over streamable HTTP at /mcp
"""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("minimal", version="0")


@server.tool()
async def noop(text: str = "") -> str:
    """Do nothing."""
    return text


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
