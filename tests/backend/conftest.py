from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from rest_desk import Desk, a_desk


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path) as desk:
        yield desk
