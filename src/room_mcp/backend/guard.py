"""The door of a local server: which hosts and pages may knock, and headers for every answer."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .callers import TRUSTED
from .errors import HttpProblem, problem

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_AUTHORITY = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.\-]+))(?::\d{1,5})?")

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests for other hosts and from other sites' pages.

    A page that rebinds its name to 127.0.0.1 still sends its own name as `Host`.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = LOOPBACK) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # httptools leaves the blanks behind a header's value, which are no part of it (RFC 9110).
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        scope = {**scope, "headers": headers}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = None if scope.get(TRUSTED) else self._refusal(Headers(scope=scope))
        app = self._app if refusal is None else problem(refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> HttpProblem | None:
        if _host(headers.get("host", "")) not in self._hosts:
            return HttpProblem(
                "host_not_allowed",
                "This server does not answer to that host name.",
                "Use http://127.0.0.1 or http://localhost with its port.",
            )
        origin = headers.get("origin")
        if origin is not None and _host(origin.partition("://")[2]) not in self._hosts:
            return HttpProblem(
                "origin_not_allowed",
                "Pages of other sites may not call this server.",
                "Call it from a program, or from a page of this server.",
            )
        return None


def _host(authority: str) -> str | None:
    """The name in `name:port`, without the brackets of an address; None when it is none."""
    match = _AUTHORITY.fullmatch(authority)
    return (match["address"] or match["name"]).lower() if match else None
