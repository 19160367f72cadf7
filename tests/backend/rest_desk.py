"""The REST backend in memory, and a caller who checks every answer against its description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx2
from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.routing import Match

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import SERVER_KEY_PREFIX, key_hash, key_id, new_key
from room_mcp.backend.gate import OPEN_DOOR, Door
from room_mcp.backend.openapi import document
from room_mcp.backend.service import utc_now
from room_mcp.settings import Settings
from room_mcp.store.callers import ServerKey
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store

BASE_URL = "http://127.0.0.1"
NOBODY = "00000000-0000-4000-8000-000000000000"
PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "advice", "error", "requestId"}


@dataclass
class Desk:
    """A backend and a caller of it. What it returns is JSON, what it takes are wire names."""

    app: Starlette
    http: httpx2.AsyncClient

    @property
    def store(self) -> Store:
        return self.app.state.services.rooms.store

    async def room(self, name: str = "review", **fields: Any) -> dict[str, Any]:
        made = await self.http.post("/agent/rooms", json={"name": name, **fields})
        assert made.status_code == 201, made.text
        return made.json()

    async def join(self, room_id: str, name: str, **fields: Any) -> dict[str, Any]:
        joined = await self.http.post(
            f"/agent/rooms/{room_id}/join", json={"agentName": name, **fields}
        )
        assert joined.status_code == 200, joined.text
        return joined.json()

    async def say(
        self, room_id: str, sender: str, content: object = "hello", **fields: Any
    ) -> dict[str, Any]:
        posted = await self.post(room_id, sender, content, **fields)
        assert posted.status_code == 201, posted.text
        return posted.json()

    async def post(
        self,
        room_id: str,
        sender: str,
        content: object = "hello",
        *,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> httpx2.Response:
        body = {"sender": sender, "content": content, **fields}
        return await self.http.post(
            f"/agent/rooms/{room_id}/messages", json=body, headers=dict(headers or {})
        )

    async def read(self, room_id: str, **query: Any) -> dict[str, Any]:
        page = await self.http.get(f"/agent/rooms/{room_id}/messages", params=query)
        assert page.status_code == 200, page.text
        return page.json()

    async def key(self, name: str, *, kind: Any = "agent", admin: bool = False) -> dict[str, str]:
        """The header of a new server key."""
        key = new_key(SERVER_KEY_PREFIX)
        kept = ServerKey(key_id(key), key_hash(key), name, kind, admin, utc_now())
        await self.store.add_key(kept)
        return {"Authorization": f"Bearer {key}"}

    async def until_waiting(self, room_id: str, name: str) -> None:
        """Wait until the room shows that the member sits in a wait."""
        while True:
            info = (await self.http.get(f"/agent/rooms/{room_id}/info")).json()
            if any(one["waiting"] for one in info["members"] if one["name"] == name):
                return
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def a_desk(
    folder: Path,
    *,
    room_bytes: int = 0,
    clock: Callable[[], datetime] = utc_now,
    secrets: str = "warn",
    door: Door = OPEN_DOOR,
    store: str = "",
) -> AsyncGenerator[Desk]:
    settings = Settings(
        home=folder,
        store=store or str(folder / "rooms.db"),
        templates=str(folder / "templates"),
        room_bytes=room_bytes,
        demo_room_bytes=4_000,
        secrets=secrets,
    )
    app = create_app(open_store(settings.store), settings, clock=clock, door=door)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app),
            base_url=BASE_URL,
            event_hooks={"response": [Checked(app)]},
        ) as http,
    ):
        yield Desk(app, http)


@dataclass(frozen=True)
class Checked:
    """Holds every answer against what /openapi.json says about it."""

    app: Starlette

    async def __call__(self, response: httpx2.Response) -> None:
        await response.aread()
        kind = response.headers.get("content-type", "").partition(";")[0]
        described = self._described(response.request)
        if described is not None:
            assert str(response.status_code) in described["responses"]
        if response.status_code >= 400:
            must_be_problem(response)
            return
        if described is None:
            return
        answer = described["responses"][str(response.status_code)]
        if response.status_code == 204:
            assert response.content == b""
            return
        schema = answer["content"][kind]["schema"]
        if kind == "application/json":
            validator(schema["$ref"]).validate(response.json())

    def _described(self, request: httpx2.Request) -> dict[str, Any] | None:
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "root_path": "",
            "headers": [],
        }
        for route in self.app.routes:
            if route.matches(scope)[0] is Match.FULL:
                return document()["paths"].get(route.path, {}).get(request.method.lower())
        return None


def must_be_problem(response: httpx2.Response) -> dict[str, Any]:
    """The problem document of a refusal, once it is known to be a whole one."""
    kind = response.headers["content-type"].partition(";")[0]
    if kind == "text/html":
        return {}  # the page for people
    assert kind == "application/problem+json"
    told = response.json()
    assert told.keys() >= PROBLEM_FIELDS
    assert told["status"] == response.status_code
    assert told["error"] == told["detail"]
    assert "Traceback" not in response.text
    validator("#/components/schemas/Problem").validate(told)
    return told


@cache
def validator(ref: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": ref, "components": document()["components"]})


@dataclass
class Exchange:
    """One request over bare ASGI: the answer arrives piece by piece, and either side can stall."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _gone: anyio.Event = field(default_factory=anyio.Event)
    _may_send: anyio.Event = field(default_factory=anyio.Event)

    def hang_up(self) -> None:
        """The client closes the connection."""
        self._gone.set()

    def take(self) -> None:
        """The client takes the answer, which until now could not leave (see `stalled`)."""
        self._may_send.set()

    async def until(self, text: str) -> None:
        """Wait until the body holds `text`."""
        while text not in self.body.decode():
            await self._next()

    async def until_ended(self) -> None:
        while not self.ended:
            await self._next()

    async def _next(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    @property
    def events(self) -> list[dict[str, str]]:
        """The server-sent events so far, without comments and the retry line."""
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            for block in self.body.decode().split("\n\n")
        ]
        return [block for block in blocks if "id" in block]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines() if line]


@asynccontextmanager
async def exchange(
    app: Starlette,
    method: str,
    target: str,
    *,
    json_body: object = None,
    headers: Mapping[str, str] | None = None,
    stalled: bool = False,
) -> AsyncGenerator[Exchange]:
    """Call the app and follow its answer. `stalled`: nothing can leave before `take`."""
    path, _, query = target.partition("?")
    body = b"" if json_body is None else json.dumps(json_body).encode()
    sent = {"host": "127.0.0.1", **(headers or {})}
    if body:
        sent["content-type"] = "application/json"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    it = Exchange()
    if not stalled:
        it.take()
    requests = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests and not it._gone.is_set():
            return requests.pop()
        if not it._gone.is_set():  # as uvicorn: who is gone is told so without a pause
            await it._gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        await it._may_send.wait()
        if message["type"] == "http.response.start":
            it.status = message["status"]
            it.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            it.body += message.get("body", b"")
        it._notify()

    async def call() -> None:
        try:
            await app(scope, receive, send)
        finally:
            it.ended = True
            it._notify()

    task = asyncio.ensure_future(call())
    try:
        yield it
    finally:
        it.hang_up()
        it.take()
        await asyncio.wait([task], timeout=5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
