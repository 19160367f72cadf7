"""What tests of several folders share: processes of the real command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import postgres_databases
import pytest

COMMAND = (sys.executable, "-m", "room_mcp")

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that a
# test starts, whose end by Ctrl-C is what some tests are about.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _databases_go() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] -- pytest calls it
    """What a test took from `postgres_databases` is gone after it."""
    yield
    postgres_databases.drop_databases()


def pytest_unconfigure() -> None:
    postgres_databases.end()


@pytest.fixture
def room_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which room-mcp was never used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_MCP_")}
    return {**kept, "ROOM_MCP_HOME": str(tmp_path / "home")}


@pytest.fixture
def serving(room_env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A `room-mcp serve` process; its first line is not read yet."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env=room_env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def served(serving: subprocess.Popen[str]) -> str:
    """The base URL of a `room-mcp serve` process."""
    assert serving.stdout is not None
    return serving.stdout.readline().strip()
