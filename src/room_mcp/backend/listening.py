"""The network door: what one connection may take, and how long, before the app hears of it.

uvicorn's own protocol waits for ever for headers, for bodies and for clients that do not read,
and keeps all they send. This one gives each of them a time and a size.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, ClassVar

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from .connections import CONNECTION, Connection
from .errors import HttpProblem, problem

IPV6_PREFIX_BITS = 64  # one customer has all addresses behind it
LOOPBACK = "loopback"
MAX_CONNECTIONS = 9_000
SPARE_FILES = 1_000  # for the store, which opens files when it needs them, and for who is refused


def connections_within(files: int) -> int:
    """How many connections a process takes that may open so many files."""
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(files - SPARE_FILES, files // 2))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take. Times are seconds, sizes bytes."""

    head_s: float = 10  # from the first byte of a request, or from connecting, to its last header
    head_bytes: int = 32 * 1024  # request line and headers; twice what other servers take
    fields: int = 100
    url_bytes: int = 16 * 1024  # a long-poll over 200 rooms takes 11 KiB
    body_s: float = 10
    body_bytes_per_s: int = 64 * 1024  # what has come of a body adds to its time
    idle_s: float = 75  # between requests; above the 60 s at which proxies let go of theirs
    unread_s: float = 30  # for the next `unread_bytes` of an answer to be taken
    unread_bytes: int = 16 * 1024
    linger_s: float = 2  # for a refused client to read why, before the connection is gone
    pipelined: int = 16  # requests that are sent before the first is answered; clients send none
    connections: int = connections_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    connections_per_address: int = 256
    connections_from_loopback: int = 2_000  # all agents of a machine share this address


