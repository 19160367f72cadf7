"""What requests leave in the log: who, what and how long; never what anybody said, or a key."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_desk import NOBODY, Desk, a_desk
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from room_mcp.backend import observing
from room_mcp.backend.gate import Door
from room_mcp.backend.measures import Measures
from room_mcp.logs import HarmlessLines, JsonLines, during

LINE = "%(name)s: %(message)s"
HOSTILE = 'zq-text\r\n{"event":"forged"}\u2028\x1b[2J\u202e\x85"}'
SECRETS = ("zq-", "rk_", "rks_", "forged", "\x1b", "\u202e")


class Log:
    """All that is logged, at every level, as JSON and as text."""

    def __init__(self) -> None:
        self.handlers = [logging.StreamHandler(io.StringIO()) for _ in range(2)]
        for handler, lines in zip(self.handlers, (JsonLines(), HarmlessLines(LINE)), strict=True):
            handler.setFormatter(lines)

    @property
    def json(self) -> str:
        return self.handlers[0].stream.getvalue()

    @property
    def text(self) -> str:
        return self.handlers[1].stream.getvalue()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.json.splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [one for one in self.objects if one["logger"] == "room_mcp.requests"]


@pytest.fixture
def log() -> Iterator[Log]:
    log, root = Log(), logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    for handler in log.handlers:
        root.addHandler(handler)
    yield log
    for handler in log.handlers:
        root.removeHandler(handler)
    root.setLevel(level)


pytestmark = pytest.mark.anyio


async def test_a_request_leaves_one_line_with_who_and_what(desk: Desk, log: Log):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "zq-text")
    made, posted = log.requests

    assert made["route"] == "/agent/rooms"
    assert posted.pop("duration_ms") >= 0
    assert len(posted.pop("request_id")) == 16
    assert datetime.fromisoformat(posted.pop("ts")).utcoffset() is not None
    assert posted.pop("event").startswith("POST /agent/rooms/{id}/messages: 201 in ")
    assert posted == {
        "level": "INFO",
        "logger": "room_mcp.requests",
        "method": "POST",
        "route": "/agent/rooms/{id}/messages",
        "status": 201,
        "room": id[:8],
        "member": "alice",
    }


@pytest.mark.parametrize(
    "path",
    [f"/agent/rooms/{NOBODY}/info", "/nothing", "/agent/rooms?limit=x", f"/rooms/{NOBODY}"],
)
async def test_a_refusal_is_logged_under_the_id_that_its_answer_tells(
    desk: Desk, log: Log, path: str
):
    answer = await desk.http.get(path)
    (line,) = log.requests

    assert line["status"] == answer.status_code >= 400
    assert line["request_id"] in answer.text or path.startswith("/rooms/")
    assert line["code"] in ("room_not_found", "no_such_path", "malformed")


async def test_a_refusal_at_the_door_is_logged_under_the_id_that_its_answer_tells(
    desk: Desk, log: Log
):
    answer = await desk.http.get("/healthz", headers={"Host": "evil.example"})
    (line,) = log.requests

    assert line["request_id"] == answer.json()["requestId"]
    assert (line["route"], line["code"]) == ("/healthz", "host_not_allowed")


async def test_a_key_is_logged_by_its_id(tmp_path: Any, log: Log):
    async with a_desk(tmp_path, door=Door(requires_key=True)) as desk:
        headers = await desk.key("ann")
        await desk.http.get("/agent/me", headers=headers)
        (line,) = log.requests

    key = headers["Authorization"].removeprefix("Bearer ")
    assert line["key_id"] == key[:12]
    assert key not in log.json + log.text


async def test_other_records_say_which_request_they_are_about(desk: Desk, log: Log):
    id = (await desk.room())["roomId"]
    desk.store.read = None  # type: ignore[method-assign]  # what nobody foresaw
    broken = await desk.http.get(f"/agent/rooms/{id}/messages")
    (failure,) = [one for one in log.objects if one["logger"] == "room_mcp.backend.errors"]

    assert broken.status_code == 500
    assert failure["request_id"] == broken.json()["requestId"]
    assert failure["room"] == id[:8]
    assert "TypeError" in failure["exception"]
    assert f"[request_id={failure['request_id']} room={id[:8]}]" in log.text


async def test_what_goes_on_after_a_request_is_not_logged_as_part_of_it(log: Log):
    may_go_on, tasks = asyncio.Event(), list[asyncio.Task[None]]()

    async def later() -> None:
        await may_go_on.wait()
        observing.note(member="alice")
        observing.note_refusal(ValueError())
        logging.getLogger("room_mcp").warning("later")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(later()))
        await Response()(scope, receive, send)

    measures = Measures()
    transport = httpx2.ASGITransport(observing.Observing(app, measures=measures, routes=()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        await http.get("/")
    may_go_on.set()
    await tasks[0]

    (line,) = [one for one in log.objects if one["event"] == "later"]
    assert line.keys() == {"ts", "level", "logger", "event"}
    assert measures.refusals.counts() == {}


async def test_no_text_key_or_whole_room_id_stands_in_any_line(desk: Desk, log: Log):
    made = await desk.room("zq-room", purpose=HOSTILE, access="keyed")
    id, owner = made["roomId"], made["ownerKey"]
    key = (await desk.join(id, "alice", protect=True))["agentKey"]
    wrong = "rks_" + "w" * 43
    for headers in ({"Room-Key": key}, {"Room-Key": owner}, {"Authorization": f"Bearer {wrong}"}):
        await desk.post(id, "alice", HOSTILE, headers=headers)
        await desk.post(id, HOSTILE, HOSTILE, headers=headers, type=HOSTILE)
        await desk.post(id, key, "a name that is a key", headers=headers)
        for path in (
            f"/agent/rooms/{id}/messages?since={key}",
            f"/agent/rooms/{id}/search?q=zq-query",
            f"/agent/rooms/{key}/info",
            f"/zq-path/{id}/{key}",
            f"/rooms/{id}",
            f"/agent/updates?rooms={id}:0&reader=zq-reader",
        ):
            await desk.http.get(path, headers=headers)
    await desk.http.request("ZQ-METHOD", f"/agent/rooms/{id}")
    await desk.http.post("/agent/rooms", content=HOSTILE.encode())
    logged = log.json + log.text

    assert len(log.requests) > 20
    for secret in (id, key, owner, wrong, *SECRETS):
        assert secret.lower() not in logged.lower().replace("rks_wwwwwwww", "")


@given(st.text())
def test_a_json_line_is_one_object_whatever_it_holds(said: str):
    try:
        raise ValueError(said)
    except ValueError as error:
        shown = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("room_mcp", 30, "", 0, "Not known: %s", (said,), shown)
    with during({"room": said, "request_id": "1"}):
        line = JsonLines().format(record)

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == f"Not known: {said}"
    assert json.loads(line)["room"] == said


def test_facts_of_a_request_begin_no_record_and_do_not_act_in_text():
    record = logging.LogRecord("room_mcp", 30, "", 0, "Busy", (), None)
    with during({"member": "a\nroom_mcp: forged\x1b[2J"}):
        lines = HarmlessLines(LINE).format(record).split("\n")

    assert lines == ["room_mcp: Busy [member=a", r"  room_mcp: forged\x1b[2J]"]
