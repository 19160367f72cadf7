"""What a node hears of commits, in whatever way it comes."""

from __future__ import annotations

import pytest
from cutting import Cutting
from database_talk import connected
from engines import Postgres
from store_talk import contents, new_room, nothing, says

from room_mcp.store.interface import OutcomeUnknown, Store
from room_mcp.store.opening import open_store
from room_mcp.store.postgres.notices import CHANNEL

pytestmark = pytest.mark.anyio
ENGINES = ("postgres",)

GUARD_S = 20.0  # something hangs


@pytest.mark.parametrize("notice", ["v2", "", "{}"])
async def test_a_notice_of_another_version_wakes_everybody(
    engine: Postgres, store: Store, notice: str
):
    room = await new_room(store)

    async with store.watch([room]) as watch:
        async with connected(engine.address) as other:
            await other.execute("SELECT pg_notify($1, $2)", CHANNEL, notice)

        assert await watch.wait(GUARD_S)


async def test_a_commit_that_happens_after_it_was_given_up_wakes_whoever_waits(
    engine: Postgres, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.store.postgres.database.COMMIT_S", 0.1)
    monkeypatch.setattr("room_mcp.store.postgres.writer.MAX_TRYING_S", 0.1)
    room = await new_room(store)
    async with Cutting(engine.address) as network:
        node = open_store(network.url)
        await node.open()
        await node.act(room, nothing)  # now there is a connection
        async with node.watch([room]) as watch:
            network.delays_commits = True
            with pytest.raises(OutcomeUnknown):
                await node.act(room, says("late"))
            while await watch.wait(0):
                continue
            network.goes_on.set()

            assert await watch.wait(GUARD_S)
        assert await contents(store, room) == ["late"]
        await node.aclose()
