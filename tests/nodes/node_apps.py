"""Nodes of one database in this process, under one clock that stands still."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
from starlette.applications import Starlette

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import SERVER_KEY_PREFIX, key_hash, key_id, new_key
from room_mcp.backend.gate import Door
from room_mcp.backend.limiting import Limits
from room_mcp.settings import Settings
from room_mcp.store.callers import ServerKey
from room_mcp.store.interface import Store
from room_mcp.store.postgres import PostgresStore

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LOCKED = Door(requires_key=True, lists_rooms=False)
HANGS_S = 60  # far beyond what anything here takes
_numbers = itertools.count(1)


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class App:
    """A node, and who calls it with which key."""

    app: Starlette
    http: httpx2.AsyncClient
    clock: Clock

    @property
    def store(self) -> Store:
        return self.app.state.services.rooms.store

    async def key(self, name: str, *, admin: bool = False) -> dict[str, str]:
        """The header of a new server key."""
        key = new_key(SERVER_KEY_PREFIX)
        made = ServerKey(key_id(key), key_hash(key), name, "agent", admin, self.clock())
        await self.store.add_key(made)
        return {"Authorization": f"Bearer {key}"}

    async def ask(
        self, method: str, path: str, body: object = None, *, by: dict[str, str], **query: Any
    ) -> httpx2.Response:
        sent = {} if body is None else {"json": body}
        with anyio.fail_after(HANGS_S):
            return await self.http.request(method, path, headers=by, params=query, **sent)

    async def do(
        self, method: str, path: str, body: object = None, *, by: dict[str, str], **query: Any
    ) -> dict[str, Any]:
        """As a call that has to succeed; its answer."""
        answer = await self.ask(method, path, body, by=by, **query)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def room(self, by: dict[str, str], **fields: Any) -> str:
        """The id of a new room."""
        new = {"name": f"room {next(_numbers)}", **fields}
        made = await self.do("POST", "/agent/rooms", new, by=by)
        return made["id"]

    async def say(
        self, room: str, sender: str, content: str, *, by: dict[str, str], **fields: Any
    ) -> httpx2.Response:
        said = {"sender": sender, "content": content, **fields}
        return await self.ask("POST", f"/agent/rooms/{room}/messages", said, by=by)

    async def wait(self, room: str, reader: str, after: int, *, by: dict[str, str]) -> Any:
        at = f"/agent/rooms/{room}/messages"
        return await self.ask("GET", at, by=by, after=after, wait=50, reader=reader)

    async def until_waiting(self, room: str, name: str, *, by: dict[str, str]) -> None:
        """Until this node sees that somebody sits in a wait."""
        with anyio.fail_after(HANGS_S):
            while True:
                info = await self.do("GET", f"/agent/rooms/{room}/info", by=by)
                if any(one["waiting"] for one in info["members"] if one["name"] == name):
                    return
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def nodes_on(
    store: str,
    folder: Path,
    *,
    count: int = 2,
    clock: Clock | None = None,
    **limits: Any,
) -> AsyncGenerator[Sequence[App]]:
    """Nodes that want keys; `limits` are the settings of that name."""
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        found: list[App] = []
        for number in range(count):
            home = folder / f"node {number}"
            settings = Settings(home=home, store=store, templates=str(home / "none"), **limits)
            app = create_app(
                PostgresStore(store, clock=clock),
                settings,
                clock=clock,
                door=LOCKED,
                limits=Limits.of(settings, requires_key=True),
            )
            await stack.enter_async_context(app.router.lifespan_context(app))
            http = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1"
            )
            found.append(App(app, await stack.enter_async_context(http), clock))
        yield found
