"""The door of a local server: which host names and pages it answers."""

from __future__ import annotations

import httpx2
import pytest
from rest_desk import Desk, must_be_problem

from room_mcp.backend.callers import trust

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8750", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8750"]
)
async def test_names_of_this_machine_are_answered(desk: Desk, host: str):
    answer = await desk.http.get("/healthz", headers={"Host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["localhost ", "\tlocalhost:8750\t "])
async def test_blanks_around_a_header_are_no_part_of_it(desk: Desk, host: str):
    answer = await desk.http.get("/healthz", headers={"Host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8750",
        "localhost@evil.example",
        "evil.example#127.0.0.1",
        "0.0.0.0",
        "192.168.0.7",
        "[::1].evil.example",
        "[",
        "",
    ],
)
async def test_a_rebound_name_is_refused_on_every_path(desk: Desk, host: str):
    answers = [
        await desk.http.get(path, headers={"Host": host}) for path in ("/agent/rooms", "/", "/nil")
    ]

    assert {one.status_code for one in answers} == {403}
    assert must_be_problem(answers[0])["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1", 200),
        ("http://localhost", 200),
        ("http://localhost:80", 200),
        ("http://127.0.0.1:3000", 403),  # another program of this machine
        ("https://127.0.0.1", 403),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_only_pages_of_this_machine_may_call(desk: Desk, origin: str, status: int):
    answer = await desk.http.get("/agent/rooms", headers={"Origin": origin})

    assert answer.status_code == status


async def test_a_page_of_another_site_gets_no_leave_to_call(desk: Desk):
    asked = await desk.http.request(
        "OPTIONS",
        "/agent/demo/room",
        headers={
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )

    assert asked.status_code == 403
    assert not [name for name in asked.headers if name.startswith("access-control")]


async def test_every_answer_forbids_keeping_guessing_and_telling_on(desk: Desk):
    answers = [await desk.http.get(path) for path in ("/healthz", "/nil", "/", "/agent/rooms")]

    assert {one.headers["Cache-Control"] for one in answers} == {"no-store"}
    assert {one.headers["X-Content-Type-Options"] for one in answers} == {"nosniff"}
    assert {one.headers["Referrer-Policy"] for one in answers} == {"same-origin"}


async def test_a_trusted_caller_may_use_any_host_name_and_be_a_person(desk: Desk):
    async def trusted(scope, receive, send):
        trust(scope)
        await desk.app(scope, receive, send)

    id = (await desk.room())["roomId"]
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(trusted), base_url="http://embedded"
    ) as http:
        said = await http.post(
            f"/agent/rooms/{id}/messages",
            json={"sender": "ada", "content": "stop", "senderType": "human"},
        )
        closed = await http.post(f"/agent/rooms/{id}/close", json={})

    assert (said.status_code, said.json()["senderType"]) == (201, "human")
    assert closed.status_code == 200
