"""Spans of OpenTelemetry: what a request did, for whoever has set up where they go.

Its API is looked at only once somebody has imported it: until then there is no span to continue
and nobody who collects any, and importing it would take a command of ours 40 ms.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import room_mcp

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
ENDING_MS = 2_000  # for the last spans to leave when the server stops

Attributes = Mapping[str, str | int]


def span(
    name: str, attributes: Attributes, *, came_with: Mapping[str, str] | None = None
) -> AbstractContextManager[Span | None]:
    """A span around what stands inside; None while nobody collects them.

    Args:
        came_with: The headers of a request that it answers, which may continue another's trace.
    """
    tracer = _tracer()
    if tracer is None:
        return nullcontext()
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    return tracer.start_as_current_span(
        name,
        context=None if came_with is None else extract(came_with),
        kind=SpanKind.INTERNAL if came_with is None else SpanKind.SERVER,
        attributes=dict(attributes),
        # The words of an error may hold what somebody said.
        record_exception=False,
        set_status_on_exception=False,
    )


def continuing(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request that is sent within a span, so that its answer belongs to it."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None and api.get_current_span().get_span_context().is_valid:
        from opentelemetry.propagate import inject

        inject(headers)
    return headers


def _tracer() -> Tracer | None:
    """Ours; None while nobody collects spans."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider) else _tracer_of(provider)


@lru_cache(maxsize=1)
def _tracer_of(provider: Any) -> Tracer:
    return provider.get_tracer("room-mcp", room_mcp.__version__)


# ---- sending them away --------------------------------------------------------------------------


def is_wanted(env: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables say where spans go."""
    is_off = (
        env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or env.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    )
    return not is_off and any(env.get(name, "").strip() for name in ENDPOINTS)


def export() -> Callable[[], None]:
    """Send spans to where the environment says, if it says so. What ends it, in at most 2 s."""
    if not is_wanted(os.environ):
        return _nothing
    try:
        from .exporting import begin
    except ImportError:
        print(
            f"room-mcp: {ENDPOINTS[0]} is set, but no trace leaves: OpenTelemetry's SDK is not "
            "installed. `pip install 'room-mcp[otel]'` brings it; or unset the variable.",
            file=sys.stderr,
        )
        return _nothing
    return begin(ENDING_MS)


def _nothing() -> None:
    """There is nothing to end."""
