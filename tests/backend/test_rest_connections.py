"""How many connections one caller may have open, over all processes on a store."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx2
import pytest
from limited_desk import Limited, limited_desks
from rest_desk import BASE_URL, must_be_problem
from starlette.types import Receive, Scope, Send

from room_mcp.backend.connections import CONNECTION, Connection
from room_mcp.backend.limiting import Limits
from room_mcp.backend.slots import HELD_FOR, KEPT_S

pytestmark = pytest.mark.anyio


class Line:
    """One connection to a backend, by which requests come."""

    def __init__(self, desk: Limited, address: str = "192.0.2.7") -> None:
        self.connection = Connection()

        async def connected(scope: Scope, receive: Receive, send: Send) -> None:
            scope[CONNECTION] = self.connection
            await desk.app(scope, receive, send)

        transport = httpx2.ASGITransport(connected, client=(address, 1))
        self._http = httpx2.AsyncClient(transport=transport, base_url=BASE_URL)

    async def ask(self, headers: dict[str, str] | None = None) -> httpx2.Response:
        return await self._http.get("/agent/rooms", headers=headers)


async def test_connections_are_limited_over_all_processes(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, given=Limits(address_connections=3)) as (
        one,
        other,
    ):
        lines = [Line(one), Line(one), Line(other)]
        taken = [(await line.ask()).status_code for line in lines for _ in range(2)]
        refused = [await Line(desk).ask() for desk in (one, other)]
        elsewhere = await Line(one, "192.0.2.8").ask()

    assert taken == [200] * 6
    assert [must_be_problem(one)["code"] for one in refused] == ["rate_limited"] * 2
    assert refused[0].headers["ratelimit-policy"] == '"connections";q=3;qu="connections"'
    assert refused[0].headers["retry-after"] == "5"
    assert elsewhere.status_code == 200


async def test_a_lost_connection_makes_way_for_another(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, given=Limits(address_connections=1)) as (
        one,
        other,
    ):
        first, second = Line(one), Line(other)
        await first.ask()
        before = await second.ask()
        first.connection.lost()
        with anyio.fail_after(KEPT_S + 10):
            while (after := await second.ask()).status_code != 200:
                await anyio.lowlevel.checkpoint()

    assert (before.status_code, after.status_code) == (429, 200)


async def test_a_key_has_connections_of_its_own_wherever_it_comes_from(tmp_path: Path):
    async with limited_desks(tmp_path, given=Limits(connections=2, address_connections=1)) as (
        desk,
    ):
        ann, bob = await desk.key("ann"), await desk.key("bob")
        statuses = [
            (await Line(desk, address).ask(key)).status_code
            for address, key in (
                ("192.0.2.1", ann),
                ("192.0.2.2", ann),
                ("192.0.2.3", ann),
                ("192.0.2.3", bob),
            )
        ]

    assert statuses == [200, 200, 429, 200]


async def test_a_connection_that_is_silent_for_long_is_still_counted(tmp_path: Path):
    async with limited_desks(tmp_path, count=2, given=Limits(address_connections=1)) as (
        one,
        other,
    ):
        await Line(one).ask()
        for _ in range(3):
            one.clock.pass_s(HELD_FOR.total_seconds() * 0.6)
            await one.app.state.services.limiter.connections.keep()
        refused = await Line(other).ask()

    assert refused.status_code == 429
