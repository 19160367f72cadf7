"""The icon that hosts show beside the server: two speech bubbles."""

from __future__ import annotations

from base64 import b64encode

from mcp.types import Icon

# Small, because it travels with every answer of the 2026-07-28 protocol.
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
    '<path fill="#2f5d62" d="M0 0h6v4H2L0 6z"/><path fill="#7cb9a8" d="M3 5h6v4L7 7H3z"/></svg>'
)
ICON = Icon(
    src=f"data:image/svg+xml;base64,{b64encode(_SVG.encode()).decode()}",
    mime_type="image/svg+xml",
    sizes=["any"],
)
