"""Pages for people with a key: coming in, and keeping a room in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from rest_desk import Desk, a_desk

from room_mcp.backend.gate import Door
from room_mcp.backend.service import utc_now

pytestmark = pytest.mark.anyio

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path, door=Door(requires_key=True)) as desk:
        yield desk


async def person(desk: Desk, name: str = "ann") -> tuple[str, dict[str, str]]:
    """A person's key, and the cookie of a browser that knows it."""
    key = (await desk.key(name, kind="human"))["Authorization"].removeprefix("Bearer ")
    return key, {"Cookie": f"room-mcp-key={key}"}


async def a_room(desk: Desk, key: str, **fields: Any) -> str:
    made = await desk.http.post(
        "/agent/rooms",
        json={"name": "review", "sender": "ann", **fields},
        headers={"Authorization": f"Bearer {key}"},
    )
    return made.json()["id"]


async def test_a_page_asks_for_the_key_and_leads_back(locked: Desk):
    key, _ = await person(locked)
    id = await a_room(locked, key)
    asked = await locked.http.get(f"/rooms/{id}")
    came = await locked.http.post(
        "/login", content=f"key={key}&to=/rooms/{id}", headers=FORM, follow_redirects=False
    )

    assert asked.status_code == 401
    assert f'value="/rooms/{id}"' in asked.text
    assert "review" not in asked.text
    assert (came.status_code, came.headers["location"]) == (303, f"/rooms/{id}")
    cookie = came.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
async def test_it_leads_to_no_other_server(locked: Desk, to: str):
    key, _ = await person(locked)
    came = await locked.http.post("/login", content=f"key={key}&to={to}", headers=FORM)

    assert came.headers["location"] == "/"


async def test_a_wrong_key_does_not_come_in(locked: Desk):
    came = await locked.http.post("/login", content="key=rks_wrong", headers=FORM)

    assert came.status_code == 401
    assert "set-cookie" not in came.headers


async def test_a_revoked_key_in_the_cookie_is_asked_for_anew(locked: Desk):
    _, cookie = await person(locked)
    (kept,) = await locked.store.server_keys()
    before = await locked.http.get("/", headers=cookie)
    await locked.store.revoke_key(kept.id, utc_now())
    after = await locked.http.get("/", headers=cookie)

    assert (before.status_code, after.status_code) == (200, 401)


async def test_the_owner_admits_with_a_button(locked: Desk):
    key, cookie = await person(locked)
    id = await a_room(locked, key, access="approval", listed=True)
    bob = await locked.key("bob")
    await locked.http.post(f"/agent/rooms/{id}/join", json={"agentName": "bob"}, headers=bob)
    shown = await locked.http.get(f"/rooms/{id}", headers=cookie)
    pressed = await locked.http.post(
        f"/rooms/{id}/admit", content="name=bob", headers={**FORM, **cookie}
    )
    posted = await locked.post(id, "bob", headers=bob)

    assert "bob asks to come in" in shown.text
    assert (pressed.status_code, pressed.headers["location"]) == (303, f"/rooms/{id}")
    assert posted.status_code == 201


@pytest.mark.parametrize("template", ["open", "code-review"])  # which ends by a role's message
async def test_the_owner_ends_the_room_with_a_button(locked: Desk, template: str):
    key, cookie = await person(locked)
    id = await a_room(locked, key, template=template)
    shown = await locked.http.get(f"/rooms/{id}", headers=cookie)
    pressed = await locked.http.post(
        f"/rooms/{id}/close", content="conclusion=Enough+said", headers={**FORM, **cookie}
    )
    ended = await locked.http.get(f"/rooms/{id}", headers=cookie)
    again = await locked.http.post(f"/rooms/{id}/close", headers={**FORM, **cookie})

    assert "End the room" in shown.text
    assert (pressed.status_code, pressed.headers["location"]) == (303, f"/rooms/{id}")
    assert "by ann" in ended.text
    assert "Enough said" in ended.text
    assert "End the room" not in ended.text
    assert again.status_code == 409


async def test_a_conclusion_that_is_too_long_is_refused(locked: Desk):
    key, cookie = await person(locked)
    id = await a_room(locked, key)
    pressed = await locked.http.post(
        f"/rooms/{id}/close", content=f"conclusion={'x' * 2_001}", headers={**FORM, **cookie}
    )

    assert pressed.status_code == 400
    assert "too long" in pressed.text


async def test_a_conclusion_may_be_as_long_in_any_script(locked: Desk):
    key, cookie = await person(locked)
    id = await a_room(locked, key)
    pressed = await locked.http.post(
        f"/rooms/{id}/close", data={"conclusion": "\u4f60" * 2_000}, headers=cookie
    )
    ended = await locked.http.get(f"/rooms/{id}", headers=cookie)

    assert pressed.status_code == 303
    assert "\u4f60" * 2_000 in ended.text


async def test_the_owner_ends_a_room_where_his_name_is_bound_to_a_member_key(tmp_path: Path):
    async with a_desk(tmp_path) as desk:
        key, cookie = await person(desk)
        id = await a_room(desk, key)
        await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "ann", "protect": True})
        pressed = await desk.http.post(
            f"/rooms/{id}/close", content="conclusion=Enough", headers={**FORM, **cookie}
        )
        ended = await desk.http.get(f"/rooms/{id}", headers=cookie)

    assert pressed.status_code == 303
    assert "by owner" in ended.text


async def test_a_page_of_another_site_ends_no_room(locked: Desk):
    key, cookie = await person(locked)
    id = await a_room(locked, key)
    elsewhere = {**FORM, **cookie, "Origin": "https://evil.example"}
    pressed = await locked.http.post(f"/rooms/{id}/close", headers=elsewhere)

    assert pressed.status_code == 403


@pytest.mark.parametrize("act", ["admit", "decline", "mute", "unmute", "remove", "close"])
async def test_the_buttons_are_the_owners_alone(locked: Desk, act: str):
    key, _ = await person(locked)
    _, other = await person(locked, "eve")
    id = await a_room(locked, key)
    pressed = await locked.http.post(
        f"/rooms/{id}/{act}", content="name=ann", headers={**FORM, **other}
    )

    assert pressed.status_code == 403


async def test_the_owner_key_of_a_room_serves_as_well(desk: Desk):
    room = await desk.room(access="approval")
    cookie = {"Cookie": f"room-mcp-key={room['ownerKey']}"}
    await desk.http.post(f"/agent/rooms/{room['id']}/join", json={"agentName": "bob"})
    shown = await desk.http.get(f"/rooms/{room['id']}", headers=cookie)
    without = await desk.http.get(f"/rooms/{room['id']}")

    assert "bob asks to come in" in shown.text
    assert without.status_code == 403


async def test_a_cookie_counts_on_pages_alone(locked: Desk):
    """Else a page of another site could call with it."""
    _, cookie = await person(locked)

    assert (await locked.http.get("/agent/rooms", headers=cookie)).status_code == 401
