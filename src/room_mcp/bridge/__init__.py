"""The MCP side: tools that forward to the REST backend through one client."""
