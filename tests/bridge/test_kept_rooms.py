"""Agents in rooms that their owner renames: they go on, for rooms are known by their ids."""

from __future__ import annotations

import pytest
from house import House

pytestmark = pytest.mark.anyio


async def test_members_of_a_renamed_room_go_on_in_it_and_are_told(house: House):
    ann = await house.agent("ann")
    await ann("create_room", name="draft")
    await ann.say("draft", "hello")
    room = (await house.rooms.rooms()).rooms[0]
    await house.rooms.rename_room(room.id, "final", sender="owner")

    said = await ann.say("final", "and again")
    read = await ann("read_history", room="final")

    assert room.id in str(said.structured)
    assert "room renamed by owner: it is 'final' now" in read.text


async def test_the_line_of_a_purged_notice_says_that_it_is_erased(house: House):
    ann = await house.agent("ann")
    await ann("create_room", name="review")
    room = (await house.rooms.rooms()).rooms[0]
    await house.rooms.close_room(room.id, sender="owner", conclusion="a secret")
    await house.rooms.purge_room(room.id)

    read = await ann("read_history", room=room.id)

    assert "room.closed: (erased)" in read.text
    assert "secret" not in read.text
