"""A model on loopback that plays a script: it calls one tool after the other, then says a word."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .dialects import (
    Act,
    AnthropicMessages,
    Asked,
    Call,
    Dialect,
    GeminiContent,
    Json,
    Offer,
    OpenaiChat,
    OpenaiResponses,
    strings_in,
)

LAST_WORD = "All steps of the proof are done."

_ROUTES: tuple[tuple[str, Dialect], ...] = (
    (r"/v1/messages", AnthropicMessages()),
    (r"/v1/responses", OpenaiResponses()),
    (r"/v1/chat/completions", OpenaiChat()),
    (r"/v1beta/models/[^/]+:(generate|streamGenerate)Content", GeminiContent()),
)
_SEARCH = "ToolSearch"
_IDLE_TALK = "{}"  # to what a host asks beside the conversation, such as a title; often as JSON


class MockModel:
    """Calls the tools of `script`, one a turn, by whatever names the host gives them.

    It keeps nothing between requests: which turn it is shows in the answers that the host sends
    along, so a host may ask anything twice.
    """

    def __init__(self, tools: Sequence[str], script: Mapping[str, Json]) -> None:
        self._tools = tools
        self._script = script
        self.offers: dict[str, Offer] = {}  # by name, of all requests
        self.results: dict[str, str] = {}  # by tool of ours: what its answer looked like
        self.told = ""  # every string of the last request, which holds the whole conversation

    def act(self, dialect: Dialect, body: Json) -> Act:
        asked = dialect.asked(body)
        step = self._step(asked) or self._search(asked)
        if step is None:
            return _IDLE_TALK
        self.told = "\n".join(strings_in(body))
        self.offers |= {offer.name: offer for offer in asked.offers}
        return step

    def _step(self, asked: Asked) -> Act | None:
        """The next of the script; None where our tools are not offered."""
        for tool, arguments in self._script.items():
            offer = offer_of(tool, asked.offers)
            if offer is None:
                return None
            if _id(tool) not in asked.results:
                return Call(_id(tool), offer, arguments)
            self.results[tool] = asked.results[_id(tool)]
        return LAST_WORD

    def _search(self, asked: Asked) -> Act | None:
        """Asks for our tools where the host tells no more than their names, or not even those.

        Claude Code does so by default. Its search waits for servers that are still starting.
        """
        search = next((offer for offer in asked.offers if offer.name == _SEARCH), None)
        if search is None or _id(_SEARCH) in asked.results:
            return None
        names = [f"mcp__room__{tool}" for tool in self._tools]
        query = {"query": f"select:{','.join(names)}", "max_results": len(names)}
        return Call(_id(_SEARCH), search, query)


def _id(tool: str) -> str:
    """The id of the only call of a tool."""
    return f"call_{tool}"


def offer_of(tool: str, offers: Iterable[Offer]) -> Offer | None:
    """The tool of ours among what a host offers; hosts put the server's name before it."""
    ours = re.compile(rf"(?:.*[_-])?{tool}")
    return next((offer for offer in offers if ours.fullmatch(offer.name)), None)


@contextlib.contextmanager
def serving(model: MockModel) -> Iterator[str]:
    """The model behind a URL, until the end of the block.

    A proxy too, that refuses: hosts want to go elsewhere, for news, plugins and statistics.
    """

    class Handler(_Handler):
        played = model

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """What is neither a turn nor a side call gets a 404."""

    protocol_version = "HTTP/1.1"
    played: MockModel

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        for pattern, dialect in _ROUTES:
            if re.fullmatch(pattern, path):
                act = self.played.act(dialect, body)
                if body.get("stream") or ":stream" in path:
                    self._stream(dialect, act)
                else:
                    self._json(200, dialect.whole(act))
                return
        if path.endswith(("/count_tokens", ":countTokens")):
            self._json(200, {"input_tokens": 1, "totalTokens": 1})
        else:
            self._elsewhere()

    def do_GET(self) -> None:
        if re.fullmatch(r"/v1/models|/v1beta/models", self.path.partition("?")[0]):
            self._json(200, {"object": "list", "data": [], "models": []})
        else:
            self._elsewhere()

    def do_HEAD(self) -> None:
        self._json(200, {})

    def do_CONNECT(self) -> None:
        self.close_connection = True
        self._elsewhere()

    def _elsewhere(self) -> None:
        self._json(404, {"error": {"message": "the mock model knows nothing of this"}})

    def _body(self) -> Json:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.suppress(ValueError):
            found: Any = json.loads(raw)
            if isinstance(found, dict):
                return found
        return {}

    def _stream(self, dialect: Dialect, act: Act) -> None:
        lines: list[str] = []
        for event in dialect.stream(act):
            if isinstance(event, dict) and "type" in event:
                lines.append(f"event: {event['type']}\n")
            lines.append(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
        self._send(200, "text/event-stream", "".join(lines))

    def _json(self, status: int, value: Json) -> None:
        self._send(status, "application/json", json.dumps(value))

    def _send(self, status: int, kind: str, text: str) -> None:
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what matters is kept by the model."""
