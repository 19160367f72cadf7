"""The page on operating names what there is: every figure with its labels, and every field."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from room_mcp.backend.measures import DRAINED, LEFT, REFUSED, TIME, WOKEN, Measures
from room_mcp.backend.metrics import exposition
from room_mcp.logs import JsonLines
from room_mcp.rooms.guard import Level

PAGE = (Path(__file__).parent.parent / "docs" / "operating.md").read_text("utf-8")


def shown() -> dict[str, set[str]]:
    """The labels of each figure, by its name as it is exposed."""
    measures = Measures()
    measures.requests.add("GET", "/healthz", "200")
    measures.refusals.add("malformed")
    measures.stored(Level.OBSERVE)
    measures.waits.add(WOKEN)
    measures.store.call_s.add(0.1, "act")
    found: dict[str, set[str]] = {}
    for one in text_string_to_metric_families(exposition(measures, 0).decode()):
        name = f"{one.name}_total" if one.type == CounterMetricFamily("a", "b").type else one.name
        found[name] = {label for sample in one.samples for label in sample.labels} - {"le"}
    return {name: labels for name, labels in found.items() if name.startswith("room_mcp_")}


def test_the_page_has_each_figure_with_its_labels():
    rows = re.findall(r"^\| `(room_mcp_\w+)` \| (.*?)\|", PAGE, re.M)

    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == shown()


def test_the_page_has_each_word_of_a_label():
    words = {WOKEN, TIME, DRAINED, LEFT, REFUSED, *(level.name.lower() for level in Level)}

    assert not [word for word in words if f"`{word}`" not in PAGE]


def test_the_page_has_each_field_of_a_line():
    example = json.loads(re.findall(r"^```json\n(.*?)\n```", PAGE, re.S | re.M)[0])
    told = set(re.findall(r"`(\w+)`", PAGE.partition("| Field |")[2].partition("\n\n")[0]))
    record = logging.LogRecord("a", 30, "", 0, "b", (), None)

    assert example.keys() <= told
    assert json.loads(JsonLines().format(record)).keys() <= told
