"""The door of a server: which host names and pages may knock, and headers for every answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from room_mcp.serving import LOOPBACK

from . import auditing
from .callers import REQUEST_ID, TRUSTED
from .errors import HttpProblem, problem

DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(
    r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.\-]+))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """What a server is called by.

    Args:
        names: Host names and addresses, in small letters.
        by_address: Whether it is also called by the address at which a connection arrives: right
            where it listens on all addresses. A page that rebinds a name sends that name.
        public_origin: The origin of its pages behind something that ends TLS for it.
    """

    names: frozenset[str] = LOOPBACK
    by_address: bool = False
    public_origin: str = ""


THIS_MACHINE = Hosts()


class _Authority(NamedTuple):
    """A name and port; the port is None where none is said."""

    name: str
    port: int | None


_HEADERS = {
    "Cache-Control": "no-store",
    # With no-referrer, browsers would post our own forms with "Origin: null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests for other hosts and from other sites' pages.

    A page that rebinds its name to 127.0.0.1 still sends its own name as `Host`.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts = THIS_MACHINE) -> None:
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

        refusal = None if scope.get(TRUSTED) else self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            auditing.note_at_door(scope, refusal)
        app = self._app if refusal is None else problem(refusal, scope.get(REQUEST_ID, ""))
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> HttpProblem | None:
        host = _authority(headers.get("host", ""))
        if host is None or not self._is_ours(host.name, scope):
            return HttpProblem(
                "host_not_allowed",
                "This server does not answer to that host name.",
                "Use the address that it printed when it started; whoever runs it lets it answer "
                "to another name with --allow-host NAME.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own_page(origin, host, scope):
            return HttpProblem(
                "origin_not_allowed",
                "Pages of other sites may not call this server.",
                "Call it from a program, or from a page of this server.",
            )
        return None

    def _is_ours(self, name: str, scope: Scope) -> bool:
        if name in self._hosts.names:
            return True
        server = scope.get("server")
        if not (self._hosts.by_address and server):
            return False
        address = _address(name)
        return address is not None and address == _address(server[0])

    def _is_own_page(self, origin: str, host: _Authority, scope: Scope) -> bool:
        """Whether a page comes from here: one of our names, with the scheme and port of the call.

        The port is the one that was called, not the one that is bound: a tunnel may lie between.
        """
        if self._hosts.public_origin and origin.lower() == self._hosts.public_origin:
            return True
        scheme, _, rest = origin.partition("://")
        page = _authority(rest)
        own = scope.get("scheme", "http")
        if page is None or scheme.lower() != own:
            return False
        usual = DEFAULT_PORTS.get(own)
        return self._is_ours(page.name, scope) and (page.port or usual) == (host.port or usual)


def _authority(text: str) -> _Authority | None:
    """What stands in `name:port`, without the brackets of an address; None when it is none."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    name: str = match["address"] or match["name"]
    return _Authority(name.lower(), int(match["port"]) if match["port"] else None)


def _address(text: str) -> object:
    """The address that is written so, or None; an IPv4 one is the same in IPv6's clothes."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
