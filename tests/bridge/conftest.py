"""Both protocol eras, and a house of agents in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from house import House, a_house


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["auto", "legacy"], ids=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """How the client connects: by discovery, or with the handshake of earlier protocols."""
    return request.param


@pytest.fixture
async def house(tmp_path: Path, era: str, anyio_backend: str) -> AsyncGenerator[House]:
    async with a_house(tmp_path, era) as house:
        yield house
