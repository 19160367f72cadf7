"""What callers are told when the store's file fails: 503, when to come again, and what to do."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

import json
from pathlib import Path

import pytest
from limited_desk import PUBLIC, limited_desks
from rest_desk import Desk

from faults.disk import no_file_grows
from room_mcp.backend.errors import outward, problem
from room_mcp.store.interface import StoreSilent

pytestmark = pytest.mark.anyio


async def test_on_a_full_disk_nothing_is_posted_and_all_is_read(desk: Desk, tmp_path: Path):
    room = (await desk.room())["roomId"]
    await desk.say(room, "ann", "before")
    key = {"Idempotency-Key": "k1"}
    body = {"sender": "ann", "content": "during " + "x" * 20_000}
    with no_file_grows(next(tmp_path.rglob("rooms.db"))):
        refused = await desk.http.post(f"/agent/rooms/{room}/messages", json=body, headers=key)
        page = await desk.http.get(f"/agent/rooms/{room}/messages")

    first = await desk.http.post(f"/agent/rooms/{room}/messages", json=body, headers=key)
    again = await desk.http.post(f"/agent/rooms/{room}/messages", json=body, headers=key)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert refused.json()["code"] == "store_unavailable"
    assert refused.json()["advice"]
    assert [one["content"] for one in page.json()["messages"]] == ["before"]
    assert (first.json()["seq"], first.json()["idempotent"]) == (2, False)
    assert (again.json()["seq"], again.json()["idempotent"]) == (2, True)


async def test_with_a_deleted_file_nothing_is_posted_and_all_is_read(desk: Desk, tmp_path: Path):
    room = (await desk.room())["roomId"]
    await desk.say(room, "ann", "before")
    next(tmp_path.rglob("rooms.db")).unlink()

    refused = await desk.post(room, "ann", "lost")
    page = await desk.http.get(f"/agent/rooms/{room}/messages")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert "was deleted" in refused.json()["detail"]
    assert "room-mcp restore" in refused.json()["advice"]
    assert [one["content"] for one in page.json()["messages"]] == ["before"]


async def test_where_the_files_lie_is_for_those_who_run_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with limited_desks(tmp_path, door=PUBLIC) as (desk,):
        key = await desk.key("ann")
        room = (await desk.http.post("/agent/rooms", json={"name": "review"}, headers=key)).json()
        call = f"/agent/rooms/{room['id']}/messages"
        next(tmp_path.rglob("rooms.db")).unlink()
        answers = [
            await caller.post(call, json={"sender": "ann", "content": "lost"}, headers=headers)
            for caller, headers in (
                (desk.http, key),
                (desk.at("192.0.2.1", trusted=True).http, {}),
            )
        ]

    told, own = (one.json() for one in answers)
    assert [one.status_code for one in answers] == [503, 503]
    assert str(tmp_path) not in str(told)
    assert str(tmp_path) in own["detail"]
    assert f"Request {told['requestId']}: {own['detail']}" in caplog.text


def test_who_does_not_run_the_server_is_told_that_its_database_does_not_answer():
    silent = StoreSilent("Nobody answers at postgresql://10.0.0.7/rooms.", advice="Look there.")

    told = problem(outward(silent, "request"), "request")

    body = json.loads(bytes(told.body))
    assert (told.status_code, told.headers["Retry-After"], body["code"]) == (503, "1", "store_busy")
    assert body["detail"] == "The database of this server does not answer; nothing was stored."
    assert "10.0.0.7" not in str(body)
