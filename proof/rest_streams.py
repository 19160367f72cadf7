"""The streams of the REST backend under odd cursors: their heads, and every message they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import httpx2
from jsonschema import Draft202012Validator

from .rest_feed import NOBODY, Feed, Room

STREAM = "/stream$"
CURSORS = (
    None,
    "0",
    "1",
    "2",
    "00",
    "",
    "-1",
    "1.5",
    "x",
    "1 2",
    str(2**53),
    str(2**53 + 1),
    "9" * 30,
)
ACCEPTS = ("*/*", "text/event-stream", "application/x-ndjson", "text/html", "")
UNKNOWN = ({}, {}, {}, {}, {"befor": "1"})  # a parameter that the call does not know
TIMEOUT_S = 10.0


class Ledger(Protocol):
    statuses: dict[str, Any]

    def wrong(self, operation: str, what: str, how: str) -> None: ...


def fuzz_streams(
    http: httpx2.Client, description: dict[str, Any], feed: Feed, count: int, seen: Ledger
) -> None:
    """Open streams, and read what is in them already; nobody speaks meanwhile."""
    message = {"$ref": "#/components/schemas/Message", "components": description["components"]}
    validator = Draft202012Validator(message)
    paths = [path for path in description["paths"] if path.endswith("/stream")]
    draw = feed.random.choice
    for number in range(count):
        path = paths[number % len(paths)]
        room = feed.pick() or Room(NOBODY)
        id = draw((room.id, room.id, room.id, NOBODY, "x"))
        query = {**draw(UNKNOWN), **_given("after", draw(CURSORS))}
        headers = {"Accept": draw(ACCEPTS), **_given("Last-Event-ID", draw(CURSORS))}
        operation = f"GET {path}"
        told = f"{query} {headers}"
        with http.stream(
            "GET", path.format(id=id), params=query, headers=headers, timeout=TIMEOUT_S
        ) as answer:
            seen.statuses[operation][answer.status_code] += 1
            wrong = _wrong_head(answer, description["paths"][path]["get"]["responses"])
            after = max(_seq(query.get("after")), _seq(headers.get("Last-Event-ID")))
            if not wrong and answer.status_code == 200 and after < room.last_seq:
                wrong = _wrong_messages(answer, after, room.last_seq, validator)
        if wrong:
            seen.wrong(operation, wrong, told)


def _given(name: str, value: str | None) -> dict[str, str]:
    return {} if value is None else {name: value}


def _wrong_head(answer: httpx2.Response, described: dict[str, Any]) -> str:
    if answer.status_code >= 500:
        return f"answered {answer.status_code}"
    response = described.get(str(answer.status_code))
    if response is None:
        return f"answered {answer.status_code}, which is not described"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    known = response.get("content", {})
    return "" if kind in known or (not kind and not known) else f"answered as {kind!r}"


def _wrong_messages(
    answer: httpx2.Response, after: int, last_seq: int, validator: Draft202012Validator
) -> str:
    """Reads up to the newest message that is known; behind it, a stream is silent."""
    due = after + 1
    for seq, data in _messages(answer):
        error = next(validator.iter_errors(data), None)
        if error is not None:
            return f"holds what is no message: {error.message}"
        if not data["seq"] == seq == due:
            return f"has #{seq} where #{due} was due"
        if seq >= last_seq:
            return ""
        due += 1
    return f"ended before #{due}"


def _seq(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _lines(answer: httpx2.Response) -> Iterator[str]:
    """Lines end with a line feed alone; `iter_lines` would end them with U+2028 and others too."""
    rest = b""
    for chunk in answer.iter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in whole)


def _messages(answer: httpx2.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    is_lines = answer.headers["content-type"].startswith("application/x-ndjson")
    seq = 0
    for line in _lines(answer):
        if is_lines and line:
            data = json.loads(line)
            yield data["seq"], data
        elif line.startswith("id: "):
            seq = int(line.removeprefix("id: "))
        elif line.startswith("data: "):
            yield seq, json.loads(line.removeprefix("data: "))
