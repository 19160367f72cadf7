"""A backend with limits, on one or more stores of one file, under a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
from rest_desk import BASE_URL, Checked, Desk
from starlette.types import ASGIApp, Receive, Scope, Send

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import SERVER_KEY_PREFIX, key_hash, key_id, new_key, trust
from room_mcp.backend.gate import Door
from room_mcp.backend.limiting import Limits
from room_mcp.settings import Settings
from room_mcp.store.callers import ServerKey
from room_mcp.store.opening import open_store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
OPEN_DOOR = Door()
PUBLIC = Door(requires_key=True, has_demo=True, lists_rooms=False)


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Limited(Desk):
    clock: Clock

    async def key(self, name: str) -> dict[str, str]:
        """The header of a new server key."""
        key = new_key(SERVER_KEY_PREFIX)
        await self.store.add_key(
            ServerKey(key_id(key), key_hash(key), name, "agent", False, self.clock())
        )
        return {"Authorization": f"Bearer {key}"}

    def at(self, address: str, *, trusted: bool = False) -> Desk:
        """The same backend, called from another address, or by the process itself."""
        app = trusting(self.app) if trusted else self.app
        transport = httpx2.ASGITransport(app, client=(address, 1))
        checked = {"response": [Checked(self.app)]}
        return Desk(
            self.app,
            httpx2.AsyncClient(transport=transport, base_url=BASE_URL, event_hooks=checked),
        )


def trusting(app: ASGIApp) -> ASGIApp:
    async def trusted(scope: Scope, receive: Receive, send: Send) -> None:
        trust(scope)
        await app(scope, receive, send)

    return trusted


@asynccontextmanager
async def limited_desks(
    folder: Path,
    *,
    count: int = 1,
    door: Door = OPEN_DOOR,
    given: Limits | None = None,
    **limits: int,
) -> AsyncGenerator[Sequence[Limited]]:
    """As many processes would be, on one file; `limits` are the settings of that name,
    unless all are `given`."""
    settings = Settings(
        home=folder,
        store=str(folder / "rooms.db"),
        templates=str(folder / "templates"),
        demo_room_bytes=4_000,
        **limits,
    )
    clock = Clock()
    found: list[Limited] = []
    async with AsyncExitStack() as stack:
        for _ in range(count):
            app = create_app(
                open_store(settings.store),
                settings,
                clock=clock,
                door=door,
                limits=given
                or Limits.of(settings, requires_key=door.requires_key, has_demo=door.has_demo),
            )
            await stack.enter_async_context(app.router.lifespan_context(app))
            http = httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app),
                base_url=BASE_URL,
                event_hooks={"response": [Checked(app)]},
            )
            await stack.enter_async_context(http)
            found.append(Limited(app, http, clock))
        yield found


@asynccontextmanager
async def a_limited_desk(
    folder: Path, *, door: Door = OPEN_DOOR, **limits: int
) -> AsyncGenerator[Limited]:
    async with limited_desks(folder, door=door, **limits) as (desk,):
        yield desk
