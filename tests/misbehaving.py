"""Small servers on loopback that answer as they are told: late, in halves, in HTML, or never."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

REASONS = {200: "OK", 201: "Created", 404: "Not Found", 500: "Oops", 503: "Busy"}


@dataclass(frozen=True)
class Asked:
    """One request that reached the server."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def call(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


@dataclass(frozen=True)
class Says:
    """An answer. `cut`: the connection closes after that many bytes of the body."""

    status: int = 200
    body: object = ""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None

    def __bytes__(self) -> bytes:
        body = (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
        head = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Said')}"]
        fields = {
            "Content-Type": self.kind,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        head += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*head, "", ""]).encode() + body[: self.cut]


HANGS_UP = None
Answer = Callable[[Asked], Awaitable[Says | None]]


@dataclass
class Server:
    """A server on a free port; `asked` is what reached it."""

    answer: Answer
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @property
    def calls(self) -> list[str]:
        return [one.call for one in self.asked]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().split("\r\n")
            method, path, _ = request.split(" ")
            headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(method, path, headers, json.loads(raw) if raw else None)
            self.asked.append(asked)
            says = await self.answer(asked)
            if says is not HANGS_UP:
                writer.write(bytes(says))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


def in_turn(answers: Sequence[Says | None]) -> Answer:
    """These answers one after the other; the last one again and again."""
    left = list(answers)

    async def answer(asked: Asked) -> Says | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


@dataclass
class OriginBackend:
    """The three calls of the origin and nothing else; `reads` are the reading calls it has.

    `swallow_next` stores the next message and closes the connection without an answer,
    `drop_next` does not even store it;
    `shows` is how many of the newest messages `GET …/messages` answers with.
    """

    reads: tuple[str, ...] = ("history", "messages")
    html_404: bool = False
    swallow_next: bool = False
    drop_next: bool = False
    shows: int = 1_000
    rooms: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def __call__(self, asked: Asked) -> Says | None:
        match asked.method, asked.path.partition("?")[0].strip("/").split("/"):
            case "POST", ["agent", "demo", "room"]:
                id = f"room-{len(self.rooms) + 1}"
                self.rooms[id] = []
                return Says(201, {"roomId": id})
            case "POST", ["agent", "rooms", id, "messages"] if id in self.rooms:
                return self._post(id, asked.body)
            case "GET", ["agent", "rooms", id, call] if call in self.reads:
                if id not in self.rooms:
                    return Says(404, {"error": "Room not found"})
                return Says(200, {"messages": self.rooms[id][-self.shows :]})
            case _ if self.html_404:
                return Says(404, "<h1>Cannot do that</h1>", kind="text/html")
            case _:
                return Says(404, {"error": "Not found"})

    def _post(self, room_id: str, body: dict[str, Any]) -> Says | None:
        if self.drop_next:
            self.drop_next = False
            return HANGS_UP
        room = self.rooms[room_id]
        message = {
            "id": f"m-{len(room) + 1}",
            "sender": body["sender"],
            "content": body["content"],
            "timestamp": "2026-01-01T00:00:00.000Z",
        }
        room.append(message)
        if self.swallow_next:
            self.swallow_next = False
            return HANGS_UP
        return Says(201, message)
