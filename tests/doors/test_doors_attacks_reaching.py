"""Whoever reaches for files, logs, keys and other servers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attackers import code, locked_server, room_of
from doorway import DOORS, HELLO, STREAMS, Start, Visitors, legacy, modern_call
from grounds import LOCKED, Grounds, a_server, new_key_in
from misbehaving import Asked as Reached
from misbehaving import Says
from misbehaving import serving as misbehaving

from room_mcp.backend.callers import key_id
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Grounds]:
    async with locked_server(tmp_path / "home") as server:
        yield server


# ---- keys in the wrong place --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["key", "agentKey", "agentSessionId", "ownerKey", "access_token", "token"]
)
async def test_a_key_in_a_url_is_never_taken(locked: Grounds, name: str):
    id = await room_of(locked, access="keyed")
    key = locked.keys["ann"]

    answers = [
        await locked.http.get(f"{path}?{name}={key}")
        for path in (f"/agent/rooms/{id}/messages", "/agent/rooms", "/agent/me", "/mcp", "/sse")
    ]
    page = await locked.http.get(f"/rooms/{id}?{name}={key}")
    userinfo = await locked.http.get(f"http://ann:{key}@127.0.0.1/agent/me")

    assert [one.status_code for one in (*answers, page, userinfo)] == [401] * 7
    assert not any(key in one.text for one in (*answers, page, userinfo))


# ---- paths --------------------------------------------------------------------------------------

WAYS_OUT = [
    "../../etc/passwd",
    "..",
    "../secret",
    "/etc/passwd",
    "..%2f..%2fsecret",
    "secret\x00",
    "a/../secret",
]


@pytest.mark.parametrize("name", WAYS_OUT)
async def test_path_traversal_through_the_name_of_a_template(tmp_path: Path, name: str):
    secret = {"name": "secret", "about": "zqsecret", "types": {}}
    (tmp_path / "templates").mkdir()
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    async with a_server(tmp_path, LOCKED, templates=tmp_path / "templates") as server:
        server.keys["eve"] = await server.new_key("eve")
        answer = await server.call("eve", "POST", "/agent/rooms", {"name": "x", "template": name})

    assert (answer.status_code, code(answer)) == (400, "malformed")
    assert "zqsecret" not in answer.text
    assert str(tmp_path) not in answer.text


async def test_a_link_among_the_templates_shows_nothing_of_where_it_leads(tmp_path: Path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "secret").write_text('zqsecret: "hunter2"')
    (tmp_path / "templates" / "mine.json").symlink_to(tmp_path / "secret")
    (tmp_path / "templates" / "dir.json").mkdir()
    (tmp_path / "templates" / "loop.json").symlink_to(tmp_path / "templates" / "loop.json")
    async with a_server(tmp_path, LOCKED, templates=tmp_path / "templates") as server:
        server.keys["eve"] = await server.new_key("eve")
        listed = await server.call("eve", "GET", "/agent/templates")
        made = [
            await server.call("eve", "POST", "/agent/rooms", {"name": "x", "template": name})
            for name in ("mine", "dir", "loop")
        ]

    assert (listed.status_code, [one.status_code for one in made]) == (200, [400] * 3)
    for one in (listed, *made):
        assert "zqsecret" not in one.text
        assert "hunter2" not in one.text
        assert str(tmp_path) not in one.text


# ---- what processes write, and send on ----------------------------------------------------------

FORGED_ID = quote("zq\r\nINFO:     forged")
FORGED = "zq\r\nINFO:     forged\x1b[2J\x1b]0;x\x07\u2028CRITICAL: forged\u202e"


async def test_log_injection_through_anything_that_a_caller_sends(
    start_server: Start, visitors: Visitors, tmp_path: Path
):
    home = {"ROOM_MCP_HOME": str(tmp_path / "home"), "ROOM_MCP_LOG_LEVEL": "DEBUG"}
    server = start_server("serve", "--port", "0", "--require-key", env=home)
    keys = {name: await a_key(server.home, name) for name in ("eve", "root")}
    http = await visitors.http(server)
    eve, root = ({"Authorization": f"Bearer {keys[name]}"} for name in ("eve", "root"))
    made = await http.post("/agent/rooms", headers=eve, json={"name": "review"})
    at = f"/agent/rooms/{made.json()['roomId']}"
    coded = quote(FORGED)
    bodies: dict[str, dict[str, Any]] = {
        "/agent/rooms": {"name": FORGED, "purpose": FORGED, "sender": FORGED, "template": FORGED},
        f"{at}/join": {"agentName": FORGED, "role": FORGED, "agentKey": FORGED},
        f"{at}/messages": {"sender": "eve", "content": FORGED, "type": FORGED, "to": [FORGED]},
        f"{at}/close": {"conclusion": FORGED, "sender": FORGED, "ownerKey": FORGED},
        f"{at}/remove": {"name": FORGED},
        "/agent/keys": {"name": FORGED},
        f"/agent/keys/{coded}/revoke": {},
        "/agent/invitations/redeem": {"code": FORGED},
        f"/{coded}": {FORGED: FORGED},
    }

    for path, body in bodies.items():
        await http.post(path, headers=eve, json=body)
        for name, value in body.items():
            await http.post(path, headers=eve, json={name: value, FORGED: 1})
    for path in (f"/{coded}", f"/rooms/{coded}", f"{at}/messages", f"/as/{coded}/mcp"):
        headers = {**eve, "Room-Agent": coded, "Origin": f"http://{coded}", "User-Agent": coded}
        await http.get(
            path, headers=headers, params={"reader": FORGED, FORGED: "1", "key": keys["eve"]}
        )
    for key in ("rks_" + coded, keys["eve"] + "x"):
        await http.get("/agent/me", headers={"Authorization": f"Bearer {key}"})
    hello = {**HELLO, "clientInfo": {"name": FORGED, "version": FORGED}}
    for request in (
        modern_call("join_room", room=FORGED, **{FORGED: FORGED}),
        modern_call("send_message", room="review", content=FORGED, type=FORGED),
        legacy("initialize", **hello),
        legacy("tools/call", session=FORGED_ID, name=FORGED, arguments={FORGED: FORGED}),
        legacy(FORGED, uri=FORGED),
        legacy("resources/read", uri=FORGED),
        {"headers": STREAMS, "json": {FORGED: FORGED}},
    ):
        await http.post("/mcp", headers={**request["headers"], **eve}, json=request["json"])
    audit = await http.get(
        "/agent/audit?limit=500", headers={**root, "Accept": "application/x-ndjson"}
    )

    logged = server.complaints()
    assert not [
        line for line in logged.splitlines() if line.startswith(("INFO:     forged", "CRITICAL"))
    ]
    assert not any(char in logged for char in "\r\x1b\x07\u2028\u202e")
    assert not any(key in logged + audit.text for key in keys.values())
    entries = [json.loads(line) for line in audit.text.splitlines()]
    assert [one["no"] for one in entries] == list(
        range(entries[0]["no"], entries[0]["no"] + len(entries))
    )
    assert not any(char in audit.text for char in "\r\x1b\x07\u2028\u202e")


async def test_what_is_said_is_never_logged(
    start_server: Start, visitors: Visitors, tmp_path: Path
):
    home = {"ROOM_MCP_HOME": str(tmp_path / "home"), "ROOM_MCP_LOG_LEVEL": "DEBUG"}
    server = start_server("serve", "--port", "0", env=home)
    for door in DOORS:
        agent = await visitors.agent(server, f"ann-{door}", door)
        await agent.do("create_room", name=f"zqroom {door}", purpose="zqpurpose")
        await agent.say(f"zqroom {door}", "zqsecret")
        assert "zqsecret" in await agent.do("read_history", room=f"zqroom {door}")
    async with server.rooms() as rooms:
        ids = [one.id for one in (await rooms.rooms()).rooms]
    logged = server.complaints()

    assert len(ids) == len(DOORS)
    assert not [word for word in ("zqsecret", "zqroom", "zqpurpose", *ids) if word in logged]


async def a_key(home: Path, name: str) -> str:
    """A key that is made as the command line does it: in the store, while the server runs."""
    store = open_store(str(home / "rooms.db"))
    await store.open()
    try:
        return await new_key_in(store, name, admin=name == "root")
    finally:
        await store.aclose()


async def test_no_token_of_a_caller_is_sent_on_to_another_backend(
    start_server: Start, visitors: Visitors
):
    async def answer(request: Reached) -> Says:
        return Says(404, {"code": "room_not_found", "detail": "None.", "status": 404})

    async with misbehaving(answer) as backend:
        env = {"ROOM_MCP_URL": backend.url, "ROOM_MCP_KEY": "rks_of_the_bridge"}
        server = start_server("--transport", "streamable-http", "--port", "0", env=env)
        http = await visitors.http(server)
        secrets = {
            "Authorization": "Bearer rks_of_the_caller",
            "Room-Key": "rk_of_the_caller",
            "Cookie": "room-mcp-key=rks_of_the_caller",
            "Idempotency-Key": "of_the_caller",
            "X-Api-Key": "of_the_caller",
        }
        for path in ("/mcp", "/as/ann/mcp"):
            for tool, arguments in (
                ("list_rooms", {}),
                ("join_room", {"room": "review"}),
                ("create_room", {"name": "review"}),
                ("search_messages", {"query": "x"}),
            ):
                request = modern_call(tool, **arguments)
                await http.post(
                    path, headers={**request["headers"], **secrets}, json=request["json"]
                )

        asked = backend.asked
    assert asked
    assert {one.headers.get("authorization") for one in asked} == {"Bearer rks_of_the_bridge"}
    assert "of_the_caller" not in "".join(f"{one.headers} {one.path} {one.body}" for one in asked)


async def test_a_revoked_key_ends_at_every_process_of_a_store(
    start_server: Start, visitors: Visitors, tmp_path: Path
):
    home = {"ROOM_MCP_HOME": str(tmp_path / "home")}
    servers = [start_server("serve", "--port", "0", "--require-key", env=home) for _ in range(2)]
    key = await a_key(servers[0].home, "eve")
    eve = {"Authorization": f"Bearer {key}"}
    each = [await visitors.http(server, headers=eve) for server in servers]
    before = [await http.get("/agent/me") for http in each]

    revoked = await each[0].post(f"/agent/keys/{key_id(key)}/revoke", json={})

    after = [await http.get("/agent/me") for http in each]
    request = modern_call("list_rooms")
    tools = [
        await http.post("/mcp", headers=request["headers"], json=request["json"]) for http in each
    ]
    assert ([one.status_code for one in before], revoked.status_code) == ([200, 200], 200)
    assert [one.status_code for one in (*after, *tools)] == [401] * 4
