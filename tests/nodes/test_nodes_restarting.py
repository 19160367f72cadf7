"""Nodes are restarted in turn while their clients go on, and no client notices."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
import pytest
from machines import HANGS_S, Balancer, Node, start_nodes, until

from room_mcp.client import RoomsClient
from room_mcp.failures import BackendError

pytestmark = pytest.mark.anyio
POSTERS = 2
LAST = "no more is posted"
MANY = 1_000_000  # messages: no rule of the room ends the test
UNTIL_TOLD_AGAIN = ("--drain-seconds", "3600")  # a second signal ends it


@dataclass
class Crowd:
    """Clients that post all the time by one address, and one that waits for what is new."""

    url: str
    room: str
    retry_for_s: float  # of those who post
    stored: dict[int, str] = field(default_factory=dict[int, str])
    read: list[str] = field(default_factory=list[str])
    failures: list[str] = field(default_factory=list[str])
    is_over: bool = False

    async def post(self, name: str) -> None:
        number = 0
        async with RoomsClient(self.url, retry_for_s=self.retry_for_s) as rooms:
            while not self.is_over:
                number += 1
                text = f"{name} {number}"
                try:
                    posted = await rooms.post(self.room, name, text)
                except BackendError as error:
                    self.failures.append(f"{text}: {error}")
                else:
                    self.stored[posted.seq] = text

    async def follow(self) -> None:
        """Waits are answered early when a node ends: the next one is on another."""
        last = 0
        async with RoomsClient(self.url) as rooms:
            while self.read[-1:] != [LAST]:
                page = await rooms.messages(self.room, after=last, wait_s=50)
                for one in page.messages:
                    last = one.seq
                    self.read.append(str(one.content))

    async def has_read_all(self) -> None:
        async def has_read_last() -> bool:
            return self.read[-1:] == [LAST]

        await until(has_read_last)

    async def goes_on(self) -> None:
        """Until more was stored."""
        enough = len(self.stored) + 3 * POSTERS

        async def is_more() -> bool:
            return len(self.stored) + len(self.failures) >= enough

        await until(is_more)


@asynccontextmanager
async def a_crowd(
    balancer: Balancer, retry_for_s: float, *, looks: bool = True
) -> AsyncGenerator[Crowd]:
    """At the end, all has been read that was stored.

    Args:
        looks: Whether the balancer asks the nodes if they are ready.
    """
    async with balancer.running() as url:
        async with RoomsClient(url) as rooms:
            made = await rooms.create_room("restarted", guard=False, budget={"messages": MANY})
        crowd = Crowd(url, made.id, retry_for_s)
        async with anyio.create_task_group() as following:
            if looks:
                following.start_soon(balancer.look)
            following.start_soon(crowd.follow)
            async with anyio.create_task_group() as posting:
                for number in range(POSTERS):
                    posting.start_soon(crowd.post, f"poster{number}")
                yield crowd
                await crowd.goes_on()
                crowd.is_over = True
            async with RoomsClient(url) as rooms:
                await rooms.info(made.id)  # from now on it knows that posts may be repeated
                crowd.stored[(await rooms.post(made.id, "owner", LAST)).seq] = LAST
            await crowd.has_read_all()
            following.cancel_scope.cancel()


async def test_with_time_to_drain_no_request_fails_though_none_is_tried_again(
    database: str, tmp_path: Path
):
    nodes = start_nodes(database, tmp_path, *UNTIL_TOLD_AGAIN)
    balancer = Balancer(*(one.url for one in nodes))
    codes: list[int] = []
    try:
        async with a_crowd(balancer, retry_for_s=0) as crowd:
            for number, leaving in enumerate(list(nodes)):
                await crowd.goes_on()
                leaving.terminate()
                await balancer.sees(number, ready=False)
                await _still_serves(leaving, crowd.room)
                leaving.terminate()
                codes.append(await leaving.ended())
                again = Node(database, tmp_path / f"again{number}", *UNTIL_TOLD_AGAIN)
                nodes.append(again)
                balancer.urls[number] = await anyio.to_thread.run_sync(again.started)
                await balancer.sees(number, ready=True)
    finally:
        for one in nodes:
            one.close()

    assert crowd.failures == []
    assert crowd.read == [crowd.stored[seq] for seq in sorted(crowd.stored)]
    assert codes == [0, 0]


async def _still_serves(node: Node, room: str) -> None:
    """What comes to a node that leaves is answered, and told to come to another one."""
    async with httpx2.AsyncClient(base_url=node.url, verify=False, timeout=HANGS_S) as http:
        is_ready, lives = await http.get("/readyz"), await http.get("/healthz")
        read = await http.get(f"/agent/rooms/{room}/messages", params={"after": 0})
        wait = await http.get("/agent/updates", params={"rooms": f"{room}:0", "wait": 50})
    assert (is_ready.status_code, is_ready.json()["code"]) == (503, "draining")
    assert [one.status_code for one in (lives, read, wait)] == [200] * 3
    assert read.headers["connection"] == "close"


async def test_with_neither_time_nor_a_look_clients_that_try_again_lose_nothing(
    database: str, tmp_path: Path
):
    nodes = start_nodes(database, tmp_path)
    balancer = Balancer(*(one.url for one in nodes))
    try:
        async with a_crowd(balancer, retry_for_s=HANGS_S, looks=False) as crowd:
            await crowd.goes_on()
            nodes[0].terminate()
            code = await nodes[0].ended()
    finally:
        for one in nodes:
            one.close()

    assert code == 0
    assert crowd.failures == []
    assert crowd.read == [crowd.stored[seq] for seq in sorted(crowd.stored)]


async def test_a_node_that_drained_ends_by_itself(database: str, tmp_path: Path):
    (node,) = start_nodes(database, tmp_path, "--drain-seconds", "0.1", count=1)
    try:
        node.terminate()
        code = await node.ended()
    finally:
        node.close()

    assert code == 0
    assert node.log() == ""
