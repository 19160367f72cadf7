from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engines import BY_NAME, Engine, engines_for

from room_mcp.store.interface import Store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        names = engines_for(metafunc.function, metafunc.module)
        metafunc.parametrize("engine", names, indirect=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite engines keep their file."""
    return tmp_path / "rooms.db"


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return BY_NAME[request.param](tmp_path)


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    store = engine.store()
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
async def other(engine: Engine, store: Store) -> AsyncIterator[Store]:
    """A second store on the same place, as another process would have it."""
    other = engine.store()
    await other.open()
    yield other
    await other.aclose()
