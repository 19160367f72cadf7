"""Keys: who may speak under a name, and what only the owner may do."""

from __future__ import annotations

from typing import Any

import pytest
from rest_desk import Desk, must_be_problem

pytestmark = pytest.mark.anyio

BY_BODY = "body"
BY_HEADER = "header"


def shown(key: str, how: str) -> dict[str, Any]:
    """The ways to show a member's key with a post."""
    return {"agentKey": key} if how == BY_BODY else {"headers": {"Room-Key": key}}


async def test_a_name_that_joined_with_protect_needs_its_key(desk: Desk):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice", protect=True))["agentKey"]
    without = await desk.post(id, "alice")
    wrong = await desk.post(id, "ALICE", agentKey="rk_wrong")
    by_body = await desk.post(id, "alice", **shown(key, BY_BODY))
    by_header = await desk.post(id, "alice", **shown(key, BY_HEADER))
    by_session = await desk.post(id, "alice", agentSessionId=key)

    assert [one.status_code for one in (without, wrong)] == [403, 403]
    assert must_be_problem(without)["code"] == "name_protected"
    assert [one.status_code for one in (by_body, by_header, by_session)] == [201, 201, 201]


async def test_a_key_protects_its_name_once_it_was_used(desk: Desk):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice"))["agentKey"]
    before = await desk.post(id, "alice")
    await desk.say(id, "alice", agentKey=key)
    after = await desk.post(id, "alice")

    assert (before.status_code, after.status_code) == (201, 403)


async def test_a_wrong_key_is_refused_even_for_a_name_without_protection(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "alice")
    posted = await desk.post(id, "alice", agentKey="rk_wrong")

    assert must_be_problem(posted)["code"] == "name_protected"


async def test_a_name_in_use_is_taken_and_its_key_brings_its_holder_back(desk: Desk):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice"))["agentKey"]
    other = await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "Alice"})
    back = await desk.join(id, "alice", agentKey=key)

    assert (other.status_code, must_be_problem(other)["code"]) == (409, "name_taken")
    assert (back["agentKey"], back["agentName"]) == (None, "alice")


@pytest.mark.parametrize(
    ("path", "body"),
    [("leave", {"sender": "alice"}), ("heartbeat", {"sender": "alice"})],
)
async def test_leaving_and_heartbeats_are_guarded_too(desk: Desk, path: str, body: dict[str, str]):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice", protect=True))["agentKey"]
    url = f"/agent/rooms/{id}/{path}"
    without = await desk.http.post(url, json=body)
    by_key = await desk.http.post(url, json={**body, "agentKey": key})

    assert (without.status_code, by_key.status_code) == (403, 200)


async def test_the_reading_state_of_a_protected_name_is_moved_by_its_key_alone(desk: Desk):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice", protect=True))["agentKey"]
    url = f"/agent/rooms/{id}/messages"
    without = await desk.http.get(url, params={"reader": "alice"})
    by_key = await desk.http.get(url, params={"reader": "alice"}, headers={"Room-Key": key})

    assert (without.status_code, by_key.status_code) == (403, 200)


async def test_keys_are_shown_once_and_never_again(desk: Desk):
    made = await desk.room()
    id = made["roomId"]
    key = (await desk.join(id, "alice"))["agentKey"]
    await desk.say(id, "alice", agentKey=key)
    seen = [
        (await desk.http.get(path)).text
        for path in (
            f"/agent/rooms/{id}/info",
            f"/agent/rooms/{id}/history",
            f"/api/rooms/{id}",
            "/agent/rooms",
            f"/agent/rooms/{id}/export",
            f"/rooms/{id}",
        )
    ]

    assert not any(secret in text for text in seen for secret in (key, made["ownerKey"], "rk_"))


# ---- the owner ----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["close", "pause"])
@pytest.mark.parametrize("how", ["body", "Room-Key", "Bearer"])
async def test_the_owner_closes_and_pauses_by_his_key(desk: Desk, call: str, how: str):
    made = await desk.room()
    key = made["ownerKey"]
    headers = {"Room-Key": {"Room-Key": key}, "Bearer": {"Authorization": f"Bearer {key}"}}
    body = {"ownerKey": key} if how == "body" else {}
    url = f"/agent/rooms/{made['roomId']}/{call}"
    without = await desk.http.post(url, json={})
    wrong = await desk.http.post(url, json={"ownerKey": "rk_wrong"})
    done = await desk.http.post(url, json=body, headers=headers.get(how, {}))

    assert [one.status_code for one in (without, wrong, done)] == [403, 403, 200]
    assert must_be_problem(without)["code"] == "not_the_owner"
    assert done.json()["lifecycle"] == {"close": "closed", "pause": "paused"}[call]


