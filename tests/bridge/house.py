"""A machine in memory: one store, one home folder, and agents at their MCP clients."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp.client.client import Client
from mcp.types import Implementation, ServerNotification

from room_mcp import wire
from room_mcp.bridge.server import RoomServer, build_server
from room_mcp.client import RoomsClient
from room_mcp.compose import EMBEDDED_URL, EmbeddedTransport
from room_mcp.settings import Settings

SOON_S = 20


@dataclass(frozen=True)
class Answer:
    """What a tool answered: all its text, the structure, and whether it is a refusal."""

    text: str
    is_error: bool
    structured: dict[str, Any] | None
    meta: dict[str, Any] | None = None

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


class Agent:
    """An agent at its own MCP server; call it with a tool and arguments.

    `heard` is every notification that its client was sent outside of a stream.
    """

    def __init__(self, client: Client, server: RoomServer, heard: list[ServerNotification]) -> None:
        self.client, self.server, self.heard = client, server, heard

    async def __call__(self, tool: str, /, **arguments: Any) -> Answer:
        return await self.ask(tool, arguments)

    async def ask(self, tool: str, arguments: dict[str, Any], **options: Any) -> Answer:
        with anyio.fail_after(SOON_S):
            result = await self.client.call_tool(tool, arguments, **options)
        text = "\n".join(getattr(part, "text", "") for part in result.content)
        return Answer(text, bool(result.is_error), result.structured_content, result.meta)

    async def say(self, room: str, content: str, **arguments: Any) -> Answer:
        answer = await self("send_message", room=room, content=content, **arguments)
        assert not answer.is_error, answer.text
        return answer


class Line(httpx2.AsyncBaseTransport):
    """The line to a backend, which can be cut or slow; it counts what is asked, by path.

    `open` counts what is being asked now; `last` holds the parameters of the last request.
    """

    def __init__(self, beyond: httpx2.AsyncBaseTransport) -> None:
        self._beyond = beyond
        self.is_cut = False
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.last: defaultdict[str, httpx2.QueryParams] = defaultdict(httpx2.QueryParams)
        self._holding = ""
        self._released = anyio.Event()
        self.held = 0

    @contextmanager
    def holding(self, path: str) -> Generator[None]:
        """Answers that were given inside arrive only afterwards; `held` counts them."""
        self._holding, self._released, self.held = path, anyio.Event(), 0
        try:
            yield
        finally:
            self._holding = ""
            self._released.set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked[path] += 1
        if self.is_cut:
            self.refused[path] += 1
            raise httpx2.ConnectError("The line is cut.", request=request)
        self.open[path] += 1
        self.last[path] = request.url.params
        try:
            answer = await self._beyond.handle_async_request(request)
            if path == self._holding:
                self.held += 1
                await self._released.wait()
            return answer
        finally:
            self.open[path] -= 1


class House:
    """The store, and whoever talks in it.

    `rooms` is the backend itself, for what others do there and for looking behind the tools.
    """

    def __init__(self, home: Path, era: str) -> None:
        self.home, self.era = home, era
        self.settings = Settings(home=home, store=str(home / "rooms.db"))
        transport = EmbeddedTransport(self.settings)
        self.line = Line(transport)
        self.rooms = RoomsClient(EMBEDDED_URL, transport=transport)
        self._http = httpx2.AsyncClient(base_url=EMBEDDED_URL, transport=transport)
        self._stack = AsyncExitStack()

    async def owner(self, method: str, path: str) -> None:
        """One of the owner's calls that agents have no tool for."""
        (await self._http.request(method, path)).raise_for_status()

    async def agent(
        self,
        name: str = "",
        *,
        host: str = "test",
        max_wait_s: float = 0.05,
        progress_every_s: float = 10.0,
        place: str = "here",
        settings: Settings | None = None,
        rooms: RoomsClient | None = None,
    ) -> Agent:
        """An agent that just started; `name` is exact, without one the host's is taken."""
        server = build_server(
            settings or self.settings,
            rooms or self.rooms,
            agent=name,
            max_wait_s=max_wait_s,
            place=place,
            progress_every_s=progress_every_s,
        )
        return await self._stack.enter_async_context(self._at(server, host))

    def visitor(self, agent: Agent) -> AbstractAsyncContextManager[Agent]:
        """Another client of the agent's server, which leaves at the end of the block."""
        return self._at(agent.server, "test")

    async def beside(self, agent: Agent) -> Agent:
        """Another client of the agent's server."""
        return await self._stack.enter_async_context(self.visitor(agent))

    @asynccontextmanager
    async def _at(self, server: RoomServer, host: str) -> AsyncGenerator[Agent]:
        heard: list[ServerNotification] = []

        async def hear(message: ServerNotification | Exception) -> None:
            assert not isinstance(message, Exception), message
            heard.append(message)

        client = Client(
            server,
            mode=self.era,
            client_info=Implementation(name=host, version="1.0"),
            message_handler=hear,
        )
        async with client:
            yield Agent(client, server, heard)

    def by_line(self) -> RoomsClient:
        """A client of the backend over the line that can be cut; it gives up at once."""
        return RoomsClient(EMBEDDED_URL, transport=self.line, retry_for_s=0)

    async def unlisted(self, name: str) -> wire.RoomCreated:
        """A room that the directory does not show."""
        new = {"name": name, "listed": False}
        answer = await self._http.post("/agent/rooms", json=new)
        return wire.RoomCreated.model_validate_json(answer.content)

    async def room(self, name: str = "api-review", *members: str) -> wire.RoomCreated:
        room = await self.rooms.create_room(name, sender="owner")
        for member in members:
            await self.rooms.join(room.id, member)
        return room

    async def waiting_in(self, room_id: str, name: str) -> None:
        """Until others see that this member sits in a wait."""

        async def sits() -> bool:
            return name in (await self.rooms.rooms(ids=[room_id])).rooms[0].waiting

        await until(sits)

    async def aclose(self) -> None:
        await self._stack.aclose()
        await self.rooms.aclose()


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = SOON_S) -> None:
    """Return once the condition holds; asking is what lets the others run."""
    with anyio.fail_after(within_s):
        while not await holds():
            await anyio.lowlevel.checkpoint()
