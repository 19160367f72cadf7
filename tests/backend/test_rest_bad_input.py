"""What cannot be understood is refused in words that name the mistake, and changes nothing."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from rest_desk import BASE_URL, Desk, exchange, must_be_problem

from room_mcp.rooms import Room

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def post_with(content: str) -> bytes:
    return f'{{"sender":"alice","content":{content}}}'.encode()


BODIES = {
    "no JSON": (b"{", 400, "JSON"),
    "invalid UTF-8": (b'{"sender":"alice","content":"\xff"}', 400, "JSON"),
    "UTF-16": ('{"sender":"alice"}'.encode("utf-16"), 400, "JSON"),
    "a list": (b"[]", 400, "body"),
    "null": (b"null", 400, "body"),
    "a text": (b'"x"', 400, "body"),
    "nothing": (b"", 400, "content"),
    "NaN": (post_with('{"n":NaN}'), 400, "JSON"),
    "Infinity": (post_with('{"n":-Infinity}'), 400, "JSON"),
    "a number without end": (post_with('{"n":1e999}'), 400, "number"),
    "lone surrogate": (post_with(r'"\ud800"'), 400, "JSON"),
    "lone surrogate in a key": (post_with(r'{"\udc00":1}'), 400, "JSON"),
    "NUL": (post_with(r'"a\u0000b"'), 400, "NUL"),
    "NUL in a key": (post_with(r'{"\u0000":1}'), 400, "NUL"),
    "NUL in the sender": (b'{"sender":"a\\u0000","content":"x"}', 400, "NUL"),
    "65 levels": (post_with(deep(64)), 400, "deeper"),
    "10,000 levels": (post_with(deep(10_000)), 400, ""),
    "beyond 2^53": (post_with('{"n":9007199254740993}'), 400, "2^53"),
    "far beyond 2^53": (post_with('{"n":-' + "9" * 5_000 + "}"), 400, ""),
    "content is a number": (post_with("5"), 400, "content"),
    "content is a list": (post_with("[]"), 400, "content"),
    "content is null": (post_with("null"), 400, "content"),
    "no content": (b'{"sender":"alice"}', 400, "content"),
    "no sender": (b'{"content":"x"}', 400, "sender"),
    "unknown field": (b'{"sender":"alice","content":"x","colour":"red"}', 400, "colour"),
    "field in snake_case": (b'{"sender":"alice","content":"x","reply_to":1}', 400, "reply_to"),
    "sender is a number": (b'{"sender":7,"content":"x"}', 400, "sender"),
    "to is a number": (b'{"sender":"alice","content":"x","to":7}', 400, "to"),
    "to has 33 names": (
        json.dumps({"sender": "a", "content": "x", "to": [f"n{n}" for n in range(33)]}).encode(),
        400,
        "33",
    ),
    "replyTo is 0": (b'{"sender":"alice","content":"x","replyTo":0}', 400, "replyTo"),
    "replyTo is ahead": (b'{"sender":"alice","content":"x","replyTo":1}', 400, "#1"),
    "ack is negative": (b'{"sender":"alice","content":"x","ack":-1}', 400, "ack"),
    "type with a space": (b'{"sender":"alice","content":"x","type":"a b"}', 400, "type"),
    "type of 65 characters": (
        json.dumps({"sender": "alice", "content": "x", "type": "t" * 65}).encode(),
        400,
        "type",
    ),
    "senderType unknown": (
        b'{"sender":"alice","content":"x","senderType":"god"}',
        400,
        "senderType",
    ),
    "key of 256 characters": (
        json.dumps({"sender": "a", "content": "x", "idempotencyKey": "k" * 256}).encode(),
        400,
        "idempotencyKey",
    ),
    "handoff to nobody": (b'{"sender":"a","content":"x","type":"handoff"}', 400, "receiver"),
    "1 MiB": (post_with('"' + "x" * 1024 * 1024 + '"'), 413, "bytes"),
    "a message beyond 64 KiB": (post_with('"' + "x" * 70_000 + '"'), 413, "bytes"),
}


@pytest.mark.parametrize(("body", "status", "said"), BODIES.values(), ids=BODIES)
async def test_a_bad_body_is_refused_and_nothing_is_stored(
    desk: Desk, body: bytes, status: int, said: str
):
    id = (await desk.room())["roomId"]
    answer = await desk.http.post(f"/agent/rooms/{id}/messages", content=body, headers=JSON)
    info = (await desk.http.get(f"/agent/rooms/{id}/info")).json()

    assert answer.status_code == status
    assert said in must_be_problem(answer)["detail"]
    assert (info["lastSeq"], info["members"]) == (0, [])


async def test_64_levels_and_2_to_the_53_are_fine(desk: Desk):
    id = (await desk.room())["roomId"]
    body = post_with('{"deep":' + deep(61) + ',"n":-9007199254740992}')
    answer = await desk.http.post(f"/agent/rooms/{id}/messages", content=body, headers=JSON)

    assert answer.status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_type_is_refused(desk: Desk, kind: str):
    headers = {"Content-Type": kind}
    answer = await desk.http.post("/agent/demo/room", content=b'{"name":"x"}', headers=headers)

    assert (answer.status_code, must_be_problem(answer)["code"]) == (415, "not_json")


async def test_a_type_with_a_charset_is_json_too(desk: Desk):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await desk.http.post("/agent/demo/room", content=b'{"name":"x"}', headers=headers)

    assert answer.status_code == 201


async def test_a_batch_may_be_larger_than_a_message_and_has_its_own_end(desk: Desk):
    id = (await desk.room())["roomId"]
    item = {"sender": "alice", "content": "x" * 60_000}
    large = await desk.http.post(
        f"/agent/rooms/{id}/messages/batch", json={"messages": [item] * 30}
    )
    too_large = await desk.http.post(
        f"/agent/rooms/{id}/messages/batch", content=b" " * (16 * 1024 * 1024 + 1), headers=JSON
    )

    assert (large.status_code, too_large.status_code) == (200, 413)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " alice",
        "alice ",
        "a  b",
        "-alice",
        "al\nice",
        "alice\u202e",
        "<b>alice</b>",
        "room",
        "SYSTEM",
        "Everyone",
        "a" * 101,
        "a" * 10_000,
        "a" * 10_000 + "!",
        "🙂",
    ],
)
async def test_a_name_that_is_none_is_refused_at_every_door(desk: Desk, name: str):
    made = await desk.room()
    id = made["roomId"]
    answers = [
        await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": name}),
        await desk.post(id, name),
        await desk.post(id, "alice", to=[name]),
        await desk.http.post(
            f"/agent/rooms/{id}/close", json={"sender": name, "ownerKey": made["ownerKey"]}
        ),
    ]

    assert {one.status_code for one in answers} == {400}
    assert all(len(one.text) < 1_000 for one in answers)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "n" * 101, "n" * 10_000, "\u202e"])
async def test_a_room_name_is_one_short_line(desk: Desk, name: str):
    answers = [
        await desk.http.post(path, json={"name": name})
        for path in ("/agent/demo/room", "/agent/rooms", "/api/rooms")
    ]

    assert {one.status_code for one in answers} == {400}


QUERIES = [
    ("messages", "after", "-1"),
    ("messages", "after", "x"),
    ("messages", "after", "1.5"),
    ("messages", "after", "٣"),
    ("messages", "after", "9007199254740993"),
    ("messages", "after", "0" * 20 + "9" * 30),
    ("messages", "after", "9" * 5_000),
    ("messages", "before", "-1"),
    ("messages", "ack", "-1"),
    ("messages", "limit", "ten"),
    ("messages", "wait", "soon"),
    ("messages", "wait", "nan"),
    ("messages", "sender", "\x00"),
    ("messages", "colour", "red"),
    ("history", "wait", "1"),
    ("stream", "after", "-1"),
    ("export", "page", "2"),
]


@pytest.mark.parametrize(("call", "name", "value"), QUERIES)
async def test_a_bad_parameter_is_refused_by_name(desk: Desk, call: str, name: str, value: str):
    id = (await desk.room())["roomId"]
    answer = await desk.http.get(f"/agent/rooms/{id}/{call}", params={name: value})

    assert answer.status_code == 400
    assert repr(name) in must_be_problem(answer)["detail"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/agent/rooms", {"before": "yesterday"}),
        ("/agent/rooms", {"ids": ",".join("x" * 201)}),
        ("/agent/updates", {"rooms": "id:x"}),
        ("/agent/updates", {"rooms": f"id:{'9' * 5_000}"}),
        ("/agent/updates", {"rooms": ",".join(f"id{n}:0" for n in range(201))}),
        ("/agent/updates", {"directory": "-1"}),
    ],
)
async def test_a_bad_list_or_time_is_refused(desk: Desk, path: str, query: dict[str, str]):
    answer = await desk.http.get(path, params=query)

    assert answer.status_code == 400


async def test_a_wait_beyond_50_s_is_cut_and_a_negative_one_is_none(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    answers = [await desk.read(id, after=0, wait=wait) for wait in ("1e9", "inf", "-5")]

    assert [len(one["messages"]) for one in answers] == [1, 1, 1]


@pytest.mark.parametrize("key", ["", " ", '""', "k" * 256])
async def test_an_idempotency_key_header_that_is_none_is_refused(desk: Desk, key: str):
    id = (await desk.room())["roomId"]
    answer = await desk.post(id, "alice", headers={"Idempotency-Key": key})

    assert answer.status_code == 400


async def test_an_unknown_path_and_method_are_told_as_problems(desk: Desk):
    path = await desk.http.get("/agent/nowhere")
    slash = await desk.http.get("/agent/rooms/")
    method = await desk.http.request("PATCH", "/agent/rooms")

    assert (path.status_code, must_be_problem(path)["code"]) == (404, "no_such_path")
    assert slash.status_code == 404
    assert (method.status_code, must_be_problem(method)["code"]) == (405, "no_such_method")
    assert method.headers["Allow"] == "GET, POST"


async def test_a_body_that_breaks_off_is_no_error_of_ours(
    desk: Desk, caplog: pytest.LogCaptureFixture
):
    async with exchange(desk.app, "POST", "/agent/demo/room", stalled=True) as broken:
        broken.hang_up()
        broken.take()
        await broken.until_ended()

    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_a_crash_is_told_without_a_trace_and_logged_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    id = (await desk.room())["roomId"]

    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"secret of {BASE_URL}")

    monkeypatch.setattr(Room, "post", crash)
    answer = await desk.post(id, "alice")
    monkeypatch.undo()
    later = await desk.post(id, "alice")

    logged = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert (answer.status_code, must_be_problem(answer)["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert [one.message for one in logged] == ["A request failed"]
    assert (later.status_code, later.json()["seq"]) == (201, 1)