async def test_a_closed_room_says_who_ended_it_and_with_what(desk: Desk):
    made = await desk.room()
    url = f"/agent/rooms/{made['roomId']}/close"
    body = {"ownerKey": made["ownerKey"], "sender": "ada", "conclusion": " Nothing to do. "}
    info = (await desk.http.post(url, json=body)).json()
    again = await desk.http.post(url, json=body)

    assert (info["outcome"], info["conclusion"]) == ("closed", "Nothing to do.")
    assert (info["closing"]["by"], info["closing"]["seq"]) == ("ada", 1)
    assert again.status_code == 409


async def test_a_paused_room_takes_no_messages_until_it_goes_on(desk: Desk):
    made = await desk.room()
    id, owner = made["roomId"], {"ownerKey": made["ownerKey"]}
    await desk.http.post(f"/agent/rooms/{id}/pause", json=owner)
    paused = await desk.post(id, "alice")
    await desk.http.post(f"/agent/rooms/{id}/pause", json=owner)
    await desk.http.post(f"/agent/rooms/{id}/resume", json=owner)
    resumed = await desk.post(id, "alice")

    assert (paused.status_code, must_be_problem(paused)["code"]) == (409, "room_paused")
    assert resumed.status_code == 201
    assert resumed.json()["seq"] == 3


async def test_the_owner_speaks_through_his_own_calls(desk: Desk):
    made = await desk.room()
    url = f"/api/rooms/{made['roomId']}/messages"
    headers = {"Authorization": f"Bearer {made['ownerKey']}"}
    said = [await desk.http.post(url, json={"content": text}, headers=headers) for text in "ab"]

    assert [one.status_code for one in said] == [201, 201]
    assert {one.json()["sender"] for one in said} == {"owner"}
    assert {one.json()["senderType"] for one in said} == {"agent"}


async def test_erasing_keeps_numbers_and_keys_and_changes_the_epoch(desk: Desk):
    made = await desk.room()
    id = made["roomId"]
    first = await desk.say(id, "alice", "secret plan", idempotencyKey="k")
    url = f"/api/rooms/{id}/messages"
    without = await desk.http.delete(url)
    erased = await desk.http.delete(url, headers={"Room-Key": made["ownerKey"]})
    left = await desk.read(id, after=0)
    found = (await desk.http.get(f"/agent/rooms/{id}/search", params={"q": "secret"})).json()
    replayed = await desk.say(id, "alice", "secret plan", idempotencyKey="k")
    following = await desk.say(id, "alice", "next")

    assert (without.status_code, erased.status_code) == (403, 200)
    assert (erased.json()["erased"], erased.json()["lastSeq"]) == (1, 1)
    assert [(one["seq"], one["content"]) for one in left["messages"]] == [(1, None)]
    assert left["epoch"] == erased.json()["epoch"] != first["epoch"]
    assert found["hits"] == []
    assert (replayed["id"], replayed["content"]) == (first["id"], None)
    assert following["seq"] == 2


async def test_a_deleted_room_is_gone_for_everybody(desk: Desk):
    made = await desk.room()
    id = made["roomId"]
    without = await desk.http.delete(f"/api/rooms/{id}")
    deleted = await desk.http.delete(
        f"/api/rooms/{id}", headers={"Authorization": f"Bearer {made['ownerKey']}"}
    )
    after = [
        await desk.http.get(path)
        for path in (
            f"/api/rooms/{id}",
            f"/agent/rooms/{id}/info",
            f"/agent/rooms/{id}/messages",
            f"/agent/rooms/{id}/history",
            f"/agent/rooms/{id}/stream",
            f"/agent/rooms/{id}/export",
            f"/rooms/{id}",
        )
    ]
    listed = (await desk.http.get("/agent/rooms")).json()["rooms"]

    assert (without.status_code, deleted.status_code) == (403, 204)
    assert {one.status_code for one in after} == {404}
    assert listed == []


async def test_a_replay_of_a_protected_name_needs_its_key_too(desk: Desk):
    id = (await desk.room())["roomId"]
    key = (await desk.join(id, "alice", protect=True))["agentKey"]
    said = {"sender": "alice", "content": "hello", "idempotencyKey": "1"}
    path = f"/agent/rooms/{id}/messages"
    await desk.http.post(path, json=said, headers={"Room-Key": key})
    await desk.say(id, "bob", "unread")

    stolen = await desk.http.post(path, json={**said, "ack": 2})
    page = await desk.http.get(path, params={"reader": "alice"}, headers={"Room-Key": key})

    assert must_be_problem(stolen)["code"] == "name_protected"
    assert [one["content"] for one in page.json()["messages"]] == ["unread"]
