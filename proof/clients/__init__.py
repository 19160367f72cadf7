"""MCP clients that were not written here, talking with each other through rooms."""
