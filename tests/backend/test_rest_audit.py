"""The audit over REST: what was done, what was refused, and who may read it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rest_desk import BASE_URL, NOBODY, Checked, Desk, must_be_problem
from starlette.types import Receive, Scope, Send

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import new_key, trust
from room_mcp.backend.gate import OPEN_DOOR, Door
from room_mcp.backend.service import utc_now
from room_mcp.settings import Settings
from room_mcp.store.auditing import Entry
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADDRESS = "203.0.113.7"


class House(Desk):
    """A backend with callers from elsewhere (`http`) and whoever runs it (`own`)."""

    own: httpx2.AsyncClient

    async def audit(self, **query: Any) -> list[dict[str, Any]]:
        told = await self.own.get("/agent/audit", params=query)
        assert told.status_code == 200, told.text
        return told.json()["entries"]

    async def acts(self) -> list[tuple[str, str | None]]:
        return [(one["act"], one["name"]) for one in await self.audit()]

    async def refusals(self) -> list[dict[str, Any]]:
        return [one for one in await self.audit() if one["outcome"] != "done"]

    async def key(self, name: str, **fields: Any) -> dict[str, str]:
        """Headers that show a new server key."""
        made = await self.own.post("/agent/keys", json={"name": name, **fields})
        assert made.status_code == 201, made.text
        return {"Authorization": f"Bearer {made.json()['key']}"}


@asynccontextmanager
async def a_house(
    folder: Path, *, door: Door = OPEN_DOOR, clock: Callable[[], datetime] = utc_now
) -> AsyncGenerator[House]:
    settings = Settings(home=folder, store=str(folder / "rooms.db"))
    app = create_app(open_store(settings.store), settings, door=door, clock=clock)

    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        trust(scope)
        await app(scope, receive, send)

    hooks = {"response": [Checked(app)]}
    elsewhere = httpx2.ASGITransport(app, client=(ADDRESS, 4711))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=elsewhere, base_url=BASE_URL, event_hooks=hooks) as http,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(trusted), base_url=BASE_URL, event_hooks=hooks
        ) as own,
    ):
        house = House(app, http)
        house.own = own
        yield house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with a_house(tmp_path) as house:
        yield house


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[House]:
    """One that wants server keys."""
    async with a_house(tmp_path, door=Door(requires_key=True)) as house:
        yield house


# ---- what was done ------------------------------------------------------------------------------


async def test_the_life_of_a_room_stands_in_the_audit(house: House):
    room = await house.room(sender="ann")
    path, owner = f"/agent/rooms/{room['id']}", {"ownerKey": room["ownerKey"]}
    await house.join(room["id"], "rex")
    await house.say(room["id"], "eve")
    await house.say(room["id"], "eve", "is a member already")
    for call, body in (
        ("pause", {}),
        ("resume", {}),
        ("settings", {"budget": {"messages": 9}}),
        ("mute", {"name": "eve"}),
        ("mute", {"name": "eve", "muted": False}),
        ("remove", {"name": "eve"}),
        ("close", {"sender": "ann"}),
    ):
        done = await house.http.post(f"{path}/{call}", json={**body, **owner})
        assert done.status_code == 200, done.text
    await house.own.post(f"{path}/reopen", json={"sender": "max", "senderType": "human"})
    await house.own.post(f"{path}/leave", json={"sender": "rex"})
    await house.own.delete(f"/api/rooms/{room['id']}/messages")
    await house.own.delete(f"/api/rooms/{room['id']}")

    assert await house.acts() == [
        *(("create", "ann"), ("join", "rex"), ("join", "eve")),
        *(("pause", "owner"), ("resume", "owner"), ("adjust", None)),
        *(("mute", None), ("unmute", None), ("remove", None), ("close", "ann")),
        *(("reopen", "max"), ("leave", "rex"), ("erase", None), ("delete", None)),
    ]


async def test_whom_it_was_done_to_stands_in_the_detail(house: House):
    room = await house.room(access="approval")
    path, owner = f"/agent/rooms/{room['id']}", {"ownerKey": room["ownerKey"]}
    for name in ("rex", "eve"):
        await house.http.post(f"{path}/join", json={"agentName": name})
    await house.http.post(f"{path}/admit", json={"name": "rex", **owner})

    await house.http.post(f"{path}/decline", json={"name": "eve", **owner})

    told = [(one["act"], one["name"], one["detail"]) for one in await house.audit(after=1)]
    assert told == [
        ("knock", "rex", None),
        ("knock", "eve", None),
        ("admit", None, "rex"),
        ("decline", None, "eve"),
    ]


async def test_an_entry_says_which_key_did_it(guarded: House):
    key = await guarded.key("ann")

    made = await guarded.http.post("/agent/rooms", json={"name": "review"}, headers=key)

    (entry,) = await guarded.audit(room=made.json()["id"])
    assert (entry["act"], entry["name"], entry["subject"]) == ("create", "ann", "key:ann")
    assert key["Authorization"].removeprefix("Bearer ").startswith(entry["keyId"])


async def test_a_room_whose_time_is_over_was_closed_by_itself(tmp_path: Path):
    now = [NOON]
    async with a_house(tmp_path, clock=lambda: now[0]) as house:
        room = await house.room(budget={"idle_s": 60})
        now[0] += timedelta(minutes=2)

        await house.http.get(f"/agent/rooms/{room['id']}/info")

        created, closed = await house.audit()
        assert created["act"] == "create"
        assert (closed["act"], closed["name"], closed["detail"]) == ("close", "room", "#1, idle")


async def test_what_happens_to_keys_stands_in_the_audit(guarded: House):
    key = (await guarded.own.post("/agent/keys", json={"name": "ann"})).json()
    await guarded.own.post(f"/agent/keys/{key['id']}/revoke")
    code = (await guarded.own.post("/agent/invitations", json={"name": "rex"})).json()["code"]

    redeemed = await guarded.http.post("/agent/invitations/redeem", json={"code": code})

    entries = await guarded.audit()
    assert [(one["act"], one["detail"]) for one in entries] == [
        ("create_key", f"{key['id']} of ann"),
        ("revoke_key", key["id"]),
        ("invite", "rex"),
        ("redeem", None),
    ]
    assert (entries[-1]["name"], entries[-1]["keyId"]) == ("rex", redeemed.json()["id"])


# ---- what was refused ---------------------------------------------------------------------------


async def test_a_refusal_says_what_was_tried_and_by_whom(house: House):
    room = await house.room()
    await house.join(room["id"], "ann", protect=True)

    refused = await house.post(room["id"], "ann")

    (entry,) = await house.refusals()
    assert entry["act"] == "POST /agent/rooms/{id}/messages"
    assert entry["outcome"] == "name_protected"
    assert entry["roomId"] == room["id"]
    assert "'ann'" in entry["detail"]
    assert entry["subject"].startswith("addr:")
    assert entry["requestId"] == refused.json()["requestId"]


Attempt = tuple[str, str, dict[str, Any], dict[str, str]]


@pytest.mark.parametrize(
    ("code", "attempt"),
    [
        ("room_not_found", ("GET", f"/agent/rooms/{NOBODY}/info", {}, {})),
        ("not_the_owner", ("POST", "/agent/rooms/ROOM/pause", {}, {})),
        ("people_only", ("POST", "/agent/rooms/ROOM/reopen", {"senderType": "human"}, {})),
        ("admins_only", ("GET", "/agent/audit", {}, {})),
        ("host_not_allowed", ("GET", "/agent/rooms", {}, {"host": "evil.test"})),
        ("origin_not_allowed", ("GET", "/agent/rooms", {}, {"origin": "http://evil.test"})),
        ("key_invalid", ("GET", "/agent/rooms", {}, {"authorization": "Bearer rks_wrong"})),
        ("not_a_member", ("POST", "/agent/rooms/ROOM/leave", {"sender": "rex"}, {})),
    ],
)
async def test_whoever_tries_what_he_may_not_is_found(house: House, code: str, attempt: Attempt):
    method, path, body, headers = attempt
    path = path.replace("ROOM", (await house.room())["id"])

    refused = await house.http.request(method, path, json=body or None, headers=headers)

    assert must_be_problem(refused)["code"] == code
    assert [one["outcome"] for one in await house.refusals()] == [code]


async def test_callers_without_a_key_are_found(guarded: House):
    await guarded.http.get("/agent/rooms")

    assert [one["outcome"] for one in await guarded.refusals()] == ["key_required"]


async def test_a_refusal_inside_a_batch_is_found(house: House):
    room = await house.room()
    await house.join(room["id"], "ann", protect=True)
    batch = {"messages": [{"sender": "ann", "content": "no"}, {"sender": "rex", "content": "yes"}]}

    await house.http.post(f"/agent/rooms/{room['id']}/messages/batch", json=batch)

    assert [one["outcome"] for one in await house.refusals()] == ["name_protected"]


async def test_what_a_conversation_refuses_as_a_matter_of_course_is_not_kept(house: House):
    room = await house.room()
    await house.say(room["id"], "ann")
    await house.post(room["id"], "ann", ifLastSeq=0)
    await house.post(room["id"], "ann", replyTo=99)
    await house.say(room["id"], "ann", type="decision")

    await house.post(room["id"], "ann")

    assert await house.refusals() == []


async def test_whoever_runs_the_server_may_mistype_an_id(house: House):
    await house.own.get(f"/agent/rooms/{NOBODY}/info")

    assert await house.refusals() == []


async def test_what_is_no_id_may_be_a_key_in_the_wrong_place(house: House):
    await house.http.get("/agent/rooms/rks_0123456789/info")

    (entry,) = await house.refusals()
    assert (entry["outcome"], entry["roomId"]) == ("room_not_found", None)


async def test_nothing_that_was_said_no_key_and_no_address_is_in_the_audit(guarded: House):
    headers = await guarded.key("ann")
    made = (await guarded.http.post("/agent/rooms", json={"name": "r"}, headers=headers)).json()
    path = f"/agent/rooms/{made['id']}/messages"
    said = {"sender": "ann", "content": "xylophone"}
    await guarded.http.post(path, json=said, headers=headers)
    await guarded.http.post(path, json=said)
    await guarded.http.post(path, json={**said, "sender": "eve"}, headers=headers)

    text = json.dumps(await guarded.audit())

    assert "name_not_yours" in text
    assert "key_required" in text
    for secret in ("xylophone", ADDRESS, made["ownerKey"], headers["Authorization"][7:]):
        assert secret not in text


# ---- who may read it ----------------------------------------------------------------------------


async def test_all_of_it_is_for_admins(guarded: House):
    admin, other = await guarded.key("ann", admin=True), await guarded.key("rex")

    assert (await guarded.http.get("/agent/audit", headers=admin)).status_code == 200
    assert (await guarded.http.get("/agent/audit", headers=other)).status_code == 403
    assert (await guarded.http.get("/agent/audit")).status_code == 401


async def test_that_of_a_room_is_for_its_owner_and_for_admins(guarded: House):
    admin, other = await guarded.key("ann", admin=True), await guarded.key("rex")
    owner = await guarded.key("eve")
    room = (await guarded.http.post("/agent/rooms", json={"name": "r"}, headers=owner)).json()
    path = f"/agent/rooms/{room['id']}/audit"
    with_owner_key = {**other, "Room-Key": room["ownerKey"]}

    assert (await guarded.http.get(path, headers=owner)).json()["entries"][0]["act"] == "create"
    assert (await guarded.http.get(path, headers=with_owner_key)).status_code == 200
    assert (await guarded.http.get(path, headers=admin)).status_code == 200
    assert (await guarded.http.get(path, headers=other)).status_code == 403


async def test_a_room_is_audited_after_its_end_for_admins(guarded: House):
    admin = await guarded.key("ann", admin=True)
    room = (await guarded.http.post("/agent/rooms", json={"name": "r"}, headers=admin)).json()
    await guarded.http.delete(f"/api/rooms/{room['id']}", headers=admin)

    told = await guarded.http.get(f"/agent/rooms/{room['id']}/audit", headers=admin)

    assert [one["act"] for one in told.json()["entries"]] == ["create", "delete"]


# ---- how it is read -----------------------------------------------------------------------------


async def test_the_audit_is_read_by_cursor(house: House):
    for name in ("one", "two", "three"):
        await house.room(name)

    first = (await house.own.get("/agent/audit", params={"limit": 2})).json()
    cursor = {"after": first["nextCursor"]}
    rest = (await house.own.get("/agent/audit", params=cursor)).json()
    end = (await house.own.get("/agent/audit", params={"after": rest["nextCursor"]})).json()

    assert [one["no"] for one in first["entries"]] == [1, 2]
    assert [one["no"] for one in rest["entries"]] == [3]
    assert (first["hasMore"], rest["hasMore"], end["hasMore"]) == (True, False, False)
    assert (end["entries"], end["nextCursor"], end["lastNo"]) == ([], 3, 3)
    assert end["head"] == rest["entries"][-1]["link"]


async def test_on_request_each_entry_is_a_line(house: House):
    await house.room()

    told = await house.own.get("/agent/audit", headers={"accept": "application/x-ndjson"})

    assert told.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["act"] for line in told.text.splitlines()] == ["create"]


async def test_times_come_with_all_digits_that_the_links_are_made_of(house: House):
    at = NOON + timedelta(microseconds=7)

    house.store.note_refusal(Entry(at, "join", "muted"))

    assert (await house.audit())[0]["at"] == "2026-01-01T12:00:00.000007Z"


async def test_a_key_that_was_sent_as_a_name_is_not_kept(house: House):
    room = await house.room()
    path = f"/agent/rooms/{room['id']}/messages"
    await house.http.get(path, params={"reader": new_key()})
    await house.http.get(path, params={"reader": "rex"})

    details = [one["detail"] for one in await house.refusals()]
    assert details == [None, "'rex' is not a member of this room."]
