"""Rooms whose messages carry hashes, over REST."""

from __future__ import annotations

import json

import pytest
from rest_desk import Desk

pytestmark = pytest.mark.anyio


async def test_a_chained_room_tells_the_hash_of_every_message_and_the_last(desk: Desk):
    room = await desk.room(chain=True)
    posted = await desk.say(room["id"], "ann", "one")
    await desk.say(room["id"], "ann", "two")

    page = await desk.read(room["id"], after=0)

    first, second = (one["chain"] for one in page["messages"])
    info = (await desk.http.get(f"/agent/rooms/{room['id']}/info")).json()
    assert posted["chain"] == first != second
    assert info["chain"] == second


async def test_other_rooms_do_not_speak_of_chains(desk: Desk):
    room = await desk.room()
    posted = await desk.say(room["id"], "ann")

    page = await desk.read(room["id"], after=0)

    info = (await desk.http.get(f"/agent/rooms/{room['id']}/info")).json()
    assert "chain" not in posted
    assert "chain" not in page["messages"][0]
    assert info["chain"] is None


async def test_a_repeated_post_gets_its_first_hash(desk: Desk):
    room = await desk.room(chain=True)
    first = await desk.say(room["id"], "ann", idempotencyKey="k")
    await desk.say(room["id"], "ann", "another")

    again = await desk.say(room["id"], "ann", idempotencyKey="k")

    assert again["idempotent"]
    assert again["chain"] == first["chain"]


async def test_an_export_holds_the_hashes(desk: Desk):
    room = await desk.room(chain=True)
    posted = await desk.say(room["id"], "ann", {"type": "result", "ü": [1.5, None]})

    told = await desk.http.get(f"/agent/rooms/{room['id']}/export", params={"format": "jsonl"})

    assert json.loads(told.text)["chain"] == posted["chain"]


async def test_erased_messages_lose_their_hashes(desk: Desk):
    room = await desk.room(chain=True)
    await desk.say(room["id"], "ann")
    owner = {"Room-Key": room["ownerKey"]}

    await desk.http.delete(f"/api/rooms/{room['id']}/messages", headers=owner)

    page = await desk.read(room["id"], after=0)
    info = (await desk.http.get(f"/agent/rooms/{room['id']}/info")).json()
    assert "chain" not in page["messages"][0]
    assert info["chain"] == ""


@pytest.mark.parametrize("value", ["yes", 1, None])
async def test_the_wish_for_a_chain_is_true_or_false(desk: Desk, value: object):
    refused = await desk.http.post("/agent/rooms", json={"name": "r", "chain": value})

    assert refused.json()["code"] == "malformed"
