"""What whoever runs `room-mcp serve` sees of it: its log and its traces, from the whole process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from doorway import DOORS, Start, Visitors
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from room_mcp import tracing
from room_mcp.exporting import Wordless
from room_mcp.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

HOSTILE = 'zq-text\n{"event":"forged"}\u2028\x1b[2J\u202e'
LOUD = {"ROOM_MCP_LOG_LEVEL": "DEBUG", "ROOM_MCP_LOG_FORMAT": "json"}

# What a stdio process with a store of its own has loaded once it answers.
LOADED = """
import sys
import room_mcp.bridge.stdio, room_mcp.compose, room_mcp.backend.app, room_mcp.store.sqlite
heavy = ("prometheus_client", "opentelemetry.sdk", "room_mcp.exporting", "room_mcp.backend.app")
print(*(name for name in heavy if name in sys.modules))
"""


class Collector(ThreadingHTTPServer):
    """Takes spans as collectors of OpenTelemetry do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.bodies: Queue[bytes] = Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        found: list[Any] = []
        while not self.bodies.empty():
            request = ExportTraceServiceRequest.FromString(self.bodies.get())
            found += [
                span
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return found


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers.get("Content-Encoding") is None
        self.server.bodies.put(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.shutdown()


async def test_every_line_of_a_server_is_one_object_without_texts_and_ids(
    start_server: Start, visitors: Visitors
):
    server = start_server("serve", "--port", "0", env=LOUD)
    ids: list[str] = []
    for door in DOORS:
        agent = await visitors.agent(server, "ann", door)
        room = f"zq-room {len(ids)}"
        await agent.do("create_room", name=room, purpose=HOSTILE)
        await agent.say(room, HOSTILE)
        await agent("read_history", room=room)
        await agent("send_message", room="zq-nowhere", content=HOSTILE)
        ids += [one.id for one in (await (await visitors.rooms(server)).rooms(query=room)).rooms]
    http = await visitors.http(server)
    await http.post("/mcp", content=HOSTILE.encode(), headers={"Accept": "*/*"})
    await http.get(f"/agent/rooms/{ids[0]}/zq-path")
    logged = server.complaints()
    await server.ends(signal.SIGTERM)
    logged += server.errors()

    records = [json.loads(line) for line in logged.splitlines()]
    requests = {one["request_id"]: one for one in records if "route" in one}
    posts = [
        one
        for one in requests.values()
        if one["route"] == "/agent/rooms/{id}/messages" and one["method"] == "POST"
    ]
    assert {one["logger"] for one in records} >= {"uvicorn.error", "room_mcp.requests"}
    assert {one["member"] for one in posts} == {"ann"}
    assert requests[posts[0]["via"]]["route"] == "/as/{agent:path}/mcp"
    for secret in ("zq-", "forged", "\x1b", *ids):
        assert secret not in logged


async def test_a_trace_joins_caller_and_bridge_and_backend_and_store(
    start_server: Start, visitors: Visitors, collector: Collector
):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    server = start_server("serve", "--port", "0", env=env)
    agent = await visitors.agent(server, "ann", DOORS[0])
    rooms = await visitors.rooms(server)
    await agent.do("create_room", name="traced")
    (room,) = (await rooms.rooms(query="traced")).rooms
    await agent.say("traced", "zq-text")
    with TracerProvider().get_tracer("test").start_as_current_span("outside") as outside:
        await rooms.post(room.id, "bob", "zq-text")
    await server.ends(signal.SIGTERM)
    spans = collector.spans()

    by_id = {one.span_id: one for one in spans}
    posts = [one for one in spans if one.name == "POST /agent/rooms/{id}/messages"]
    acts = [one for one in spans if one.name == "store.act"]
    by_tool = next(one for one in posts if one.parent_span_id in by_id)
    by_us = next(one for one in posts if one.parent_span_id not in by_id)
    tool = by_id[by_tool.parent_span_id]
    assert "send_message" in tool.name
    assert tool.trace_id == by_tool.trace_id
    assert by_us.trace_id == outside.get_span_context().trace_id.to_bytes(16)
    assert by_us.parent_span_id == outside.get_span_context().span_id.to_bytes(8)
    assert {by_us.span_id, by_tool.span_id} <= {one.parent_span_id for one in acts}
    told = {one.key: one.value.string_value or one.value.int_value for one in by_us.attributes}
    assert told == {
        "http.request.method": "POST",
        "http.route": "/agent/rooms/{id}/messages",
        "http.response.status_code": 201,
        "room_mcp.room": room.id[:8],
    }
    assert "zq-text" not in str(spans)
    assert room.id not in str(spans)


def test_words_of_errors_do_not_leave_with_a_span():
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Wordless(kept)))
    with (
        pytest.raises(ValueError, match="zq"),
        provider.get_tracer("test").start_as_current_span("one", attributes={"a": 1}),
    ):
        raise ValueError("zq-text")
    (span,) = kept.get_finished_spans()

    assert (span.name, span.attributes, span.events) == ("one", {"a": 1}, ())
    assert not span.status.is_ok
    assert "zq" not in span.to_json()


def test_a_process_of_a_host_loads_neither_the_figures_nor_the_exporter():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)

    assert done.stdout.split() == ["room_mcp.backend.app"], done.stderr


def test_nothing_is_set_up_while_no_endpoint_is_named(monkeypatch: pytest.MonkeyPatch):
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "room_mcp.exporting", None)

    tracing.export()()


@pytest.mark.parametrize(
    "off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {}]
)
def test_an_endpoint_counts_unless_traces_are_switched_off(off: dict[str, str]):
    assert tracing.is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", **off}) is not bool(off)


def test_an_endpoint_without_the_sdk_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "room_mcp.exporting", None)
    tracing.export()()

    assert "pip install 'room-mcp[otel]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ROOM_MCP_LOG_FORMAT", "ROOM_MCP_LOG_FORMAT is 'some'; use text or json."),
        ("ROOM_MCP_METRICS", "ROOM_MCP_METRICS is 'some'; use admins, keys or all."),
    ],
)
def test_a_setting_that_is_none_of_its_words_is_refused(name: str, told: str):
    with pytest.raises(SettingsError, match=told):
        Settings.from_env({name: "some"})
