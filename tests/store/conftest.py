from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = open_store(path)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
async def other(path: Path, store: Store) -> AsyncIterator[Store]:
    """A second store on the same place, as another process would have it."""
    other = open_store(path)
    await other.open()
    yield other
    await other.aclose()
