"""What an agent is told who does more than a server allows."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest
from house import SOON_S, House

from room_mcp.client import RoomsClient
from room_mcp.compose import SAME_PROCESS_URL, EmbeddedTransport

pytestmark = pytest.mark.anyio


def limited(house: House, **limits: int) -> RoomsClient:
    """A client of a backend on the house's store that has limits; it gives up at once."""
    transport = EmbeddedTransport(replace(house.settings, **limits), trusted=False)
    return RoomsClient(SAME_PROCESS_URL, transport=transport, retry_for_s=0)


async def test_an_agent_that_sends_too_much_is_told_to_pause(house: House):
    async with limited(house, posts_per_s=1) as rooms:
        ann = await house.agent("ann", rooms=rooms)
        await house.room("api-review", "ann")
        with anyio.fail_after(SOON_S):
            while not (
                answer := await ann("send_message", room="api-review", content="1")
            ).is_error:
                pass

    assert answer.text == (
        "You send too much: at most 5 at once, and 1 a second for long. "
        "Pause for half a minute, then go on with fewer calls."
    )


async def test_an_agent_with_as_many_rooms_as_it_may_have_is_told_to_end_one(house: House):
    async with limited(house, rooms=1) as rooms:
        ann = await house.agent("ann", rooms=rooms)
        await ann("create_room", name="first")
        refused = await ann("create_room", name="second")

    assert refused.is_error
    assert refused.text == (
        "Your open rooms: 1, as many as you may have here. Close or delete a room of yours first."
    )
