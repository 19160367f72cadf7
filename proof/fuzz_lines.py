"""Lines for an MCP server's stdin: what hosts send, what none should, and what is no message."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN_VERSION = "2026-07-28"
ERAS = ("legacy", "modern")
MIB = 2**20

SHORT_WAIT_S = 1  # a wait of so many seconds has to be answered; a longer one may be left

_VERSION = "io.modelcontextprotocol/protocolVersion"
_CLIENT = "io.modelcontextprotocol/clientInfo"
_ABILITIES = "io.modelcontextprotocol/clientCapabilities"

_ROOMS = ("api-review", "API-Review", "api", "plans", "Über-Räume", "部屋", "r")
_NAMES = ("ann", "Bob", "@carol", "all", "everyone", "claude", "", "a b", "x" * 300)
_PROMPTS = ("join_room", "review_code", "hand_off", "catch_up")
_TYPES = (
    "note question answer request result refuse handoff propose decision review_complete progress "
    "ack heartbeat pass accept vote cancel room.closed verdict code-review"
)
_WORDS = "the token is kept in line 40 and issue 2 blocks the review of it"
_HOSTS = ("claude-code", "codex-mcp-client", "Visual Studio Code", "host", "", "?", "名")

# What each tool takes; the values come from the methods of `Lines` of the same names.
TOOLS: Mapping[str, tuple[str, ...]] = {
    "create_room": ("name", "purpose"),
    "join_room": ("room",),
    "send_message": ("room", "content", "type", "body", "to", "reply_to"),
    "wait_for_messages": ("room",),
    "read_history": ("room", "before", "after", "max_tokens"),
    "list_rooms": ("query", "closed"),
    "search_messages": ("query", "room", "max_tokens"),
    "close_room": ("room", "conclusion"),
}

_METHODS = (
    "ping",
    "tools/list",
    "server/discover",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/cancel",
    "roots/list",
    "sampling/createMessage",
    "elicitation/create",
    "tools/no_such",
    "no such method",
    "",
    "../../etc/passwd",
    "__init__",
    "notifications/cancelled",  # with an id, so a request
)
_NOTIFICATIONS = (
    "notifications/initialized",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/message",
    "notifications/no/such",
    "tools/list",
    "initialize",
)
_NO_MESSAGES = (
    b"",
    b" ",
    b"\t\t",
    b"\r",
    b"this is not JSON",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b'"tools/list"',
    b"[]",
    b"[[]]",
    b"{}",
    b"{{}}",
    b"}",
    b"]",
    b'{"jsonrpc": "2.0"}',
    b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
    b'{"jsonrpc": 2.0, "id": 1, "method": "ping"}',
    b'{"id": 1, "method": "ping"}',
    b'{"jsonrpc": "2.0", "id": 1}',
    b'{"jsonrpc": "2.0", "id": 1, "method": 5}',
    b'{"jsonrpc": "2.0", "id": 1, "method": null}',
    b"{'jsonrpc': '2.0', 'id': 1, 'method': 'ping'}",
    b'\xef\xbb\xbf{"jsonrpc": "2.0"}',
    b"\xff\xfe\xfa",
    b"\xc0\xaf\xc1\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf5\x80\x80\x80",
    b"\x00",
    b"\x00" * 4096,
    b"\x1b[2J\x07\x7f",
    b"Content-Length: 52",
    b"GET / HTTP/1.1",
    b"-----BEGIN",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


def request(era: str, id: Any, method: str, params: Mapping[str, Any] | None = None) -> Any:
    """A request as a well-behaved host of this era sends it."""
    given = dict(params or {})
    if era == "modern":
        own = given.get("_meta")
        given["_meta"] = {**envelope(), **(own if isinstance(own, dict) else {})}
    return {"jsonrpc": "2.0", "id": id, "method": method, **({"params": given} if given else {})}


def envelope(host: str = "claude-code", version: str = MODERN_VERSION) -> dict[str, Any]:
    """What the `_meta` of every request holds since 2026-07-28."""
    return {_VERSION: version, _CLIENT: {"name": host, "version": "1.0"}, _ABILITIES: {}}


def handshake(id: Any, host: str = "claude-code", version: str = HANDSHAKE_VERSIONS[0]) -> Any:
    client = {"name": host, "version": "1.0"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    return {"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params}


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Lines:
    """An endless supply of lines, the same for the same seed.

    Args:
        era: The era of most requests; some come from the other.
        peers_rooms: Rooms that somebody else fills, in which half of the calls are made.
    """

    def __init__(self, seed: str, era: str, peers_rooms: Sequence[str] = ()) -> None:
        self._random = random.Random(seed)
        self._peers_rooms = peers_rooms
        self._era = era
        self._count = 0
        self._ids: list[Any] = []  # of requests, so that they can be cancelled or come again
        self._waits: list[Any] = []  # of those, the ones that may still run
        self._kinds: Mapping[Callable[[], bytes], int] = {
            self._good_call: 30,
            self._wrong_call: 14,
            self._any_method: 12,
            self._wait: 4,
            self._cancel: 6,
            self._hello: 2,
            self._notification: 4,
            self._response: 2,
            self._odd_request: 6,
            self._damaged: 10,
            self.no_message: 6,
            self._batch: 1,
            self._deep: 1,
            self._several: 1,
        }

    def next(self) -> bytes:
        """One line with its end; now and then several, or one that is some MiB long."""
        if self._random.random() < 0.0015:
            return self._long()
        (kind,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
        return kind()

    def pieces(self) -> list[bytes]:
        """The next line, now and then in up to five pieces."""
        line = self.next()
        cuts = [0, len(line)]
        if self.chance(0.05):
            cuts += [self._random.randrange(len(line)) for _ in range(self._random.randint(1, 4))]
        cuts.sort()
        return [line[a:b] for a, b in itertools.pairwise(cuts) if a < b]

    def halves(self) -> tuple[bytes, bytes]:
        """A good line in two pieces, neither of which is a line."""
        line = self._good_call()
        at = self._random.randrange(1, len(line) - 2)
        return line[:at], line[at:]

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    # ---- kinds of lines -------------------------------------------------------------------------

    def no_message(self) -> bytes:
        """A line that is no message at all."""
        if self.chance(0.2):
            return self._random.randbytes(self._random.randrange(200)).replace(b"{", b"") + b"\n"
        return self._random.choice(_NO_MESSAGES) + self._end()

    def _good_call(self) -> bytes:
        tool = self._random.choice(list(TOOLS))
        return self._call(tool, self._arguments(tool))

    def _wrong_call(self) -> bytes:
        tool = self._random.choice(list(TOOLS))
        arguments: Any = self._arguments(tool)
        for _ in range(self._random.randint(1, 3)):
            name = self._random.choice(
                [*TOOLS[tool], "wait", "timeout_s", "name", "role", "no_such"]
            )
            arguments[name] = self._value()
        match self._random.randrange(8):
            case 0:
                return self._call(self._any([tool.upper(), tool[1:], "", self._text()]), arguments)
            case 1:
                return self._call(tool, self._value())
            case 2:
                return self._call(self._value(), arguments)
            case 3:
                return self._request("tools/call", {"arguments": arguments})
            case _:
                return self._call(tool, arguments)

    def _any_method(self) -> bytes:
        method = self._any(_METHODS)
        if self.chance(0.3):
            names = ("uri", "name", "level", "notifications", "ref", "cursor", "taskId", "_meta")
            return self._request(method, {self._any(names): self._value() for _ in range(2)})
        return self._request(method, self._params(method))

    def _params(self, method: str) -> dict[str, Any]:
        """What a method takes, where that is known here."""
        uri = self._uri()
        match method:
            case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
                return {"uri": uri}
            case "resources/list" | "prompts/list":
                return {"cursor": self._text()} if self.chance(0.3) else {}
            case "subscriptions/listen":
                return {"notifications": {"toolsListChanged": True, "resourceSubscriptions": [uri]}}
            case "prompts/get":
                arguments = {self._any(["room", "name", "task"]): self._room()}
                return {"name": self._any([*_PROMPTS, self._text()]), "arguments": arguments}
            case "completion/complete":
                kinds = [
                    {"type": "ref/prompt", "name": self._any(_PROMPTS)},
                    {"type": "ref/resource", "uri": uri},
                ]
                argument = {"name": self._any(["room", "kind"]), "value": self._text()}
                return {"ref": self._any(kinds), "argument": argument}
            case "logging/setLevel":
                return {"level": self._any(["debug", "error", "loud"])}
            case _:
                return {}

    def _uri(self) -> str:
        room = self._any([quote(self._room().encode("utf-8", "replace"), safe=""), "{room}", "%"])
        kind = self._any(["history", "transcript", "history?before=2", "history?after=-1", "no"])
        return self._any([f"room://{room}/{kind}", "file:///etc/passwd", "", self._text()])

    def _wait(self) -> bytes:
        """A wait that blocks, most often for longer than anybody has time."""
        room = self._room()
        if self.chance(0.1):
            line = self._call("wait_for_messages", {"timeout_s": SHORT_WAIT_S})
        elif self.chance(0.3):
            said = {"room": room, "content": self._text(), "wait": True}
            line = self._call("send_message", said)
        elif self.chance(0.5):
            line = self._call("wait_for_messages", {})
        else:
            long = {"room": room, "timeout_s": self._any([0, 600, "900s"])}
            line = self._call("wait_for_messages", long)
        self._waits = [*self._waits[-5:], self._ids[-1]]
        return line

    def _cancel(self) -> bytes:
        if self.chance(0.4) and self._waits:
            id = self._waits.pop()
        elif self.chance(0.8) and self._ids:
            latest = self._ids[-10:] if self.chance(0.7) else self._ids
            id = self._random.choice(latest)
            if self.chance(0.1):
                id = str(id)
        else:
            id = self._any([self._value(), 10**9 + self._count, None, "", -1, f"{self._count}"])
        params = {"requestId": id, **({"reason": self._text()} if self.chance(0.3) else {})}
        return self._notify("notifications/cancelled", params)

    def _hello(self) -> bytes:
        version = self._any([*HANDSHAKE_VERSIONS, MODERN_VERSION, "1999-01-01", "", None, 7])
        host = self._any([*_HOSTS, self._text(), None, {}])
        if self.chance(0.5):
            return self._dumped(handshake(self._id(), host, version))
        meta = envelope(host, version)
        if self.chance(0.3):
            del meta[self._random.choice(list(meta))]
        params = {"_meta": meta}
        return self._dumped(
            {"jsonrpc": "2.0", "id": self._id(), "method": "server/discover", "params": params}
        )

    def _notification(self) -> bytes:
        params = {"progressToken": self._value(), "progress": self._value()}
        return self._notify(self._any(_NOTIFICATIONS), self._any([params, {}, None, self._value()]))

    def _response(self) -> bytes:
        """An answer to what was never asked."""
        id = self._any([*self._ids[-3:], self._value(), 1])
        error = {"code": self._value(), "message": self._value()}
        said = self._any([{"result": {}}, {"result": self._value()}, {"error": error}])
        return self._dumped({"jsonrpc": "2.0", "id": id, **said})

    def _odd_request(self) -> bytes:
        """A request whose envelope is wrong, or whose id is unusual or not its own."""
        message = request(self._era, self._id(), "tools/list", {})
        match self._random.randrange(8):
            case 0 if self._ids:
                message["id"] = self._random.choice(self._ids[-20:])
            case 1:
                message["id"] = self._any([None, True, 1.0, 1.5, 1e300, [], {}, [1]])
            case 2:
                del message["id"]
            case 3:
                message["jsonrpc"] = self._any(["2", 2, None, "1.0", "2.0 "])
            case 4:
                message["params"] = self._value()
            case 5:
                message["extra"] = self._value()
            case 6:
                message["result"] = self._value()
            case _:
                first = json.dumps(message)[:-1]
                return f'{first}, "id": {self._count}, "method": "ping"}}\n'.encode()
        return self._dumped(message)

    def _damaged(self) -> bytes:
        """A request that something happened to on its way."""
        line = bytearray(self._good_call()[:-1])
        at = self._random.randrange(len(line))
        match self._random.randrange(8):
            case 0:
                del line[at:]
            case 1:
                del line[:at]
            case 2:
                line[at:at] = self._any([b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\x80"])
            case 3:
                line[at:at] = self._any([b"\x00", b"\r", b"\n", b"\t", b"\x1a", b"\x1b"])
            case 4:
                line[at] ^= 1 << self._random.randrange(8)
            case 5:
                line[at:at] = line[at // 2 : at]
            case 6:
                line[at:at] = self._any([b"}", b"]", b'"', b",", b"\\", b"\\ud800", b"\\u0000"])
            case _:
                line = bytearray(bytes(line).decode("utf-8", "replace").encode("utf-16"))
        return bytes(line) + self._end()

    def _batch(self) -> bytes:
        return self._dumped([request(self._era, self._id(), "tools/list") for _ in range(3)])

    def _deep(self) -> bytes:
        """A line with many levels, some of them in an argument."""
        levels = self._any([30, 60, 70, 300, 2_000, 100_000])
        opening, closing = self._any([("[", "]"), ('{"a":', "}")])
        nested = opening * levels + "1" + closing * levels
        if self.chance(0.3):
            return nested.encode() + b"\n"
        line = self._call("send_message", {"room": self._room(), "body": "HERE", "type": "result"})
        inner = json.dumps(nested) if self.chance(0.3) else nested
        return line.replace(b'"HERE"', inner.encode())

    def _several(self) -> bytes:
        """The same request many times at once, each with an id of its own."""
        tool = self._random.choice(list(TOOLS))
        arguments = self._arguments(tool)
        return b"".join(self._call(tool, arguments) for _ in range(20))

    def _long(self) -> bytes:
        long = self._any(["x", "é", "\u2028", '"', "ab "]) * self._random.randrange(MIB // 4, MIB)
        match self._random.randrange(4):
            case 0:
                return self._call("send_message", {"room": self._room(), "content": long})
            case 1:
                return self._call("search_messages", {"query": long})
            case 2:
                return self._request(long, {})
            case _:
                return long.encode() + b"\n"

    # ---- parts of lines -------------------------------------------------------------------------

    def _call(self, tool: Any, arguments: Any) -> bytes:
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        if self.chance(0.25):
            token = self._any([self._count, f"t{self._count}", 1.5, True, None, [], {}, "", -1])
            params["_meta"] = {"progressToken": token}
        return self._request("tools/call", params)

    def _request(self, method: Any, params: dict[str, Any]) -> bytes:
        other = self.chance(0.05)
        era = ERAS[(ERAS.index(self._era) + other) % 2]
        return self._dumped(request(era, self._id(), method, params))

    def _notify(self, method: str, params: Any) -> bytes:
        given = {} if params is None else {"params": params}
        return self._dumped({"jsonrpc": "2.0", "method": method, **given})

    def _id(self) -> Any:
        """An id that no request had before."""
        self._count += 1
        n = self._count
        id = n
        if self.chance(0.3):
            huge = self._any([10**19, 2**64, 2**128, 10**300, 10**4_200])
            id = self._any([f"{n}x", f"id-{n} é\n", -n, 2**53 + n, huge + n, f"{n}" + "y" * 5_000])
        self._ids.append(id)
        del self._ids[:-200]
        return id

    def _dumped(self, message: Any) -> bytes:
        if isinstance(message, dict) and self.chance(0.3):
            members = list(message.items())
            self._random.shuffle(members)
            message = dict(members)
        separators = self._any([(", ", ": "), (",", ":"), (" ,\t", " : ")])
        text = json.dumps(message, ensure_ascii=self.chance(0.7), separators=separators)
        return text.encode("utf-8", "surrogatepass") + self._end()

    def _end(self) -> bytes:
        return b"\r\n" if self.chance(0.05) else b"\n"

    def _any(self, of: Any) -> Any:
        return self._random.choice(of)

    # ---- arguments ------------------------------------------------------------------------------

    def _arguments(self, tool: str) -> dict[str, Any]:
        """What the tool takes: what it needs, and some of the rest."""
        needed = ("name", "room", "content", "conclusion")
        names = [one for one in TOOLS[tool] if one in needed or self.chance(0.4)]
        return {name: getattr(self, f"_{name}")() for name in names}

    def _room(self) -> str:
        if self._peers_rooms and self.chance(0.5):
            return self._any(self._peers_rooms)
        return self._any(_ROOMS) if self.chance(0.95) else self._text()

    def _name(self) -> str:
        return self._room()

    def _purpose(self) -> str:
        return self._text()

    def _content(self) -> Any:
        return self._text()

    def _conclusion(self) -> str:
        return self._text()

    def _query(self) -> str:
        return self._any(["", "api", "the", self._text()])

    def _type(self) -> str:
        return self._any(_TYPES.split()) if self.chance(0.9) else self._text()

    def _body(self) -> Any:
        inner = self._value()
        bodies = [{"outcome": self._text()}, {"verdict": "approved"}, {"a": inner}, inner]
        body = self._any(bodies)
        return json.dumps(body) if self.chance(0.5) else body

    def _to(self) -> Any:
        names = [self._any(_NAMES) for _ in range(self._random.randrange(4))]
        return self._any([names, json.dumps([*names, self._text()]), ", ".join(names)])

    def _reply_to(self) -> Any:
        return self._any([0, 1, 2, "#3", "4", 5.0, 10**6, -1, 2**63])

    def _before(self) -> Any:
        return self._any([0, 1, 5, "7", 2**31, 2**63, -1])

    def _after(self) -> Any:
        return self._before()

    def _max_tokens(self) -> Any:
        return self._any([1, 10, 500, 10**9, 0])

    def _closed(self) -> Any:
        return self._any([True, False, "true", None])

    def _text(self) -> str:
        if self.chance(0.6):
            return " ".join(self._any(_WORDS.split()) for _ in range(self._random.randrange(1, 30)))
        return self._any(
            [
                "",
                " ",
                "\n\n",
                "x" * self._random.randrange(70_000),
                "e\u0301\u202e\u200b\ufeff\u2028\x1b[31m",
                "👩\u200d👩\u200d👧 🏳\ufe0f",
                "\x00",
                "\ud83d",
                "a\udc00b",
                '{"a": NaN}',
                '{"a": 1e999}',
                r'{"text": "\ud83d"}',
                r'{"text": "\u0000"}',
                r'["\ud800"]',
                "[" * 3_000,
                '"',
                "'; drop table messages; --",
                "NEAR(a b) OR * -",
                "%s %n {0}",
                "\\",
                "null",
                "-1",
                "9" * 5_000,
            ]
        )

    def _value(self, depth: int = 0) -> Any:
        """Any JSON value, and some that JSON has not."""
        if depth < 3 and self.chance(0.25):
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        if depth < 3 and self.chance(0.25):
            return {self._text()[:50]: self._value(depth + 1) for _ in range(2)}
        numbers = [0, -1, 1.5, 2**31, 2**63, 2**64, -(10**30), 10**400, 1e308, float("nan")]
        return self._any([None, True, False, self._text(), self._any(numbers), float("inf")])
