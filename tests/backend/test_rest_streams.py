"""Following one room as a stream, and taking all of it as a file."""

from __future__ import annotations

import json

import anyio
import pytest
from rest_desk import Desk, exchange

from room_mcp.backend.app import drain

pytestmark = pytest.mark.anyio

NDJSON = {"Accept": "application/x-ndjson"}


@pytest.mark.parametrize("face", ["agent", "api"])
async def test_a_stream_tells_what_is_there_and_what_comes_and_ends_after_the_closing(
    desk: Desk, face: str
):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "before")
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/{face}/rooms/{id}/stream") as stream:
            await stream.until("before")
            await desk.say(id, "alice", "two\n\nlines")
            await stream.until("two")
            await desk.say(id, "alice", "Go.", type="decision")
            await stream.until_ended()

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.body.startswith(b"retry: 2000\n\n")
    assert [one["id"] for one in stream.events] == ["1", "2", "3", "4"]
    assert [one["event"] for one in stream.events] == ["message", "message", "message", "closed"]
    assert json.loads(stream.events[1]["data"])["content"] == "two\n\nlines"


@pytest.mark.parametrize(
    ("query", "last_event_id"), [("?after=2", ""), ("", "2"), ("?after=1", "2"), ("?after=2", "1")]
)
async def test_a_stream_resumes_behind_the_larger_cursor(
    desk: Desk, query: str, last_event_id: str
):
    id = (await desk.room())["roomId"]
    for n in range(4):
        await desk.say(id, "alice", f"text {n}")
    headers = {"Last-Event-ID": last_event_id}
    with anyio.fail_after(20):
        async with exchange(
            desk.app, "GET", f"/agent/rooms/{id}/stream{query}", headers=headers
        ) as stream:
            await stream.until("text 3")

    assert [one["id"] for one in stream.events] == ["3", "4"]


@pytest.mark.parametrize("last_event_id", ["no number", "-1", "9" * 5_000])
async def test_a_last_event_id_that_is_no_cursor_reads_from_the_start(
    desk: Desk, last_event_id: str
):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "one")
    headers = {"Last-Event-ID": last_event_id}
    with anyio.fail_after(20):
        async with exchange(
            desk.app, "GET", f"/agent/rooms/{id}/stream", headers=headers
        ) as stream:
            await stream.until("one")

    assert [one["id"] for one in stream.events] == ["1"]


async def test_after_the_end_a_stream_answers_nothing_so_that_browsers_stop(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "Go.", type="decision")
    over = await desk.http.get(f"/agent/rooms/{id}/stream", headers={"Last-Event-ID": "2"})
    rest = await desk.http.get(f"/agent/rooms/{id}/stream", headers={"Last-Event-ID": "1"})

    assert over.status_code == 204
    assert rest.status_code == 200
    assert "event: closed" in rest.text


async def test_a_stream_of_lines_tells_the_same(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", "one")
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/rooms/{id}/stream", headers=NDJSON) as stream:
            await stream.until("one")
            await desk.say(id, "alice", "Go.", type="decision")
            await stream.until_ended()

    assert stream.headers["content-type"] == "application/x-ndjson"
    assert [one["seq"] for one in stream.lines] == [1, 2, 3]


async def test_many_messages_stream_without_gap_or_double(desk: Desk):
    id = (await desk.room())["roomId"]
    said = [{"sender": "alice", "content": "x", "type": "progress"}] * 100
    for _ in range(2):
        await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": said})
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", f"/agent/rooms/{id}/stream", headers=NDJSON) as stream:
            await stream.until('"seq":150')
            await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": said})
            await stream.until('"seq":300')

    assert [one["seq"] for one in stream.lines] == list(range(1, 301))


async def test_deleting_the_room_or_stopping_the_server_ends_a_stream(desk: Desk):
    made = await desk.room()
    id = made["roomId"]
    other = (await desk.room("other"))["roomId"]
    with anyio.fail_after(20):
        async with (
            exchange(desk.app, "GET", f"/agent/rooms/{id}/stream") as deleted,
            exchange(desk.app, "GET", f"/agent/rooms/{other}/stream") as drained,
        ):
            await deleted.until("retry")
            await desk.http.delete(f"/api/rooms/{id}", headers={"Room-Key": made["ownerKey"]})
            await deleted.until_ended()
            await drained.until("retry")
            drain(desk.app)
            await drained.until_ended()

    assert (deleted.events, drained.events) == ([], [])


@pytest.mark.parametrize(
    ("accept", "sign"), [("*/*", ": still here\n\n"), (NDJSON["Accept"], "\n")]
)
async def test_a_silent_stream_shows_that_the_server_is_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, accept: str, sign: str
):
    monkeypatch.setattr("room_mcp.backend.following.KEEP_ALIVE_S", 0.01)
    id = (await desk.room())["roomId"]
    path = f"/agent/rooms/{id}/stream"
    with anyio.fail_after(20):
        async with exchange(desk.app, "GET", path, headers={"Accept": accept}) as stream:
            await stream.until(sign * 2)
            await desk.say(id, "alice", "at last")
            await stream.until("at last")


# ---- as a file ----------------------------------------------------------------------------------


async def test_a_room_is_exported_for_people_and_for_programs(desk: Desk):
    id = (await desk.room("leak hunt", purpose="Find it."))["roomId"]
    await desk.say(id, "alice", "# not a heading\n\nof ours", to=["bob"])
    await desk.say(id, "bob", {"type": "review_complete", "verdict": "ok\n\n# fake", "n": 1})
    people = (await desk.http.get(f"/agent/rooms/{id}/export")).text
    programs = await desk.http.get(f"/agent/rooms/{id}/export", params={"format": "jsonl"})

    assert people.startswith("# leak hunt\n")
    assert "## #1 alice → bob [note]" in people
    assert "Closed: ok # fake, by bob." in people
    assert [line for line in people.splitlines() if line.startswith("# ")] == ["# leak hunt"]
    assert [json.loads(line)["seq"] for line in programs.text.splitlines()] == [1, 2, 3]


async def test_an_export_of_another_format_is_refused(desk: Desk):
    id = (await desk.room())["roomId"]
    export = await desk.http.get(f"/agent/rooms/{id}/export", params={"format": "pdf"})

    assert export.status_code == 400
