"""What a later version writes into the state of a room outlives a version that does not know it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from earlier_files import connected

from room_mcp import compose
from room_mcp.client import RoomsClient
from room_mcp.settings import Settings

pytestmark = pytest.mark.anyio

LATER = {"x": 1, "deep": [{"y": None}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rooms.db"


def rooms_in(path: Path) -> RoomsClient:
    return compose.open_client(Settings(home=path.parent / "home", store=str(path)))


def states(path: Path) -> list[dict[str, Any]]:
    db = connected(path)
    found = [json.loads(state) for (state,) in db.execute("SELECT state FROM rooms").fetchall()]
    db.close()
    return found


async def a_room_with_later_facts(path: Path) -> str:
    async with rooms_in(path) as client:
        room_id = (await client.create_room("later")).id
        await client.post(room_id, "ann", "hello")
    db = connected(path)
    db.execute("UPDATE rooms SET state = json_set(state, '$.later', json(?))", (json.dumps(LATER),))
    db.close()
    return room_id


async def test_a_fact_of_a_later_version_stays_while_this_one_writes_the_room(path: Path):
    room_id = await a_room_with_later_facts(path)

    async with rooms_in(path) as client:
        await client.info(room_id)
        await client.post(room_id, "bob", "again")
        await client.join(room_id, "cid")
        await client.close_room(room_id, sender="ann", conclusion="done")

    (state,) = states(path)
    assert state.get("later") == LATER
    assert state["lifecycle"] == "closed"


async def test_a_fact_of_a_later_version_is_of_its_room_alone(path: Path):
    await a_room_with_later_facts(path)

    async with rooms_in(path) as client:
        await client.create_room("another")

    assert [state["name"] for state in states(path) if "later" in state] == ["later"]
