"""Everything that a client is shown before it asks for a room: exact, per era of the protocol."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from house import Agent, House

import room_mcp

pytestmark = pytest.mark.anyio

SNAPSHOTS = Path(__file__).parent / "snapshots"
ACCEPT = "ROOM_MCP_ACCEPT_SNAPSHOTS"
STABLE = (300_000, "public")
FRESH = (0, "private")


@pytest.fixture
async def ann(house: House) -> Agent:
    return await house.agent("ann")


def shown(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def surface_of(agent: Agent) -> dict[str, Any]:
    client = agent.client
    assert client.server_info is not None
    return {
        "protocolVersion": client.protocol_version,
        "serverInfo": {**shown(client.server_info), "version": "…"},
        "capabilities": shown(client.server_capabilities),
        "instructions": client.instructions,
        "tools": [shown(one) for one in (await client.list_tools()).tools],
        "resourceTemplates": [
            shown(one) for one in (await client.list_resource_templates()).resource_templates
        ],
        "prompts": [shown(one) for one in (await client.list_prompts()).prompts],
    }


async def test_the_surface_is_as_agreed(ann: Agent, request: pytest.FixtureRequest):
    era = request.node.callspec.id
    snapshot = SNAPSHOTS / f"surface-{era}.json"

    surface = json.dumps(await surface_of(ann), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get(ACCEPT):
        snapshot.write_text(surface, "utf-8")

    assert surface == snapshot.read_text("utf-8"), (
        "What clients are shown has changed. If that is meant, run this test once with "
        f"{ACCEPT}=1 and review the difference in {snapshot.name}."
    )


async def test_the_server_says_which_version_it_is(ann: Agent):
    assert ann.client.server_info is not None
    assert ann.client.server_info.version == room_mcp.__version__


async def test_two_servers_show_the_same_in_the_same_order(house: House, ann: Agent):
    bob = await house.agent("bob")
    await house.room("api-review")

    first = json.dumps(await surface_of(ann))
    second = json.dumps(await surface_of(bob))

    assert first == second


async def test_a_listing_is_the_same_after_other_calls(house: House, ann: Agent):
    before = await surface_of(ann)

    await ann("create_room", name="api-review")
    await ann.say("api-review", "Hello?")
    afterwards = await surface_of(await house.beside(ann))

    assert afterwards == before


@pytest.mark.parametrize("era", ["auto"], ids=["modern"])
async def test_what_is_the_same_for_everybody_may_be_kept_and_rooms_may_not(
    house: House, ann: Agent
):
    await house.room("api-review")
    client = ann.client

    answers = {
        "server/discover": client.session.discover_result,
        "tools/list": await client.list_tools(),
        "prompts/list": await client.list_prompts(),
        "resources/templates/list": await client.list_resource_templates(),
        "resources/list": await client.list_resources(),
        "resources/read": await client.read_resource("room://api-review/history"),
    }

    assert {method: (one.ttl_ms, one.cache_scope) for method, one in answers.items()} == {
        "server/discover": STABLE,
        "tools/list": STABLE,
        "prompts/list": STABLE,
        "resources/templates/list": STABLE,
        "resources/list": FRESH,
        "resources/read": FRESH,
    }
