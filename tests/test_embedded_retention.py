"""Rooms past what is kept, where no server runs: the process of a host removes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from room_mcp.backend import retention
from room_mcp.compose import open_client
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_embedded_backend_removes_rooms_besides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = Settings(home=tmp_path, store=str(tmp_path / "rooms.db"))
    async with open_client(settings) as client:
        for name in ("first", "second"):
            room = await client.create_room(name, sender="ann")
            await client.close_room(room.id, sender="ann", conclusion="the xylophone")

    monkeypatch.setattr(retention, "EMBEDDED_AFTER_S", 0)
    async with open_client(replace(settings, retention_rooms=1)) as client:
        with anyio.fail_after(30):
            while len(found := (await client.rooms()).rooms) > 1:
                await anyio.lowlevel.checkpoint()

    assert [room.name for room in found] == ["second"]
