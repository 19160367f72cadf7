"""What callers are told when the store's file fails: 503, when to come again, and what to do."""

# ruff: noqa: ASYNC240 -- nobody else waits for these few quick calls

from __future__ import annotations

from pathlib import Path

import pytest
from rest_desk import Desk

from faults.disk import no_file_grows

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
