"""Sends spans away by OpenTelemetry's SDK, which the extra `otel` brings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status

import room_mcp


def begin(ending_ms: int) -> Callable[[], None]:
    """Collect spans from now on, and send them to where OTEL_EXPORTER_OTLP_ENDPOINT says.

    Returns:
        What sends the last of them and ends it, within that time.
    """
    own = {"service.name": "room-mcp", "service.version": room_mcp.__version__}
    # What the environment says about the service comes first.
    resource = Resource.create(own).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Wordless(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)

    def end() -> None:
        # In a thread that ends with the process: a collector that hangs must not hold it up.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(ending_ms / 1000)

    return end


class Wordless(SpanExporter):
    """Another exporter, without the words of errors: the SDK of MCP puts them into its spans, and
    they may hold what somebody said."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_without_words(one) for one in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _without_words(of: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=of.name,
        context=of.context,
        parent=of.parent,
        resource=of.resource,
        attributes=of.attributes,
        links=of.links,
        kind=of.kind,
        status=Status(of.status.status_code),
        start_time=of.start_time,
        end_time=of.end_time,
        instrumentation_scope=of.instrumentation_scope,
    )
