"""The guard says the same about a talk whichever node each message comes to."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import httpx2
import pytest
from node_apps import Clock

from room_mcp.backend.app import create_app
from room_mcp.settings import Settings
from room_mcp.store.interface import Store
from room_mcp.store.memory import MemoryStore
from room_mcp.store.postgres import PostgresStore

pytestmark = pytest.mark.anyio
MESSAGES = 40  # that are tried; the guard ends the talk long before
HALF_S = 0.5  # between two messages


@dataclass(frozen=True)
class Verdict:
    """What the sender of one message is told."""

    status: int
    code: str
    wakes: Sequence[str]
    notices: Sequence[str]
    standing: dict[str, Any] | None


@dataclass(frozen=True)
class Talk:
    verdicts: Sequence[Verdict]
    closing: dict[str, Any] | None


def lines() -> list[tuple[str, str]]:
    """Who says what: what has to be told, then courtesies without end."""
    script = json.loads(files("room_mcp.demo").joinpath("politeness.json").read_text("utf-8"))
    pair = (script["author"], script["reviewer"])
    work = zip(pair, script["work"], strict=True)
    courtesies = {name: cycle(script["courtesies"][name]) for name in pair}
    polite = ((name, next(courtesies[name])) for name in cycle(pair))
    return list(islice(chain(work, polite), MESSAGES))


@asynccontextmanager
async def apps(
    *stores: Store, folder: Path, clock: Clock
) -> AsyncGenerator[list[httpx2.AsyncClient]]:
    """A node on each store."""
    settings = Settings(home=folder, store="", templates=str(folder / "none"))
    async with AsyncExitStack() as stack:
        found: list[httpx2.AsyncClient] = []
        for store in stores:
            app = create_app(store, settings, clock=clock)
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx2.ASGITransport(app)
            http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")
            found.append(await stack.enter_async_context(http))
        yield found


async def talk(nodes: Sequence[httpx2.AsyncClient], order: Sequence[int], clock: Clock) -> Talk:
    """All lines, each by the node whose turn it is."""
    new = {"name": "open", "guard": {"on_stall": "close"}}
    made = await nodes[0].post("/agent/rooms", json=new)
    at = f"/agent/rooms/{made.json()['id']}"
    for name in dict.fromkeys(name for name, _ in lines()):
        joined = await nodes[0].post(f"{at}/join", json={"agentName": name})
        assert joined.status_code < 300, joined.text
    verdicts: list[Verdict] = []
    for (name, text), number in zip(lines(), cycle(order), strict=False):
        said = {"sender": name, "content": text, "type": "note"}
        answer = await nodes[number].post(f"{at}/messages", json=said)
        clock.pass_s(HALF_S)
        told = answer.json()
        verdicts.append(
            Verdict(
                answer.status_code,
                told.get("code", ""),
                told.get("wakes", []),
                told.get("notices", []),
                told.get("standing"),
            )
        )
    closing = (await nodes[-1].get(f"{at}/info")).json()["closing"]
    return Talk(verdicts, closing)


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1, 0), (0, 0, 0, 1)], ids=str)
async def test_a_politeness_loop_over_two_nodes_ends_as_in_one_process(
    database: str, tmp_path: Path, order: Sequence[int]
):
    alone, shared = Clock(), Clock()
    async with apps(MemoryStore(), folder=tmp_path, clock=alone) as one:
        expected = await talk(one, (0,), alone)
    stores = [PostgresStore(database, clock=shared) for _ in range(2)]
    async with apps(*stores, folder=tmp_path, clock=shared) as nodes:
        found = await talk(nodes, order, shared)

    assert found == expected
    assert {one.code for one in found.verdicts} >= {"", "room_closed"}
    assert any(one.notices for one in found.verdicts)
    assert found.closing is not None
    assert found.closing["reason"] == "stalled"
