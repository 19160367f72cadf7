"""Nothing is lost when writers and servers are killed; the long runs are `make faults`."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from faults.servers import Servers
from faults.writers import Writers

pytestmark = pytest.mark.anyio

SEED = 20_260_101
HANGS_S = 300  # far beyond what it takes, also on a busy machine


async def test_nothing_is_lost_when_writers_are_killed(tmp_path: Path):
    run = Writers(tmp_path, seed=SEED, kills=6, rooms=2, lines=40)

    with anyio.fail_after(HANGS_S):
        seen = await run.run()

    assert seen.findings == []
    assert seen.kills == 6


async def test_nothing_is_lost_when_servers_are_killed(tmp_path: Path):
    run = Servers(tmp_path, seed=SEED, kills=2, rooms=2)

    with anyio.fail_after(HANGS_S):
        seen = await run.run()

    assert seen.findings == []
    assert seen.kills == 2
