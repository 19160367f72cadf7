"""The main job and a day's commands, on several nodes of one database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import anyio
import anyio.to_thread
import product_walk
import pytest
from machines import HANGS_S, Balancer, Node, start_nodes

from room_mcp.client import RoomsClient
from room_mcp.demo import review

pytestmark = pytest.mark.anyio


@pytest.fixture
def nodes(database: str, tmp_path: Path) -> Iterator[Sequence[Node]]:
    """Two without keys, for what runs on this machine."""
    started = start_nodes(database, tmp_path)
    yield started
    for one in started:
        one.close()


async def test_two_agents_and_a_curl_user_on_two_nodes_review_a_change_until_the_room_closes(
    nodes: Sequence[Node], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    one, other = (node.url for node in nodes)
    script = json.loads(files("room_mcp.demo").joinpath("script.json").read_text("utf-8"))
    timings = review.Timings()

    def env(name: str, url: str) -> dict[str, str]:
        return {**product_walk._env(tmp_path / name), "ROOM_MCP_URL": url}

    with anyio.fail_after(HANGS_S):
        async with (
            review._agent("author", env("author", one), timings) as author,
            review._agent("reviewer", env("reviewer", other), timings) as reviewer,
        ):
            await review._talk(script, author, reviewer, other, timings)
    printed = capfd.readouterr().out
    said = [line for line in printed.splitlines() if line.startswith("#")]

    assert [line.split()[0] for line in said] == [f"#{seq}" for seq in range(1, 8)]
    assert [line.split()[2].rstrip(":") for line in said] == [
        *("author", "reviewer", "author", "security", "author", "reviewer", "room")
    ]
    assert "This room is closed: approved, by reviewer (#6)" in printed


async def test_a_days_commands_each_on_another_node_than_the_one_before(
    nodes: Sequence[Node], tmp_path: Path
):
    balancer = Balancer(*(node.url for node in nodes))
    async with balancer.running() as url:
        guest = {**product_walk._env(tmp_path / "guest"), "ROOM_MCP_URL": url}
        await anyio.to_thread.run_sync(product_walk._a_days_commands, guest)
        await product_walk._over_http(f"{url}/mcp")
        async with RoomsClient(url) as rooms:
            found = {one.name: one.last_seq for one in (await rooms.rooms()).rooms}

    assert found == {"review": 3, "walk": 1}  # the decision has closed its room
    assert {number for number, _ in balancer.asked} == {0, 1}
    assert [node.log() for node in nodes] == ["", ""]
