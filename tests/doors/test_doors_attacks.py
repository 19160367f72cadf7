"""Whoever wants to pass for somebody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from attackers import code, history, locked_server, room_of, say, use
from doorway import legacy, modern_call
from grounds import LOCKED, Grounds, a_server, streaming

from room_mcp.backend.gate import Door

pytestmark = pytest.mark.anyio

OPEN = Door()


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Grounds]:
    async with locked_server(tmp_path / "home") as server:
        yield server


# ---- forged senders -----------------------------------------------------------------------------

# As whom eve may not speak: others, what compares as them, the owner, and whom only looks like her.
LOOK_ALIKES = [
    "ann",
    "Ann",
    "ANN",
    "аnn",
    "ａnn",
    "ann/bot",
    "owner",
    "OWNER",
    "evé",
    "eve2",
    "eve-2",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
async def test_forged_sender_of_a_post(locked: Grounds, name: str):
    id = await room_of(locked)
    at = f"/agent/rooms/{id}"

    refused = [
        await locked.call("eve", "POST", f"{at}/messages", {"sender": name, "content": "x"}),
        await locked.call(
            "eve", "POST", f"/api/rooms/{id}/messages", {"sender": name, "content": "x"}
        ),
        await locked.call("eve", "POST", f"{at}/join", {"agentName": name}),
        await locked.call("eve", "POST", f"{at}/leave", {"sender": name}),
        await locked.call("eve", "POST", f"{at}/heartbeat", {"sender": name}),
        await locked.call("eve", "GET", f"{at}/messages", params={"reader": name}),
        await locked.call("eve", "POST", "/agent/rooms", {"name": "other", "sender": name}),
    ]

    assert {one.status_code // 100 for one in refused} == {4}
    assert {one["sender"] for one in await history(locked, "ann", id)} == {"ann"}


@pytest.mark.parametrize("name", ["ann", "аnn", "owner"])
async def test_forged_sender_in_a_batch(locked: Grounds, name: str):
    id = await room_of(locked)
    body = {"messages": [{"sender": name, "content": "x"}, {"sender": "eve", "content": "y"}]}

    answer = await locked.call("eve", "POST", f"/agent/rooms/{id}/messages/batch", body)

    assert [one["status"] // 100 for one in answer.json()["results"]] == [4, 2]
    assert [one["sender"] for one in await history(locked, "ann", id)] == ["ann", "eve"]


@pytest.mark.parametrize(
    "path", ["/as/ann/mcp", "/as/ANN/mcp", "/as/ann%2Fbot/mcp", "/as/owner/mcp"]
)
async def test_forged_agent_in_the_path_of_mcp(locked: Grounds, path: str):
    id = await room_of(locked)

    answer = await use(locked, "eve", "send_message", path, room=id, content="x")
    nobody = await use(locked, "nobody", "send_message", path, room=id, content="x")

    assert (answer.verdict, nobody.verdict) == ("403", "401")
    assert len(await history(locked, "ann", id)) == 1


@pytest.mark.parametrize("name", ["ann", "ann/bot", "%61nn", "eve, ann"])
async def test_forged_agent_in_the_header_of_mcp(locked: Grounds, name: str):
    id = await room_of(locked)
    request = modern_call("send_message", room=id, content="x")
    headers = {**request["headers"], **locked.headers("eve"), "Room-Agent": name}

    answer = await locked.http.post("/mcp", headers=headers, json=request["json"])

    assert answer.status_code in (400, 403)
    assert len(await history(locked, "ann", id)) == 1


@pytest.mark.parametrize("claim", ["human", "system"])
async def test_forged_kind_of_sender(locked: Grounds, claim: str):
    id = await room_of(locked)
    message = {"sender": "eve", "content": "x", "senderType": claim}

    one = await locked.call("eve", "POST", f"/agent/rooms/{id}/messages", message)
    await locked.call("eve", "POST", f"/agent/rooms/{id}/messages/batch", {"messages": [message]})
    other = await locked.call(
        "pat", "POST", f"/agent/rooms/{id}/messages", {**message, "sender": "pat"}
    )

    assert one.status_code in (201, 400)
    kinds = {(of["sender"], of["senderType"]) for of in await history(locked, "ann", id)}
    assert kinds <= {("ann", "agent"), ("eve", "agent"), ("pat", "human"), ("pat", "agent")}
    assert claim != "human" or other.json()["senderType"] == "human"


async def test_forged_claim_to_be_a_person_reopens_and_resumes_nothing(locked: Grounds):
    id = await room_of(locked)
    at = f"/agent/rooms/{id}"
    await locked.done("ann", f"{at}/close", {"conclusion": "done"})

    reopened = await locked.call("ann", "POST", f"{at}/reopen", {"senderType": "human"})

    assert (reopened.status_code, code(reopened)) == (403, "people_only")


@pytest.mark.parametrize("name", ["pat", "ann/bot", "owner"])
async def test_forged_name_of_whoever_closes(locked: Grounds, name: str):
    id = await room_of(locked, "eve")
    if name == "pat":
        await locked.done("pat", f"/agent/rooms/{id}/join", {"agentName": "pat"})
    body = {"sender": name, "conclusion": "by another"}

    answer = await locked.call("eve", "POST", f"/agent/rooms/{id}/close", body)

    closed = name == "owner"  # which she is
    assert answer.status_code == (200 if closed else 403)
    assert (await history(locked, "eve", id))[-1]["type"] == ("room.closed" if closed else "note")


# ---- stolen names -------------------------------------------------------------------------------


@pytest.mark.parametrize("protect", [True, False], ids=["protected", "unprotected"])
async def test_stolen_name_after_the_server_was_locked(tmp_path: Path, protect: bool):
    async with a_server(tmp_path, OPEN) as before:
        made = await before.done("nobody", "/agent/rooms", {"name": "review"})
        at = f"/agent/rooms/{made['roomId']}"
        joined = await before.done("nobody", f"{at}/join", {"agentName": "ann", "protect": protect})
        await before.done(
            "nobody",
            f"{at}/messages",
            {"sender": "ann", "content": "x", "agentKey": joined["agentKey"]},
        )
    async with a_server(tmp_path, LOCKED) as after:
        after.keys["eve"] = await after.new_key("eve")
        refused = [
            await after.call("eve", "POST", f"{at}/messages", {"sender": "ann", "content": "y"}),
            await after.call("eve", "POST", f"{at}/join", {"agentName": "ann"}),
            await after.call("eve", "POST", f"{at}/leave", {"sender": "ann"}),
            await after.call("eve", "GET", f"{at}/messages?reader=ann"),
        ]

    assert {one.status_code for one in refused} == {403}


async def test_stolen_name_that_nobody_ever_protected_after_the_server_was_locked(tmp_path: Path):
    async with a_server(tmp_path, OPEN) as before:
        made = await before.done("nobody", "/agent/rooms", {"name": "review"})
        at = f"/agent/rooms/{made['roomId']}"
        await before.done("nobody", f"{at}/messages", {"sender": "ann", "content": "x"})
    async with a_server(tmp_path, LOCKED) as after:
        after.keys |= {name: await after.new_key(name) for name in ("eve", "ann")}
        stolen = [
            await after.call("eve", "POST", f"{at}/messages", {"sender": "ann", "content": "y"}),
            await after.call("eve", "POST", f"{at}/leave", {"sender": "ann"}),
            await after.call("eve", "POST", f"{at}/heartbeat", {"sender": "ann"}),
            await after.call("eve", "GET", f"{at}/messages?reader=ann"),
        ]
        hers = await after.call("ann", "POST", f"{at}/messages", {"sender": "ann", "content": "y"})

    assert {(one.status_code, code(one)) for one in stolen} == {(403, "name_not_yours")}
    assert hers.status_code == 201


async def test_stolen_name_after_a_restart_of_an_open_server(tmp_path: Path):
    async with a_server(tmp_path, OPEN) as before:
        made = await before.done("nobody", "/agent/rooms", {"name": "review"})
        at = f"/agent/rooms/{made['roomId']}"
        await before.done("nobody", f"{at}/join", {"agentName": "ann", "protect": True})
        await use(before, "nobody", "join_room", "/as/bob/mcp", room=made["roomId"])
    async with a_server(tmp_path, OPEN) as after:
        refused = [
            await after.call("nobody", "POST", f"{at}/messages", {"sender": name, "content": "y"})
            for name in ("ann", "bob")
        ]

    assert [(one.status_code, code(one)) for one in refused] == [(403, "name_protected")] * 2


async def test_stolen_rights_of_a_key_by_whoever_says_its_name(tmp_path: Path):
    """Where no key is needed, a key that is shown still makes its holder more than his name."""
    async with a_server(tmp_path, OPEN) as server:
        server.keys["ann"] = await server.new_key("ann")
        opened = await use(server, "ann", "create_room", name="review")
        id = opened.result["structuredContent"]["room_id"]

        stolen = [
            await use(server, "nobody", "send_message", "/as/ann/mcp", room=id, content="x"),
            await use(server, "nobody", "close_room", "/as/ann/mcp", room=id, conclusion="x"),
            await use(server, "nobody", "wait_for_messages", "/as/ann/mcp", room=id, timeout_s=1),
        ]
        hers = await use(server, "ann", "close_room", room=id, conclusion="done")

    assert [one.verdict for one in stolen] == ["refused"] * 3
    assert hers.verdict == "ok"


async def test_stolen_session_of_mcp(locked: Grounds):
    id = await room_of(locked, access="keyed")
    session = await locked.session("ann")
    async with streaming(locked.app, "GET", "/sse", locked.headers("ann")) as hers:
        await hers.until("session_id")
        post_to = hers.body.partition("data: ")[2].split()[0]
        request = legacy("tools/call", id=7, name="read_history", arguments={"room": id})
        stolen = [
            await locked.http.post(
                path,
                headers={**request["headers"], **bound, **locked.headers("eve")},
                json=request["json"],
            )
            for path, bound in ((post_to, {}), ("/mcp", {"Mcp-Session-Id": session}))
        ]
        async with locked.channel("eve", session) as channel:
            await channel.until_ended()

    assert [one.status_code for one in stolen] == [404, 404]
    assert channel.status == 404
    assert '"id":7' not in hers.body


# ---- replays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
async def test_replayed_idempotency_key_of_another(locked: Grounds, batch: bool, closed: bool):
    id = await room_of(locked)
    first = await say(locked, "ann", id, "secret", idempotencyKey="k")
    await locked.done("eve", f"/agent/rooms/{id}/join", {"agentName": "eve"})
    if closed:
        await locked.done("ann", f"/agent/rooms/{id}/close", {"conclusion": "done"})
    copied = {"sender": "ann", "content": "secret", "idempotencyKey": "k"}
    own = {**copied, "sender": "eve"}
    at = f"/agent/rooms/{id}/messages"

    answers = [
        await locked.call(
            "eve",
            "POST",
            f"{at}/batch" if batch else at,
            {"messages": [body]} if batch else body,
        )
        for body in (copied, own)
    ]

    told = [one.json()["results"][0] if batch else one.json() for one in answers]
    assert next(one["code"] for one in told if one.get("code")) == "name_protected"
    assert first["id"] not in "".join(one.text for one in answers)
    assert not any(one.get("idempotent") for one in told)


async def test_replayed_idempotency_key_of_somebody_who_was_removed(locked: Grounds):
    id = await room_of(locked, access="keyed", listed=True)
    await locked.done("eve", f"/agent/rooms/{id}/join", {"agentName": "eve"})
    await say(locked, "eve", id, "mine", idempotencyKey="k")
    await say(locked, "ann", id, "unread")
    await locked.done("ann", f"/agent/rooms/{id}/remove", {"name": "eve"})
    body = {"sender": "eve", "content": "mine", "idempotencyKey": "k"}

    answer = await locked.call("eve", "POST", f"/agent/rooms/{id}/messages", body)
    batch = await locked.call(
        "eve", "POST", f"/agent/rooms/{id}/messages/batch", {"messages": [body]}
    )

    assert (answer.status_code, batch.status_code) == (403, 403)
    assert "unread" not in answer.text + batch.text
