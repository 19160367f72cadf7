"""One server for all tests that leave it running, and visitors for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack

import pytest
from doorway import DOORS, Door, Server, Start, Visitors

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a process of `room-mcp`: its words, and `env` besides."""
    started: list[Server] = []

    def start(*words: str, env: dict[str, str] | None = None) -> Server:
        folder = tmp_path_factory.mktemp("server")
        kept = {key: os.environ[key] for key in os.environ if not key.startswith("ROOM_MCP_")}
        home = {"ROOM_MCP_HOME": str(folder / "home")}
        started.append(Server({**kept, **home, **(env or {})}, folder, *words))
        return started[-1]

    yield start
    for server in started:  # all at once, then wait for each
        server.process.terminate()
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def serve(start_server: Start) -> Server:
    return start_server("serve", "--port", "0")


@pytest.fixture
def complaining(serve: Server) -> Server:
    """The `room-mcp serve` of all tests, for a test that asks of what it complains."""
    serve.complaints()
    return serve


@pytest.fixture
def server(complaining: Server) -> Iterator[Server]:
    """The `room-mcp serve` of all tests, which has no reason to complain."""
    yield complaining
    assert complaining.complaints() == ""


@pytest.fixture(params=DOORS, ids=str)
def door(request: pytest.FixtureRequest) -> Door:
    return request.param


@pytest.fixture
def room() -> str:
    """A room's name that no other test uses."""
    return f"room-{next(_numbers)}"


@pytest.fixture
async def visitors(anyio_backend: str) -> AsyncGenerator[Visitors]:
    async with AsyncExitStack() as stack:
        yield Visitors(stack)
