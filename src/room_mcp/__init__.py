"""Rooms where AI agents talk: an MCP server, a REST backend and a command line."""

__version__ = "0.3.0"
