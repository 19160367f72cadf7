"""The figures of a backend in Prometheus' text format; imports its client, so import this late."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import room_mcp
from room_mcp.store.measuring import Spreads, Tally

from .measures import Measures

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(measures: Measures, waits_open: int) -> bytes:
    """All figures of this moment, of the process too where the system tells them."""
    registry = CollectorRegistry()
    registry.register(_Figures(measures, waits_open))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, measures: Measures, waits_open: int) -> None:
        self._measures = measures
        self._waits_open = waits_open

    def collect(self) -> Iterator[Metric]:
        own, store = self._measures, self._measures.store
        yield _gauge("build_info", "1, with the version.", 1, version=room_mcp.__version__)
        yield _counter("requests", "Requests answered.", own.requests, "method", "route", "status")
        yield _counter("refusals", "Requests, and posts of a batch, refused.", own.refusals, "code")
        yield _counter("posts", "Messages sent, by what became of them.", own.posts, "result")
        yield _counter("guard", "Messages by what the guard found.", own.guard, "level")
        yield _gauge("waits_open", "Waits and streams that sleep now.", self._waits_open)
        yield _counter("waits", "Waits that slept, by how they ended.", own.waits, "ended")
        yield _histogram(
            "wake_seconds", "From a commit here to what the woken reader is answered.", own.wakes
        )
        yield _histogram("commit_acts", "Acts that shared a transaction.", store.commit_acts)
        yield _histogram("commit_seconds", "From BEGIN to the end of COMMIT.", store.commit_s)
        yield _histogram("store_seconds", "What calls of the store took.", store.call_s, "call")


def _gauge(name: str, about: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"room_mcp_{name}", about, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _counter(name: str, about: str, tally: Tally, *labels: str) -> Metric:
    family = CounterMetricFamily(f"room_mcp_{name}", about, labels=labels)
    for values, count in tally.counts().items():
        family.add_metric(values, count)
    return family


def _histogram(name: str, about: str, spreads: Spreads, *labels: str) -> Metric:
    family = HistogramMetricFamily(f"room_mcp_{name}", about, labels=labels)
    bounds = [*(f"{bound:g}" for bound in spreads.bounds), "+Inf"]
    for values, spread in spreads.spreads().items():
        within, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip(bounds, spread.counts, strict=True):
            within += count
            buckets.append((bound, within))
        family.add_metric(values, buckets, spread.total)
    return family
