"""Both protocol eras, and a house of agents in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from house import House
from processes import Machine

from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.settings import Settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["auto", "legacy"], ids=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """How the client connects: by discovery, or with the handshake of earlier protocols."""
    return request.param


@pytest.fixture
async def house(tmp_path: Path, era: str, anyio_backend: str) -> AsyncGenerator[House]:
    house = House(tmp_path, era)
    yield house
    await house.aclose()


@pytest.fixture
async def machine(tmp_path: Path, era: str, anyio_backend: str) -> AsyncGenerator[Machine]:
    machine = Machine(tmp_path, era)
    yield machine
    await machine.aclose()


@pytest.fixture
async def rooms(tmp_path: Path, anyio_backend: str) -> AsyncGenerator[RoomsClient]:
    """The store of the machine, as another process sees it."""
    home = tmp_path / ".room-mcp"
    async with open_client(Settings(home=home, store=str(home / "rooms.db"))) as rooms:
        yield rooms
