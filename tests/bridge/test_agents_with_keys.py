"""An agent that nobody trusts, because other machines have the same store open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from room_mcp.compose import open_client
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Of an agent with the server key of ann, where callers have limits."""
    settings = Settings(home=tmp_path, store=str(tmp_path / "rooms.db"))
    async with open_client(settings) as own:
        key = (await own.keys.create("ann")).key
    return replace(settings, key=key, posts_per_s=1)


async def test_it_shows_its_server_key(settings: Settings):
    async with open_client(settings, trusted=False, retry_for_s=0) as ann:
        room = await ann.create_room("review", access="keyed", sender="ann")
        await ann.join(room.id, "ann")
        with pytest.raises(BackendRefused) as refused:
            await ann.join(room.id, "bob")

        assert (await ann.post(room.id, "ann", "hello")).seq
        assert refused.value.code == "name_not_yours"


async def test_it_has_no_limits_which_it_would_share_with_all_machines(settings: Settings):
    async with open_client(settings, trusted=False, retry_for_s=0) as ann:
        room = await ann.create_room("review", sender="ann")
        for n in range(12):
            await ann.post(room.id, "ann", f"message {n}")

        assert (await ann.info(room.id)).last_seq >= 12


@pytest.mark.parametrize("access", ["keyed", "approval"])
async def test_a_member_without_a_key_comes_back_under_another_name(
    settings: Settings, access: Any
):
    anybody = replace(settings, key="")
    async with open_client(settings) as own, open_client(anybody, trusted=False) as agent:
        room = await own.create_room("review", access=access, sender="ann")
        await own.join(room.id, "bob")
        with pytest.raises(BackendRefused) as refused:
            await agent.join(room.id, "bob", protect=True)
        joined = await agent.join(room.id, "bob-2", protect=True)
        if access == "approval":
            await own.decide(room.id, "admit", "bob-2")
        await own.decide(room.id, "remove", "bob")
        posted = await agent.post(room.id, "bob-2", "hello", key=joined.agent_key or "")
        closed = await own.close_room(room.id, sender="ann", conclusion="done")

    assert refused.value.code in ("name_taken", "name_protected")
    assert posted.seq
    assert closed.lifecycle == "closed"


async def test_callers_from_elsewhere_have_limits_and_no_key_of_this_machine(settings: Settings):
    async with open_client(settings, trusted=False, for_many=True, retry_for_s=0) as many:
        room = await many.create_room("review", sender="bob")
        await many.join(room.id, "bob")

        async def post_much() -> None:
            for n in range(12):
                await many.post(room.id, "bob", f"message {n}")

        with pytest.raises(BackendRefused) as refused:
            await post_much()

        assert refused.value.code == "rate_limited"