class _Expecting(Enum):
    """What of a request has to come next."""

    START = auto()
    HEADERS = auto()
    BODY = auto()


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 within `limits`; who breaks one is told so, where that is possible, and cut off."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    # Of all servers in this process: how many connections each address has open.
    _open: ClassVar[Counter[tuple[ServerState, str]]] = Counter()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = self.limits.idle_s  # type: ignore[assignment]
        self._address = ""
        self._connection = Connection()
        self._expecting = _Expecting.START
        self._refused = False
        self._fields = 0
        self._head_bytes = 0  # of the headers that are complete
        self._raw_bytes = 0  # of those that are not
        self._body_bytes = 0
        self._due: asyncio.TimerHandle | None = None  # when the client has to have sent
        self._since = 0.0
        self._cut: asyncio.TimerHandle | None = None  # when the client has to have taken
        self._unsent_bytes = 0

    # ---- connections --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        host, _ = get_remote_addr(transport) or ("", 0)
        address = neighbourhood(host)
        most = self._most_from(host, address)
        here = self._open[self.server_state, address]
        if here >= most or len(self.connections) >= self.limits.connections:
            self.transport = transport
            self._refused = True
            # Nothing is waited for, or those who are too many would still be there.
            transport.write(self._answer(_too_many(here >= most)))
            transport.close()
            return
        self._address = address
        self._open[self.server_state, address] = here + 1
        super().connection_made(transport)
        self._wait(self.limits.head_s)

    def _most_from(self, host: str, address: str) -> int:
        """How many connections one address may have open."""
        in_front = self.config.forwarded_allow_ips
        if self.config.proxy_headers and isinstance(in_front, list) and host in in_front:
            return self.limits.connections  # it stands for many clients
        if address == LOOPBACK:
            return self.limits.connections_from_loopback
        return self.limits.connections_per_address

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.lost()
        self._stop_waiting()
        self._stop_cutting()
        if not self._address:
            return
        key = self.server_state, self._address
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]

    # ---- what comes in ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        parser = self.parser
        if self._refused or parser is None:
            return
        self._unset_keepalive_if_required()
        self._raw_bytes += len(data)
        try:
            parser.feed_data(data)
            if self._expecting is _Expecting.HEADERS and self._raw_bytes > self.limits.head_bytes:
                raise self._headers_too_large()
        except httptools.HttpParserUpgrade:
            pass  # to another protocol, which nobody has to accept: the answer is HTTP
        except httptools.HttpParserError as error:
            self._refuse(error.__context__)
        except HttpProblem as error:
            self._refuse(error)
        if not self._refused:
            self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self._connection  # type: ignore[literal-required]
        self._expect(_Expecting.HEADERS)
        self._fields = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            raise HttpProblem(
                "uri_too_long",
                f"The URL has more than {self.limits.url_bytes} bytes.",
                "Ask for less at once, in several requests.",
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._head_bytes += len(name) + len(value) + len(": \r\n")
        head_bytes = len(self.url) + self._head_bytes
        if self._fields > self.limits.fields or head_bytes > self.limits.head_bytes:
            raise self._headers_too_large()
        # What stands behind a body is no header: the request was let in without it.
        if self._expecting is _Expecting.HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined:
            raise HttpProblem("malformed", "Too many requests at once.", "Wait for the answers.")
        self._expect(_Expecting.BODY)
        self._body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._expect(_Expecting.START)
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return False

    def _headers_too_large(self) -> HttpProblem:
        return HttpProblem(
            "headers_too_large",
            f"The headers have more than {self.limits.head_bytes} bytes or "
            f"{self.limits.fields} fields.",
            "Send fewer; what is long belongs into the body.",
        )

    # ---- clients that send too slowly ----------------------------------------------------------

    @property
    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _expect(self, next: _Expecting) -> None:
        self._expecting = next
        if next is not _Expecting.HEADERS:
            self._raw_bytes = 0
        self._stop_waiting()

    def _watch(self) -> None:
        """See that the client sends what it has begun, in time."""
        if self._due is not None:
            return
        match self._expecting:
            case _Expecting.HEADERS:
                self._wait(self.limits.head_s)
            case _Expecting.BODY:
                self._wait(self.limits.body_s)
            case _Expecting.START if not self._is_answering:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            case _:
                pass  # the client waits for us

    def _wait(self, seconds: float) -> None:
        self._since = self.loop.time()
        self._due = self.loop.call_later(seconds, self._was_due)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _was_due(self) -> None:
        self._due = None
        if self.flow.read_paused:
            self._watch()  # anew: what is late is our reading
        elif self._expecting is _Expecting.START:
            self._close()
        elif self._expecting is _Expecting.HEADERS:
            self._refuse(_too_slow("headers", self.limits.head_s))
        elif not self._is_answering:
            self.transport.abort()  # it sends on what nobody reads
        else:
            allowed_s = self.limits.body_s + self._body_bytes / self.limits.body_bytes_per_s
            left_s = self._since + allowed_s - self.loop.time()
            if left_s > 0:
                self._due = self.loop.call_later(left_s, self._was_due)
            else:
                self._refuse(_too_slow("body", allowed_s))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._cut_when_unread()
        elif self._expecting is _Expecting.BODY:
            self._stop_waiting()
            self._watch()

    # ---- clients that do not read --------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cut_when_unread()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_cutting()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        """Close once all is taken that was sent."""
        self.transport.close()
        self._cut_when_unread()

    def _cut_when_unread(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        if self._unsent_bytes and self._cut is None:
            self._cut = self.loop.call_later(self.limits.unread_s, self._cut_was_due)

    def _cut_was_due(self) -> None:
        self._cut = None
        unsent_bytes = self.transport.get_write_buffer_size()
        if self._unsent_bytes - unsent_bytes < self.limits.unread_bytes:
            self.transport.abort()
        else:
            self._cut_when_unread()

    def _stop_cutting(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    # ---- refusing ------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        self._refuse(None)

    def _refuse(self, error: BaseException | None) -> None:
        """Answer with a problem instead of the app, and close."""
        self._refused = True
        self._stop_waiting()
        if not self._may_answer():
            self.transport.abort()
            return
        if self._is_answering:  # the app waits for a body that will never be whole
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(self._answer(error if isinstance(error, HttpProblem) else _not_http()))
        # Closed while it still sends, a connection is reset, and the client never reads why.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._due = self.loop.call_later(self.limits.linger_s, self.transport.abort)

    def _may_answer(self) -> bool:
        """Whether the next bytes that the client reads answer the request that is refused."""
        if self.transport.is_closing() or self.pipeline:
            return False
        if self._expecting is _Expecting.BODY:
            return not self.cycle.response_started
        return not self._is_answering

    def _answer(self, error: HttpProblem) -> bytes:
        told = problem(error)
        headers = [*self.server_state.default_headers, *told.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        head = [STATUS_LINE[told.status_code], *lines, b"connection: close\r\n\r\n"]
        return b"".join(head) + bytes(told.body)


def neighbourhood(host: str) -> str:
    """What counts as one address: an IPv4 one, all that an IPv6 customer has, or this machine."""
    try:
        address = ip_address(host)
    except ValueError:  # a socket in the file system has none
        return LOOPBACK
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return LOOPBACK
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address)


def _too_slow(what: str, allowed_s: float) -> HttpProblem:
    return HttpProblem(
        "too_slow",
        f"The {what} did not arrive within {allowed_s:.0f} s.",
        "Send the request again, at once and whole.",
    )


def _too_many(from_one_address: bool) -> HttpProblem:
    where = "from your address" if from_one_address else "to this server"
    return HttpProblem(
        "too_many_connections",
        f"There are too many connections {where}.",
        "Close those that you do not use; one connection serves many requests.",
    )


def _not_http() -> HttpProblem:
    return HttpProblem(
        "malformed", "This is not a request of HTTP/1.1.", "Speak HTTP/1.1, without TLS."
    )
