"""JSON that is small to send and large to keep, or that means two things, at a server's door."""

from __future__ import annotations

import gzip

import anyio
import pytest
from doorway import SOON_S, STREAMS, Server, Visitors
from raw_lines import peak_bytes

pytestmark = pytest.mark.anyio

PROBLEM = "application/problem+json"
MiB = 1024 * 1024


def filled(start: bytes, part: bytes, end: bytes = b"", size: int = MiB) -> bytes:
    return start + part * ((size - len(start) - len(end)) // len(part)) + end


POST = b'{"sender":"mallory","content":'
BOMBS = {
    "lists in lists": filled(b"", b"["),
    "objects in objects": filled(b"", b'{"a":'),
    "objects in a message": filled(POST, b'{"a":'),
    "a list of lists": filled(b"[", b"[],", b"[]]"),
    "a message of lists": filled(POST + b"[", b"[],", b"[]]}"),
    "a message of objects": filled(POST + b"[", b'{"a":1},', b"{}]}"),
    "a text of escapes": filled(POST + b'"', b"\\u0041", b'"}'),
    "a text of quotes without an end": filled(POST + b'"', b'\\"'),
    "a field again and again": filled(b"{", b'"sender":"a",', b'"content":"x"}'),
    "a field twice": b'{"sender":"mallory","content":"x","content":"y"}',
    "digits": filled(b"", b"9"),
    "a message of digits": filled(POST, b"9", b"}"),
    "digits behind a point": filled(POST + b"0.", b"9", b"e}"),
    "an exponent": filled(POST + b"1e", b"9", b"}"),
    "blanks": filled(b"", b" "),
}
MEMORY_BYTES = 96 * MiB


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_zip_bomb_like_json_is_refused_and_takes_little_memory(
    server: Server, visitors: Visitors, bomb: bytes
):
    http = await visitors.http(server)
    room = (await http.post("/agent/demo/room", json={"name": "review"})).json()["roomId"]
    headers = {"Content-Type": "application/json", **STREAMS}
    paths = [f"/agent/rooms/{room}/{call}" for call in ("messages", "messages/batch", "join")]
    before = peak_bytes(server)
    with anyio.fail_after(SOON_S):
        answers = [
            await http.post(path, content=bomb, headers=headers) for path in (*paths, "/mcp")
        ]
    info = (await http.get(f"/agent/rooms/{room}/info")).json()

    assert [400 <= one.status_code < 500 for one in answers] == [True] * 4
    assert {one.headers["content-type"] for one in answers[:3]} == {PROBLEM}
    assert (info["lastSeq"], info["members"]) == (0, [])
    assert peak_bytes(server) - before < MEMORY_BYTES


async def test_a_batch_as_large_as_may_be_takes_little_memory_when_it_is_all_brackets(
    server: Server, visitors: Visitors
):
    http = await visitors.http(server)
    room = (await http.post("/agent/demo/room", json={"name": "review"})).json()["roomId"]
    bomb = filled(b'{"messages":[' + POST + b"[", b"[],", b"[]]}]}", 16 * MiB)
    before = peak_bytes(server)
    with anyio.fail_after(SOON_S):
        answer = await http.post(
            f"/agent/rooms/{room}/messages/batch",
            content=bomb,
            headers={"Content-Type": "application/json"},
        )

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert peak_bytes(server) - before < MEMORY_BYTES


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
async def test_a_packed_body_is_not_unpacked(server: Server, visitors: Visitors, coding: str):
    http = await visitors.http(server)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    packed = gzip.compress(b'{"name":"' + b"x" * 8 * MiB)
    answer = await http.post("/agent/demo/room", content=packed, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")
    assert "Content-Encoding" in answer.json()["advice"]
