"""Server keys and invitations over REST: who may make them, and what they let in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rest_desk import BASE_URL, Checked, must_be_problem

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import TRUSTED, key_hash
from room_mcp.backend.gate import Door
from room_mcp.settings import Settings
from room_mcp.store.opening import open_store

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@dataclass
class House:
    """A server that wants keys, at a time that stands still; its owner, and whoever else calls."""

    app: Any
    now: datetime = NOON
    seen: list[str] = field(default_factory=list[str])  # every answer's text

    def clock(self) -> datetime:
        return self.now

    async def call(
        self, method: str, path: str, *, key: str = "", owner: bool = False, **json: Any
    ) -> httpx2.Response:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, TRUSTED: True} if owner else scope, receive, send)

        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url=BASE_URL,
            event_hooks={"response": [Checked(self.app)]},
            headers={"Authorization": f"Bearer {key}"} if key else {},
        ) as http:
            answer = await http.request(method, path, json=json if method == "POST" else None)
        self.seen.append(answer.text)
        return answer

    async def key(self, name: str, **fields: Any) -> str:
        made = await self.call("POST", "/agent/keys", owner=True, name=name, **fields)
        assert made.status_code == 201, made.text
        return made.json()["key"]

    async def code(self, name: str, **fields: Any) -> str:
        made = await self.call("POST", "/agent/invitations", owner=True, name=name, **fields)
        assert made.status_code == 201, made.text
        return made.json()["code"]

    async def redeem(self, code: str) -> httpx2.Response:
        return await self.call("POST", "/agent/invitations/redeem", code=code)


@asynccontextmanager
async def a_house(folder: Path, door: Door) -> AsyncGenerator[House]:
    settings = Settings(home=folder, store=str(folder / "rooms.db"))
    house = House(None)
    house.app = create_app(open_store(settings.store), settings, clock=house.clock, door=door)
    async with house.app.router.lifespan_context(house.app):
        yield house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    async with a_house(tmp_path, Door(requires_key=True, lists_rooms=False)) as house:
        yield house


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncGenerator[House]:
    async with a_house(tmp_path, Door()) as house:
        yield house


KEEPING = [
    ("POST", "/agent/keys", {"name": "eve"}),
    ("GET", "/agent/keys", {}),
    ("POST", "/agent/invitations", {"name": "eve"}),
]


# ---- making -------------------------------------------------------------------------------------


async def test_a_new_key_is_shown_once_and_kept_as_its_hash(house: House):
    made = await house.call("POST", "/agent/keys", owner=True, name="ann", human=True)
    listed = await house.call("GET", "/agent/keys", owner=True)

    key = made.json()["key"]
    assert made.status_code == 201
    assert key.startswith("rks_")
    assert len(key) >= 47
    assert key.startswith(made.json()["id"])
    assert (made.json()["kind"], made.json()["admin"]) == ("human", False)
    assert [one["id"] for one in listed.json()["keys"]] == [made.json()["id"]]
    assert key not in listed.text
    assert key_hash(key) not in "".join(house.seen)


@pytest.mark.parametrize(("method", "path", "body"), KEEPING)
async def test_only_admins_and_the_owner_keep_the_door(
    house: House, method: str, path: str, body: dict[str, Any]
):
    plain, admin = await house.key("ann", human=True), await house.key("root", admin=True)

    stranger = await house.call(method, path, **body)
    refused = await house.call(method, path, key=plain, **body)
    allowed = await house.call(method, path, key=admin, **body)

    assert must_be_problem(stranger)["code"] == "key_required"
    assert must_be_problem(refused)["code"] == "admins_only"
    assert "room-mcp keys create" in refused.json()["advice"]
    assert allowed.status_code in (200, 201)


@pytest.mark.parametrize(("method", "path", "body"), KEEPING)
async def test_a_server_without_keys_gives_nobody_the_rights_of_its_owner(
    open_house: House, method: str, path: str, body: dict[str, Any]
):
    refused = await open_house.call(method, path, **body)

    assert must_be_problem(refused)["code"] == "admins_only"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "all"},
        {"name": "a\nb"},
        {"name": "ann", "expiresInS": 0},
        {"name": "ann", "expiresInS": -1},
        {"name": "ann", "expiresInS": 1e300},
        {"name": "ann", "expiresAt": "2026-07-01T11:59:59Z"},
        {"name": "ann", "expiresAt": "9999-12-31T23:59:59-12:00"},
        {"name": "ann", "expiresAt": "never"},
        {"name": "ann", "expiresAt": "2027-01-01", "expiresInS": 60},
        {"name": "ann", "hash": "00"},
    ],
    ids=str,
)
async def test_a_key_that_cannot_be_meant_is_refused(house: House, fields: dict[str, Any]):
    refused = await house.call("POST", "/agent/keys", owner=True, **fields)
    listed = await house.call("GET", "/agent/keys", owner=True)

    assert refused.status_code == 400
    assert listed.json()["keys"] == []


# ---- ending -------------------------------------------------------------------------------------


async def test_a_key_lets_nobody_in_once_its_time_is_over(house: House):
    by_time = await house.key("ann", expiresAt="2026-07-01T14:00:00+01:00")
    by_seconds = await house.key("bob", expiresInS=3_600)

    before = [await house.call("GET", "/agent/me", key=one) for one in (by_time, by_seconds)]
    house.now = NOON + timedelta(hours=1)
    after = [await house.call("GET", "/agent/me", key=one) for one in (by_time, by_seconds)]

    assert [one.status_code for one in before] == [200, 200]
    assert [must_be_problem(one)["code"] for one in after] == ["key_invalid"] * 2


async def test_a_revoked_key_lets_nobody_in_at_once(house: House):
    key, admin = await house.key("ann"), await house.key("root", admin=True)
    path = f"/agent/keys/{key[:12]}/revoke"

    revoked = await house.call("POST", path, key=admin)
    after = await house.call("GET", "/agent/me", key=key)
    house.now += timedelta(hours=1)
    again = await house.call("POST", path, key=admin)

    assert revoked.json()["revokedAt"] == "2026-07-01T12:00:00.000Z"
    assert again.json() == revoked.json()
    assert must_be_problem(after)["code"] == "key_invalid"


async def test_everybody_may_give_his_own_key_back_and_no_other(house: House):
    ann, bob = await house.key("ann"), await house.key("bob")

    others = await house.call("POST", f"/agent/keys/{bob[:12]}/revoke", key=ann)
    own = await house.call("POST", f"/agent/keys/{ann[:12]}/revoke", key=ann)

    assert must_be_problem(others)["code"] == "admins_only"
    assert own.status_code == 200


async def test_a_key_that_does_not_exist_is_not_found_and_only_admins_learn_that(house: House):
    ann = await house.key("ann")

    told = await house.call("POST", "/agent/keys/rks_00000000/revoke", owner=True)
    untold = await house.call("POST", "/agent/keys/rks_00000000/revoke", key=ann)

    assert must_be_problem(told)["code"] == "key_not_found"
    assert must_be_problem(untold)["code"] == "admins_only"


# ---- who one is ---------------------------------------------------------------------------------


async def test_a_caller_learns_who_he_is_and_what_he_may_speak_as(house: House):
    key = await house.key("ann", human=True)

    known = (await house.call("GET", "/agent/me", key=key)).json()
    owner = (await house.call("GET", "/agent/me", owner=True)).json()

    assert (known["trusted"], known["names"]) == (False, ["ann", "ann/…"])
    assert (known["key"]["name"], known["key"]["kind"]) == ("ann", "human")
    assert owner == {"trusted": True, "key": None, "names": []}


async def test_where_no_key_is_wanted_nobody_is_anybody(open_house: House):
    known = await open_house.call("GET", "/agent/me")

    assert known.json() == {"trusted": False, "key": None, "names": []}


# ---- invitations --------------------------------------------------------------------------------


async def test_a_code_is_changed_for_a_key_once(house: House):
    code = await house.code("ann", human=True)

    first = await house.redeem(code)
    second = await house.redeem(code)
    inside = await house.call("GET", "/agent/rooms", key=first.json()["key"])

    assert code.startswith("rkc_")
    assert first.status_code == 201
    assert (first.json()["name"], first.json()["kind"], first.json()["admin"]) == (
        "ann",
        "human",
        False,
    )
    assert must_be_problem(second)["code"] == "invitation_invalid"
    assert "room-mcp invite" in second.json()["advice"]
    assert inside.status_code == 200


async def test_a_code_works_until_its_time_is_over(house: House):
    early, late = await house.code("ann", expiresInS=60), await house.code("bob", expiresInS=60)

    house.now = NOON + timedelta(seconds=59)
    in_time = await house.redeem(early)
    house.now = NOON + timedelta(seconds=60)
    too_late = await house.redeem(late)

    assert in_time.status_code == 201
    assert must_be_problem(too_late)["code"] == "invitation_invalid"


async def test_neither_a_key_nor_a_wrong_code_is_changed_for_a_key(house: House):
    code, key = await house.code("ann"), await house.key("bob")

    refused = [await house.redeem(one) for one in ("", "rkc_", code[:-1], code + "x", key)]

    assert [one.status_code for one in refused] == [403] * 5
    assert (await house.redeem(code)).status_code == 201
