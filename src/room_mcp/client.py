"""The client of the REST backend, for the MCP bridge, the command line and any Python agent.

async with RoomsClient("http://127.0.0.1:8750") as rooms:
    room = await rooms.create_room("review")
    await rooms.post(room.id, "me", "Is issue 2 a blocker?", type="question")
    page = await rooms.messages(room.id, after=0, wait_s=30)
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import anyio
import httpx2
from pydantic import BaseModel, ValidationError

from room_mcp import wire
from room_mcp.failures import (
    BackendError,
    BackendRefused,
    BackendUnreachable,
    NotOurs,
    OutcomeUnknown,
)
from room_mcp.origin import ORIGIN_LIMITS, OriginRooms

CONNECT_S = 5.0
ANSWER_S = 10.0  # beyond the wait that was asked for
RETRY_FOR_S = 30.0
_FIRST_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 5.0

AnswerT = TypeVar("AnswerT", bound=BaseModel)

# At INFO it would print every URL, and a room's id is what lets one in.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class RoomsClient:
    """The backend's calls, typed. Safe to use from many tasks of one event loop.

    Posts carry an idempotency key and are retried with it after a lost answer; everything is
    retried for at most 30 s while the backend cannot be reached, is busy (503) or says 429.

    Args:
        url: Where the backend is, such as "http://127.0.0.1:8750".
        key: A server key, sent as bearer token.
        transport: Another way to reach it, such as an app of this process.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._retry_for_s = retry_for_s
        self._keeps_keys = False
        self._origin: OriginRooms | None = None
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            transport=transport,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=transport is None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def limits(self) -> str:
        """What this backend cannot do, as a sentence; empty for one of ours."""
        return "" if self._origin is None else ORIGIN_LIMITS

    # ---- rooms ----------------------------------------------------------------------------

    async def create_room(
        self, name: str, *, purpose: str = "", sender: str = "", reuse: bool = False
    ) -> wire.RoomCreated:
        """Open a room. With `reuse`, an open listed room of that name is answered instead."""
        if self._origin is not None:
            return await self._origin.create_room(name)
        new = wire.NewRoom(name=name, purpose=purpose, sender=sender or None, reuse=reuse)
        try:
            return await self._call("POST", "/agent/rooms", wire.RoomCreated, body=new)
        except BackendUnreachable:
            if (origin := await self._found_origin()) is None:
                raise
            return await origin.create_room(name)

    async def rooms(
        self,
        *,
        query: str = "",
        member: str = "",
        mine: bool = False,
        ids: Sequence[str] = (),
        closed: bool = True,
        limit: int = 100,
        read: Mapping[str, int] | None = None,
    ) -> wire.Directory:
        """The directory, the latest changed first; see `GET /agent/rooms`.

        Args:
            member: Say for this name what is unread and expected.
            mine: Only the rooms that `member` is in.
            read: Room id → seq that `member` has read besides what the backend knows.
        """
        if self._origin is not None:
            return await self._origin.rooms(ids)
        params = {
            "query": query,
            "member": member,
            "mine": "1" if mine else "",
            "ids": ",".join(ids),
            "read": _pairs(read or {}),
            "closed": "1" if closed else "0",
            "limit": str(limit),
        }
        return await self._call("GET", "/agent/rooms", wire.Directory, params=params)

    async def info(self, room_id: str) -> wire.Info:
        if self._origin is not None:
            return await self._origin.info(room_id)
        return await self._call("GET", f"/agent/rooms/{room_id}/info", wire.Info)

    async def close_room(
        self, room_id: str, *, sender: str, conclusion: str, owner_key: str = ""
    ) -> wire.Info:
        """End a room without a terminal message; needs its owner key, or the embedded store."""
        if self._origin is not None:
            raise BackendUnreachable("This backend cannot close rooms.", ORIGIN_LIMITS)
        body = wire.Close(sender=sender, conclusion=conclusion, owner_key=owner_key or None)
        return await self._call("POST", f"/agent/rooms/{room_id}/close", wire.Info, body=body)

    # ---- members ----------------------------------------------------------------------------

    async def join(
        self, room_id: str, name: str, *, key: str = "", protect: bool = False
    ) -> wire.Joined:
        """Become a member, or come back as one with the key of an earlier join."""
        if self._origin is not None:
            return await self._origin.join(room_id, name)
        body = wire.Join(agent_name=name, agent_key=key or None, protect=protect)
        return await self._call("POST", f"/agent/rooms/{room_id}/join", wire.Joined, body=body)

    async def leave(self, room_id: str, name: str, *, key: str = "") -> wire.Left:
        body = wire.Leave(sender=name, agent_key=key or None)
        return await self._call("POST", f"/agent/rooms/{room_id}/leave", wire.Left, body=body)

    # ---- messages ---------------------------------------------------------------------------

    async def post(
        self,
        room_id: str,
        sender: str,
        content: str | dict[str, Any],
        *,
        type: str | None = None,
        to: Sequence[str] = (),
        reply_to: int | None = None,
        idempotency_key: str | None = None,
        ack: int | None = None,
        key: str = "",
        human: bool = False,
    ) -> wire.Posted:
        """Send one message; a lost answer is asked for again, never sent twice.

        Raises:
            BackendRefused: A rule said no.
            OutcomeUnknown: The answer was lost, and the backend keeps no idempotency keys.
        """
        post = wire.Post(
            sender=sender,
            content=content,
            type=type,
            to=list(to),
            reply_to=reply_to,
            idempotency_key=idempotency_key or str(uuid.uuid4()),
            ack=ack,
            agent_key=key or None,
            sender_type="human" if human else None,
        )
        if self._origin is not None:
            return await self._origin.post(room_id, post)
        path = f"/agent/rooms/{room_id}/messages"
        try:
            return await self._call("POST", path, wire.Posted, body=post, repeatable=True)
        except NotOurs:
            if (origin := await self._found_origin()) is None:
                raise
            return await origin.post(room_id, post)

    async def messages(
        self,
        room_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 50,
        wait_s: float = 0,
        reader: str = "",
        ack: int | None = None,
        key: str = "",
    ) -> wire.Page:
        """A page of messages, oldest first; see `GET /agent/rooms/{id}/messages`."""
        if self._origin is not None:
            return await self._origin.messages(room_id, after, before, limit, wait_s)
        params = {
            "after": after,
            "before": before,
            "limit": limit,
            "wait": wait_s or None,
            "reader": reader,
            "ack": ack,
        }
        path = f"/agent/rooms/{room_id}/messages"
        try:
            return await self._call("GET", path, wire.Page, params=params, wait_s=wait_s, key=key)
        except NotOurs:
            if (origin := await self._found_origin()) is None:
                raise
            return await origin.messages(room_id, after, before, limit, wait_s)

    async def updates(
        self,
        cursors: Mapping[str, int],
        *,
        directory: int | None = None,
        wait_s: float = 0,
        reader: str = "",
        key: str = "",
    ) -> wire.Updates:
        """What is new in many rooms; see `GET /agent/updates`."""
        if self._origin is not None:
            return await self._origin.updates(cursors, wait_s)
        params = {
            "rooms": _pairs(cursors),
            "directory": directory,
            "wait": wait_s or None,
            "reader": reader,
        }
        return await self._call(
            "GET", "/agent/updates", wire.Updates, params=params, wait_s=wait_s, key=key
        )

    async def search(
        self, query: str, *, room_id: str = "", ids: Sequence[str] = (), limit: int = 20
    ) -> wire.Hits:
        """Messages that hold every word of the query, newest first."""
        path = f"/agent/rooms/{room_id}/search" if room_id else "/agent/search"
        params = {"q": query, "ids": ",".join(ids), "limit": limit}
        if room_id:
            del params["ids"]
        return await self._call("GET", path, wire.Hits, params=params)

    async def export(self, room_id: str, format: str = "md") -> AsyncIterator[str]:
        """The whole room in pieces of text; `format` is md or jsonl."""
        path = f"/agent/rooms/{room_id}/export"
        async with self._told(), self._http.stream("GET", path, params={"format": format}) as got:
            if got.status_code != 200:
                await got.aread()
                raise self._refused(got)
            async for piece in got.aiter_text():
                yield piece

    # ---- how a call is made ---------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        model: type[AnswerT],
        *,
        body: wire.Request | None = None,
        params: Mapping[str, Any] | None = None,
        wait_s: float = 0,
        key: str = "",
        repeatable: bool = False,
    ) -> AnswerT:
        """One call, tried again while that is safe and makes sense.

        Safe is: it never arrived, it changes nothing, it was refused for now, or it is
        `repeatable` by an idempotency key which this backend is known to keep.
        """
        query = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        request = self._http.build_request(
            method,
            path,
            params=query or None,
            content=None
            if body is None
            else body.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True),
            headers=_headers(body, key),
            timeout=httpx2.Timeout(wait_s + ANSWER_S, connect=CONNECT_S, pool=None),
        )
        deadline = time.monotonic() + self._retry_for_s
        back_off_s = _FIRST_BACK_OFF_S
        while True:
            safe = method == "GET" or (repeatable and self._keeps_keys)
            try:
                answer = await self._send(request, wait_s)
                if answer.status_code < 400:
                    return self._read(answer, model)
                failure = self._refused(answer)
                again = answer.status_code in (429, 503) and "retry-after" in answer.headers
                again = again or (answer.status_code == 504 and safe)
                pause_s = _seconds(answer.headers.get("retry-after"))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure, again, pause_s = self._unreachable(error), True, 0.0
            except (httpx2.TransportError, TimeoutError) as error:
                failure, again, pause_s = self._lost(error, method), safe, 0.0
            back_off_s = min(back_off_s * 2, _LONGEST_BACK_OFF_S)
            pause_s = max(pause_s, back_off_s * random.uniform(0.5, 1.0))
            if not again or time.monotonic() + pause_s > deadline:
                raise failure
            await anyio.sleep(pause_s)

    async def _send(self, request: httpx2.Request, wait_s: float) -> httpx2.Response:
        # The transport into an app of this process knows no timeouts, so this one holds for all.
        with anyio.fail_after(CONNECT_S + wait_s + ANSWER_S):
            return await self._http.send(request)

    def _read(self, answer: httpx2.Response, model: type[AnswerT]) -> AnswerT:
        try:
            found = model.model_validate_json(answer.content)
        except ValidationError:
            raise NotOurs(
                f"{self.url} answered something that is not of a room backend.",
                "Check the address: it is the server's base URL, without a path.",
            ) from None
        self._keeps_keys = self._keeps_keys or getattr(found, "epoch", None) is not None
        return found

    def _refused(self, answer: httpx2.Response) -> BackendError:
        """The problem document as an exception; whatever else came, in one sentence."""
        try:
            facts: Any = answer.json()
        except ValueError:
            facts = None
        if isinstance(facts, dict) and "code" in facts:
            facts = cast("dict[str, Any]", facts)
            if answer.status_code == 504:
                return OutcomeUnknown(str(facts["detail"]), str(facts.get("advice", "")))
            return BackendRefused(answer.status_code, facts)
        kind = answer.headers.get("content-type", "nothing").partition(";")[0]
        return NotOurs(
            f"{self.url} answered {answer.status_code} with {kind}, not as a room backend does.",
            "Check the address, and whether a proxy or another service answers there.",
        )

    def _unreachable(self, error: Exception) -> BackendUnreachable:
        return BackendUnreachable(
            f"Nothing answers at {self.url} ({type(error).__name__}). Nothing was sent.",
            "Start the server with `room-mcp serve`, or correct ROOM_MCP_URL.",
        )

    def _lost(self, error: Exception, method: str) -> BackendError:
        detail = f"The answer of {self.url} was lost ({type(error).__name__})."
        if method == "GET":
            return BackendUnreachable(detail, "Try again.")
        return OutcomeUnknown(
            detail, "It may have been done: look into the room before you repeat it."
        )

    @asynccontextmanager
    async def _told(self) -> AsyncGenerator[None]:
        """Transport errors of a stream, in words."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error) from None
        except httpx2.TransportError as error:
            raise self._lost(error, "GET") from None

    async def _found_origin(self) -> OriginRooms | None:
        """The origin's calls, when only they exist here; from then on they alone are used."""
        try:
            await self._call("GET", "/healthz", wire.Health)
        except NotOurs:
            self._origin = OriginRooms(self._origin_call)
        except BackendError:
            pass
        return self._origin

    async def _origin_call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One of the origin's calls; retried only if it never arrived."""
        try:
            answer = await self._http.request(method, path, json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error) from None
        except httpx2.TransportError as error:
            raise self._lost(error, method) from None
        if answer.status_code >= 400:
            raise self._refused(answer)
        found: Any = answer.json()
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {"messages": found}


def _headers(body: wire.Request | None, key: str) -> dict[str, str]:
    headers = {"Room-Key": key} if key else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _seconds(retry_after: str | None) -> float:
    """The pause that a Retry-After header asks for; dates and nonsense mean none."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _pairs(seqs: Mapping[str, int]) -> str:
    return ",".join(f"{room_id}:{seq}" for room_id, seq in seqs.items())
