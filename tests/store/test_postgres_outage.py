"""What an operator reads while the database is away, and what callers are told meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import anyio
import pytest

from faults.clusters import Cluster, why_no_cluster
from room_mcp.store.interface import StoreSilent
from room_mcp.store.opening import open_store
from room_mcp.store.postgres import listening, transactions, trying

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(why_no_cluster() is not None, reason="a server of one's own is needed"),
]

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tries in a short outage."""
    monkeypatch.setattr(trying, "MAX_TRYING_S", 0.2)
    monkeypatch.setattr(transactions, "AGAIN_S", 0.01)
    monkeypatch.setattr(listening, "RETRY_S", 0.01)


class Log(logging.Handler):
    """The warnings, as they come; all from the loop of the test."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []
        self._more = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "fsync" not in record.getMessage():  # of the test's own database
            self.told.append(record.getMessage())
            self._more.set()

    async def until(self, words: str) -> None:
        with anyio.fail_after(30):
            while not any(words in one for one in self.told):
                await self._more.wait()
                self._more = anyio.Event()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    logging.getLogger("room_mcp").addHandler(log)
    yield log
    logging.getLogger("room_mcp").removeHandler(log)


@pytest.mark.usefixtures("impatient")
async def test_an_outage_is_told_when_it_begins_and_when_it_is_over(log: Log):
    with Cluster(fsync=False) as cluster:
        store = open_store(cluster.database())
        await store.open()
        cluster.stop()
        store.key_used("key", NOON)  # only noted: to be written once it can be
        await log.until("does not answer")
        for _ in range(5):
            with pytest.raises(StoreSilent, match="Nobody answers at postgresql://127"):
                await store.server_keys()
        cluster.start()
        await log.until("answers again")
        await store.aclose()

    begun, over = log.told
    assert begun.startswith("The database postgresql://127.0.0.1:")
    assert "rooms can be neither read nor written here; what was only noted" in begun
    assert "rooms can be read and written" in over
