"""The client of the REST backend, for the MCP bridge, the command line and any Python agent.

async with RoomsClient("http://127.0.0.1:8750") as rooms:
    room = await rooms.create_room("review")
    await rooms.post(room.id, "me", "Is issue 2 a blocker?", type="question")
    page = await rooms.messages(room.id, after=0, wait_s=30)
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, cast

import httpx2

from room_mcp import wire
from room_mcp.connection import ANSWER_S, RETRY_FOR_S, Connection
from room_mcp.failures import BackendError, BackendRefused, BackendUnreachable, NotOurs
from room_mcp.origin import FIRST_POLL_S, ORIGIN_LIMITS, ORIGIN_READS, OriginRooms
from room_mcp.server_keys import ServerKeys

T = TypeVar("T")


class RoomKeys(Protocol):
    """The member keys of whoever uses a client."""

    def key(self, room_id: str) -> str:
        """The key for this room; empty without one."""
        ...


class RoomsClient:
    """The backend's calls, typed. Safe to use from many tasks of one event loop.

    Posts carry an idempotency key and are retried with it after a lost answer; everything is
    retried for at most 30 s while the backend cannot be reached, is busy (503) or says 429.

    Args:
        url: Where the backend is, such as "http://127.0.0.1:8750".
        key: A server key, sent as bearer token.
        certificate: The only one that the server may show, as PEM text and not as a path; else
            authorities decide.
        transport: Another way to reach it, such as an app of this process.
        retry_for_s: How long to go on trying.
        answer_s: How long an answer may take, beyond the wait that was asked for; 10.
        first_poll_s: The first pause where waiting is asking again; each further one doubles.

    Raises:
        ValueError: The certificate is no PEM text.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        certificate: str = "",
        transport: httpx2.AsyncBaseTransport | None = None,
        retry_for_s: float = RETRY_FOR_S,
        answer_s: float | None = None,
        first_poll_s: float = FIRST_POLL_S,
    ) -> None:
        self.url = url.rstrip("/")
        self._first_poll_s = first_poll_s
        self._origin: OriginRooms | None = None
        self.room_keys: RoomKeys | None = None
        self.sees_unlisted = False  # whether directories show a person all that is in his store
        self._connection = Connection(
            self.url,
            key=key,
            certificate=certificate,
            transport=transport,
            retry_for_s=retry_for_s,
            answer_s=ANSWER_S if answer_s is None else answer_s,
        )
        self._call = self._connection.call
        self.keys = ServerKeys(self._connection)

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
        await self._connection.aclose()

    @property
    def has_key(self) -> bool:
        """Whether a server key is sent along."""
        return self._connection.has_key

    @property
    def limits(self) -> str:
        """What this backend cannot do, as a sentence; empty for one of ours."""
        return "" if self._origin is None else ORIGIN_LIMITS

    # ---- rooms ----------------------------------------------------------------------------

    async def create_room(
        self,
        name: str,
        *,
        purpose: str = "",
        sender: str = "",
        reuse: bool = False,
        access: wire.Access = "open",
        template: str = "",
        contract: Mapping[str, Any] | None = None,
        roles: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
        guard: Mapping[str, Any] | bool | None = None,
        chain: bool = False,
    ) -> wire.RoomCreated:
        """Open a room. With `reuse`, an open listed room of that name is answered instead.

        Args:
            access: Who reads and posts: anybody, members with their key, or those whom the owner
                has admitted.
            template: The rules to start from; "" is "open".
            contract: Sections that replace those of the template, or a whole document.
            roles, budget, guard: Parts of these sections to replace; `guard=False` switches it off.
            chain: Whether its messages carry hashes.
        """
        new = wire.NewRoom(
            name=name,
            purpose=purpose,
            sender=sender or None,
            reuse=reuse,
            access=access,
            template=template or None,
            contract=None if contract is None else dict(contract),
            roles=None if roles is None else dict(roles),
            budget=None if budget is None else dict(budget),
            guard=guard if guard is None or isinstance(guard, bool) else dict(guard),
            chain=chain,
        )
        return await self._either(
            lambda: self._call("POST", "/agent/rooms", wire.RoomCreated, body=new),
            lambda origin: origin.create_room(name),
        )

    async def rooms(
        self,
        *,
        query: str = "",
        member: str = "",
        mine: bool = False,
        ids: Sequence[str] = (),
        closed: bool = True,
        archived: bool = False,
        before: str = "",
        limit: int = 100,
        read: Mapping[str, int] | None = None,
    ) -> wire.Directory:
        """The directory, the latest changed first; see `GET /agent/rooms`.

        Args:
            member: Say for this name what is unread and expected.
            mine: Only the rooms that `member` is in.
            archived: Only the rooms that were archived.
            before: The `next_cursor` of an earlier answer.
            read: Room id → seq that `member` has read besides what the backend knows.
        """
        params = {
            "query": query,
            "member": member,
            "mine": "1" if mine else "",
            "ids": ",".join(ids),
            "read": _pairs(read or {}),
            "closed": "1" if closed else "0",
            "archived": "1" if archived else "",
            "unlisted": "1" if self.sees_unlisted else "",
            "before": before,
            "limit": str(limit),
        }
        return await self._either(
            lambda: self._call(
                "GET", "/agent/rooms", wire.Directory, params=params, key=self._keys_of(ids)
            ),
            lambda origin: origin.rooms(ids, member=member, mine=mine, read=read),
        )

    async def info(self, room_id: str) -> wire.Info:
        return await self._either(
            lambda: self._call(
                "GET", f"/agent/rooms/{room_id}/info", wire.Info, key=self._keys_of([room_id])
            ),
            lambda origin: origin.info(room_id),
        )

    async def close_room(
        self,
        room_id: str,
        *,
        sender: str,
        conclusion: str,
        owner_key: str = "",
        human: bool = False,
    ) -> wire.Info:
        """End a room without a terminal message; needs its owner key, or the embedded store.

        A room whose end belongs to certain roles is closed by people and the owner key only.
        """
        self._must_be_ours("close rooms")
        body = wire.Close(
            sender=sender,
            sender_type="human" if human else None,
            conclusion=conclusion,
            owner_key=owner_key or None,
        )
        path = f"/agent/rooms/{room_id}/close"
        return await self._call("POST", path, wire.Info, body=body, key=self._keys_of([room_id]))

    async def reopen_room(self, room_id: str, *, sender: str, human: bool = False) -> wire.Info:
        """Let a closed room go on; only a person may, on the embedded store."""
        self._must_be_ours("reopen rooms")
        body = wire.Reopen(sender=sender, sender_type="human" if human else None)
        return await self._call("POST", f"/agent/rooms/{room_id}/reopen", wire.Info, body=body)

    async def adjust_room(
        self,
        room_id: str,
        *,
        budget: Mapping[str, Any] | None = None,
        guard: Mapping[str, Any] | bool | None = None,
        owner_key: str = "",
    ) -> wire.Info:
        """Change limits and thresholds; needs the owner key, or the embedded store."""
        self._must_be_ours("change the rules of rooms")
        body = wire.Adjust(
            budget=None if budget is None else dict(budget),
            guard=guard if guard is None or isinstance(guard, bool) else dict(guard),
            owner_key=owner_key or None,
        )
        return await self._call("POST", f"/agent/rooms/{room_id}/settings", wire.Info, body=body)

    async def decide(
        self,
        room_id: str,
        act: Literal["admit", "decline", "mute", "unmute", "remove"],
        name: str,
        *,
        owner_key: str = "",
    ) -> wire.Info:
        """Decide about somebody who waits to come in, or a member; needs the owner's rights."""
        self._must_be_ours("keep others out of rooms")
        key = owner_key or None
        body: wire.Decide = wire.Decide(name=name, owner_key=key)
        if act in ("mute", "unmute"):
            body = wire.Mute(name=name, muted=act == "mute", owner_key=key)
        path = f"/agent/rooms/{room_id}/{'mute' if act == 'unmute' else act}"
        return await self._call("POST", path, wire.Info, body=body)

    async def rename_room(
        self, room_id: str, name: str, *, sender: str = "", owner_key: str = ""
    ) -> wire.Info:
        """Call a room otherwise; needs its owner key, or the embedded store."""
        self._must_be_ours("rename rooms")
        body = wire.Rename(name=name, sender=sender or None, owner_key=owner_key or None)
        path = f"/agent/rooms/{room_id}/rename"
        return await self._call("POST", path, wire.Info, body=body, key=self._keys_of([room_id]))

    async def archive_room(
        self, room_id: str, *, archived: bool = True, owner_key: str = ""
    ) -> wire.Info:
        """Put a closed room away, or bring it back; needs its owner key, or the embedded store."""
        self._must_be_ours("archive rooms")
        body = wire.Archive(archived=archived, owner_key=owner_key or None)
        return await self._call("POST", f"/agent/rooms/{room_id}/archive", wire.Info, body=body)

    async def purge_room(self, room_id: str, *, owner_key: str = "") -> wire.Erased:
        """Remove all texts of a room; needs its owner key, or the embedded store."""
        self._must_be_ours("purge rooms")
        path = f"/api/rooms/{room_id}/messages"
        return await self._call("DELETE", path, wire.Erased, key=owner_key)

    async def expired(self, *, remove: bool = False) -> wire.Expired:
        """Rooms past what the backend keeps; with `remove`, some of them are removed."""
        self._must_be_ours("remove old rooms")
        return await self._call("DELETE" if remove else "GET", "/agent/expired", wire.Expired)

    async def templates(self) -> wire.Templates:
        """The rules that a room can start from: the package's, and the backend's own."""
        self._must_be_ours("show templates")
        return await self._call("GET", "/agent/templates", wire.Templates)

    async def delete_room(self, room_id: str, *, owner_key: str = "") -> None:
        """Remove a room and all it holds; needs its owner key, or the embedded store."""
        self._must_be_ours("delete rooms")
        await self._connection.do("DELETE", f"/api/rooms/{room_id}", key=owner_key)

    # ---- members ----------------------------------------------------------------------------

    async def join(
        self,
        room_id: str,
        name: str,
        *,
        role: str = "",
        key: str = "",
        protect: bool = False,
        human: bool = False,
    ) -> wire.Joined:
        """Become a member, or come back as one with the key of an earlier join.

        Without `role`, a room with roles gives the first that lacks somebody.
        """
        body = wire.Join(
            agent_name=name,
            agent_key=key or None,
            role=role or None,
            sender_type="human" if human else None,
            protect=protect,
        )
        return await self._either(
            lambda: self._call("POST", f"/agent/rooms/{room_id}/join", wire.Joined, body=body),
            lambda origin: origin.join(room_id, name),
        )

    async def leave(self, room_id: str, name: str, *, key: str = "") -> wire.Left:
        self._must_be_ours("let members leave")
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
        path = f"/agent/rooms/{room_id}/messages"
        return await self._either(
            lambda: self._call("POST", path, wire.Posted, body=post, repeatable=True),
            lambda origin: origin.post(room_id, post),
            done=lambda origin: origin.posted(room_id, post),
        )

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
        pending: bool = False,
        key: str = "",
    ) -> wire.Page:
        """A page of messages, oldest first; see `GET /agent/rooms/{id}/messages`.

        Args:
            pending: `reader` waits to be admitted; the answer comes when that is decided.
        """
        params = {
            "after": after,
            "before": before,
            "limit": limit,
            "wait": wait_s or None,
            "reader": reader,
            "ack": ack,
            "pending": "1" if pending else "",
        }
        path = f"/agent/rooms/{room_id}/messages"
        key = key or self._keys_of([room_id])
        return await self._either(
            lambda: self._call("GET", path, wire.Page, params=params, wait_s=wait_s, key=key),
            lambda origin: origin.messages(
                room_id, after, before, limit, wait_s, reader=reader, ack=ack
            ),
        )

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
        params = {
            "rooms": _pairs(cursors),
            "directory": directory,
            "wait": wait_s or None,
            "reader": reader,
        }
        path = "/agent/updates"
        key = key or self._keys_of(list(cursors))
        return await self._either(
            lambda: self._call("GET", path, wire.Updates, params=params, wait_s=wait_s, key=key),
            lambda origin: origin.updates(cursors, wait_s),
        )

    async def search(
        self, query: str, *, room_id: str = "", ids: Sequence[str] = (), limit: int = 20
    ) -> wire.Hits:
        """Messages that hold every word of the query, newest first."""
        self._must_be_ours("search")
        path = f"/agent/rooms/{room_id}/search" if room_id else "/agent/search"
        params = {"q": query, "ids": ",".join(ids), "limit": limit}
        if room_id:
            del params["ids"]
        key = self._keys_of([room_id] if room_id else ids)
        return await self._call("GET", path, wire.Hits, params=params, key=key)

    async def export(self, room_id: str, format: str = "md") -> AsyncIterator[str]:
        """The whole room in pieces of text; `format` is md or jsonl."""
        self._must_be_ours("export rooms")
        path = f"/agent/rooms/{room_id}/export"
        key = self._keys_of([room_id])
        async with self._connection.stream(path, {"format": format}, key=key) as answer:
            async for piece in answer.aiter_text():
                yield piece

    async def audit(
        self, room_id: str = "", *, after: int = 0, limit: int = 100, owner_key: str = ""
    ) -> wire.Audit:
        """What was done and refused, the oldest first: in one room, for its owner, or everywhere,
        for admins and on the embedded store."""
        self._must_be_ours("tell what was done")
        path = f"/agent/rooms/{room_id}/audit" if room_id else "/agent/audit"
        params = {"after": after, "limit": limit}
        return await self._call("GET", path, wire.Audit, params=params, key=owner_key)

    def _keys_of(self, room_ids: Sequence[str]) -> str:
        """The member keys that there are for these rooms, for a request that reads them."""
        if self.room_keys is None:
            return ""
        keys = (self.room_keys.key(id) for id in room_ids)
        return ",".join(dict.fromkeys(key for key in keys if key))

    # ---- the origin ---------------------------------------------------------------------------

    async def _either(
        self,
        ours: Callable[[], Awaitable[T]],
        origins: Callable[[OriginRooms], Awaitable[T]],
        *,
        done: Callable[[OriginRooms], Awaitable[T]] | None = None,
    ) -> T:
        """A call as ours, or made of the origin's where only those exist.

        `done` is for a call that the backend accepted before it was known as the origin: it must
        not be made again.
        """
        if self._origin is not None:
            return await origins(self._origin)
        try:
            return await ours()
        except NotOurs as error:
            if (origin := await self._found_origin()) is None:
                raise
            return await (done if done and error.accepted else origins)(origin)

    def _must_be_ours(self, wish: str) -> None:
        if self._origin is not None:
            raise BackendUnreachable(f"This backend cannot {wish}.", ORIGIN_LIMITS)

    async def _found_origin(self) -> OriginRooms | None:
        """The origin's calls, when only they exist here; from then on they alone are used."""
        try:
            await self._call("GET", "/healthz", wire.Health)
        except NotOurs:
            if await self._answers_as_origin():
                self._origin = OriginRooms(self._origin_call, first_poll_s=self._first_poll_s)
        except BackendError:
            pass
        return self._origin

    async def _answers_as_origin(self) -> bool:
        """Whether reading a room that does not exist is answered in JSON, by either call."""
        for call in ORIGIN_READS:
            try:
                answer = await self._origin_call("GET", f"/agent/rooms/{uuid.UUID(int=0)}/{call}")
            except BackendRefused:
                return True
            except BackendError:
                continue
            if isinstance(answer.get("messages"), list):
                return True
        return False

    async def _origin_call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One of the origin's calls; a POST is retried only if it never arrived."""
        request = self._connection.request(method, path, body)
        try:
            answer = await self._connection.exchange(request)
        except NotOurs as error:
            if error.facts is None:
                raise
            raise _origin_refusal(error.status, error.facts) from None
        try:
            found: Any = answer.json()
        except ValueError:
            found = None
        if isinstance(found, list):
            return {"messages": found}
        if not isinstance(found, dict):
            raise self._connection.not_of_a_backend(answer)
        return cast("dict[str, Any]", found)


def _origin_refusal(status: int, facts: Mapping[str, Any]) -> BackendRefused:
    told = facts.get("error") or facts.get("message") or "It was refused."
    code = "room_not_found" if status == 404 else "refused"
    return BackendRefused(status, {"code": code, "detail": str(told), **facts})


def _pairs(seqs: Mapping[str, int]) -> str:
    return ",".join(f"{room_id}:{seq}" for room_id, seq in seqs.items())
