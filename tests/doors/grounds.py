"""A whole server in this process, rooms of every kind in it, and everybody who may call."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
from doorway import HELLO, SOON_S, legacy, modern
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from room_mcp.backend.app import create_app
from room_mcp.backend.callers import SERVER_KEY_PREFIX, key_hash, key_id, new_key
from room_mcp.backend.gate import Door
from room_mcp.bridge.http import Keys, McpOverHttp
from room_mcp.bridge.server import build_open_server
from room_mcp.client import RoomsClient
from room_mcp.compose import (
    SAME_PROCESS_URL,
    _admitted_to_mcp,
    _for_whom_it_is_made,
    _Verifier,
)
from room_mcp.settings import Settings
from room_mcp.store.callers import ServerKey
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store

BASE_URL = "http://127.0.0.1"
MCP_URL = f"{BASE_URL}/mcp"
LOCKED = Door(requires_key=True, lists_rooms=False)
# Who shows which key: the first three none that lets anybody in. A stranger is in no room but his
# own, and a forger is a stranger who shows the keys of his own room besides.
CALLERS = (
    *("nobody", "wrong", "revoked"),
    *("stranger", "forger", "removed", "pending", "member", "muted", "owner", "admin"),
)
ROOMS: Mapping[str, Mapping[str, Any]] = {
    "keyed": {"access": "keyed", "listed": False},
    "approval": {"access": "approval", "listed": False},
    "listed": {"access": "keyed", "listed": True},
    "open": {"access": "open", "listed": True},
}
MEMBERS = ("owner", "member", "muted", "removed")
NAMES = {"forger": "stranger", "owner": "ada"}  # whom a key stands for, if not so called
Headers = dict[str, str]


@dataclass(frozen=True)
class Kept:
    """A room of one kind, with everybody in it who belongs there."""

    kind: str
    id: str
    owner_key: str
    secret: str  # a word that stands in all that only those may see who may read the room

    @property
    def plate(self) -> str:
        """A word in the name and purpose, which an unlisted room shows to whoever has its id."""
        return f"{self.secret}plate"


@dataclass
class Grounds:
    app: Starlette
    http: httpx2.AsyncClient
    store: Store
    keys: dict[str, str]
    forged: Headers = field(default_factory=dict)
    rooms: dict[str, Kept] = field(default_factory=dict)
    closed: dict[str, Kept] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def headers(self, caller: str) -> Headers:
        if caller == "nobody":
            return {}
        more = self.forged if caller == "forger" else {}
        return {"Authorization": f"Bearer {self.keys[caller]}", **more}

    async def call(
        self, caller: str, method: str, path: str, body: object = None, **options: Any
    ) -> httpx2.Response:
        headers = {**self.headers(caller), **options.pop("headers", {})}
        sent = {} if body is None else {"json": body}
        return await self.http.request(method, path, headers=headers, **sent, **options)

    async def done(self, caller: str, path: str, body: object) -> dict[str, Any]:
        answer = await self.call(caller, "POST", path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def new_key(self, name: str, *, admin: bool = False, human: bool = False) -> str:
        return await new_key_in(self.store, name, admin=admin, human=human)

    async def room(
        self, kind: str, *, members: Iterable[str] = MEMBERS, closed: bool = False
    ) -> Kept:
        """A new room of this kind with these members, of whom one is muted, one was removed; where
        one has to wait, somebody waits."""
        secret = f"zq{next(self._numbers)}x"
        plate = f"{kind} {next(self._numbers)}" if ROOMS[kind]["listed"] else f"{secret}plate"
        new = {"name": plate, "purpose": plate, **ROOMS[kind]}
        made = await self.done("owner", "/agent/rooms", new)
        id = made["roomId"]
        at = f"/agent/rooms/{id}"
        if kind == "approval":
            await self.done("pending", f"{at}/join", {"agentName": "pending"})
        for name in members:
            await self.done(name, f"{at}/join", {"agentName": NAMES.get(name, name)})
            if kind == "approval" and name != "owner":
                await self.done("owner", f"{at}/admit", {"name": name})
        # Its owner speaks under a name that nobody is told who may not read the room.
        for caller, sender in (("owner", f"ada/{secret}"), ("member", "member")):
            said = {"sender": sender, "content": secret}
            await self.done(caller, f"{at}/messages", said)
        if "muted" in members:
            await self.done("owner", f"{at}/mute", {"name": "muted"})
        await self.done("owner", f"{at}/remove", {"name": "removed"})
        if closed:
            await self.done("owner", f"{at}/close", {"conclusion": secret})
        return Kept(kind, id, made["ownerKey"], secret)

    # ---- MCP -----------------------------------------------------------------------------------

    async def ask(self, caller: str, method: str, **params: Any) -> Asked:
        """One request of MCP, of the modern era."""
        request = modern(method, **params)
        if "uri" in params:
            request["headers"]["Mcp-Name"] = params["uri"]
        return Asked.of(await self._sent(caller, request))

    async def session(self, caller: str) -> str:
        """The id of a session of the handshake era."""
        sent = legacy("initialize", **HELLO)
        opened = await self._sent(caller, sent)
        session: str = opened.headers["mcp-session-id"]
        await self._sent(caller, legacy("notifications/initialized", session=session, id=None))
        return session

    async def ask_in(self, session: str, caller: str, method: str, **params: Any) -> Asked:
        """One request of the handshake era."""
        return Asked.of(await self._sent(caller, legacy(method, session=session, **params)))

    def channel(self, caller: str, session: str) -> AbstractAsyncContextManager[Stream]:
        """The stream by which a session of the handshake era is told of changes."""
        bound = legacy("", session=session)["headers"]
        return streaming(self.app, "GET", "/mcp", {**bound, **self.headers(caller)})

    async def _sent(self, caller: str, request: dict[str, Any]) -> httpx2.Response:
        headers = {**request["headers"], **self.headers(caller)}
        return await self.http.post("/mcp", headers=headers, json=request["json"])

    def listening(
        self, caller: str, uri: str = "", *, the_list: bool = False
    ) -> AbstractAsyncContextManager[Stream]:
        """A stream of changes, of the modern era."""
        uris = [uri] if uri else []
        wanted = {"resourceSubscriptions": uris, "resourcesListChanged": the_list}
        request = modern("subscriptions/listen", notifications=wanted)
        headers = {**request["headers"], **self.headers(caller)}
        return streaming(self.app, "POST", "/mcp", headers, request["json"])

    async def listen(self, caller: str, uri: str) -> Asked:
        """What a stream of changes says first; then the caller hangs up."""
        async with self.listening(caller, uri) as stream:
            await stream.until("}")
        return Asked.of(httpx2.Response(stream.status, content=stream.body.encode()))


@dataclass(frozen=True)
class Asked:
    """An answer of MCP.

    `verdict` is ok, refused (by the tool or by the protocol), or the status of HTTP.
    """

    verdict: str
    text: str
    result: dict[str, Any]

    @classmethod
    def of(cls, answer: httpx2.Response) -> Asked:
        if answer.status_code in (401, 403):
            return cls(str(answer.status_code), answer.text, {})
        lines = [one[6:] for one in answer.text.splitlines() if one.startswith("data: {")]
        told = json.loads(lines[-1] if lines else answer.text)
        result = told.get("result", {})
        failed = "error" in told or result.get("isError", False)
        return cls("refused" if failed else "ok", answer.text, result)


async def new_key_in(store: Store, name: str, *, admin: bool = False, human: bool = False) -> str:
    """A new server key."""
    key = new_key(SERVER_KEY_PREFIX)
    kind = "human" if human else "agent"
    now = datetime.now(UTC)
    await store.add_key(ServerKey(key_id(key), key_hash(key), name, kind, admin, now))
    return key


class Stream:
    """An answer that arrives piece by piece."""

    def __init__(self) -> None:
        self.status, self.body, self.ended = 0, "", False
        self.gone = anyio.Event()
        self._changed = anyio.Event()

    async def until(self, text: str) -> None:
        """Wait until the body holds it."""
        await self._until(lambda: text in self.body)

    async def until_ended(self) -> None:
        await self._until(lambda: self.ended)

    async def _until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(SOON_S):
            while not holds():
                await self._changed.wait()

    def notify(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


@asynccontextmanager
async def streaming(
    app: Starlette, method: str, target: str, headers: Headers, body: object = None
) -> AsyncGenerator[Stream]:
    """Call the app and follow its answer; at the end the caller hangs up."""
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1", "content-type": "application/json", **headers}
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
    raw = b"" if body is None else json.dumps(body).encode()
    requests = [{"type": "http.request", "body": raw, "more_body": False}]
    it = Stream()

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await it.gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            it.status = message["status"]
        it.body += message.get("body", b"").decode()
        it.notify()

    async def call() -> None:
        try:
            await app(scope, receive, send)
        finally:
            it.ended = True
            it.notify()

    async with anyio.create_task_group() as calling:
        calling.start_soon(call)
        yield it
        it.gone.set()
        await it.until_ended()


@asynccontextmanager
async def a_server(
    folder: Path, door: Door = LOCKED, *, templates: Path | None = None
) -> AsyncGenerator[Grounds]:
    """REST and MCP over one store, as `room-mcp serve` joins them."""
    settings = Settings(
        home=folder, store=str(folder / "rooms.db"), templates=str(templates or folder / "none")
    )
    store = open_store(settings.store)

    async def backend(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app
        _for_whom_it_is_made(scope)
        await app.state.past_guard(scope, receive, send)

    inside = httpx2.ASGITransport(backend, raise_app_exceptions=False)
    client = RoomsClient(SAME_PROCESS_URL, transport=inside)
    keys = Keys(_Verifier(store, MCP_URL), MCP_URL, door.requires_key, _admitted_to_mcp)
    mcp = McpOverHttp(build_open_server(settings, client), keys=keys)
    app = create_app(store, settings, routes=mcp.routes, alongside=mcp.running, door=door)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL) as http,
    ):
        yield Grounds(app, http, app.state.services.rooms.store, {})


@asynccontextmanager
async def grounds(folder: Path, door: Door = LOCKED) -> AsyncGenerator[Grounds]:
    """The server with a room of every kind, open and closed, and a key for every caller."""
    async with a_server(folder, door) as all_of_it:
        for name in CALLERS[2:]:
            named = NAMES.get(name, name)
            human, admin = name == "owner", name == "admin"
            all_of_it.keys[name] = await all_of_it.new_key(named, admin=admin, human=human)
        all_of_it.keys["spare"] = await all_of_it.new_key("spare")
        all_of_it.keys["wrong"] = new_key(SERVER_KEY_PREFIX)
        own = await all_of_it.done(
            "stranger", "/agent/rooms", {"name": "a room of his own", "access": "keyed"}
        )
        all_of_it.forged = {"Room-Key": f"{own['ownerKey']},rk_wrong"}
        for kind in ROOMS:
            all_of_it.rooms[kind] = await all_of_it.room(kind)
            all_of_it.closed[kind] = await all_of_it.room(kind, closed=True)
        await all_of_it.store.revoke_key(key_id(all_of_it.keys["revoked"]), datetime.now(UTC))
        yield all_of_it
