"""The least that an MCP server on the same SDK can be: what ours is held against."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("minimal", version="0")


@server.tool()
async def noop(text: str = "") -> str:
    """Do nothing."""
    return text


if __name__ == "__main__":
    server.run()
