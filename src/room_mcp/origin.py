"""Speaking with a backend that has only the origin's calls: create, post and read.

Such a backend numbers nothing, wakes nobody and keeps no keys. Numbers are counted from its whole
history, waiting is polling, and a lost answer is looked for in the history.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol, cast

import anyio

from room_mcp import wire
from room_mcp.failures import BackendRefused, NotOurs, OutcomeUnknown

FIRST_POLL_S = 1.0
LONGEST_POLL_S = 10.0
ORIGIN_READS = ("history", "messages")  # either may exist alone; the history is the whole room
_NO_SUCH_CALL = (404, 405)

ORIGIN_LIMITS = (
    "This backend only stores messages: nobody is woken (it is asked every 1 to 10 s), names are "
    "not protected, rooms do not end, and there is no directory or search."
)
_NO_EPOCH = ""


class Call(Protocol):
    """One request to the backend: method, path, JSON body → JSON object."""

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Awaitable[dict[str, Any]]: ...


class OriginRooms:
    """The client's calls, made of the origin's. Only rooms whose id is known can be found."""

    def __init__(self, call: Call, *, first_poll_s: float = FIRST_POLL_S) -> None:
        self._call = call
        self._first_poll_s = first_poll_s
        self._reads = ORIGIN_READS
        self._names: dict[str, str] = {}
        self._known: dict[str, dict[str, wire.Message]] = {}
        self._joined: dict[str, dict[str, int]] = {}  # room id → name → last seq at the time

    async def create_room(self, name: str) -> wire.RoomCreated:
        made = await self._call("POST", "/agent/demo/room", {"name": name})
        id = made.get("roomId") or made.get("id")
        if not isinstance(id, str):
            raise OutcomeUnknown("The backend opened a room and does not say which.")
        self._names[id] = name
        return wire.RoomCreated.model_validate(
            {**self._room(id, 0).model_dump(), "created": True, "owner_key": None}
        )

    async def rooms(
        self,
        ids: Sequence[str],
        *,
        member: str = "",
        mine: bool = False,
        read: Mapping[str, int] | None = None,
    ) -> wire.Directory:
        """The rooms of these ids that exist, or all that this client has opened or joined."""
        found: list[wire.Room] = []
        for id in ids or dict.fromkeys([*self._names, *self._joined]):
            try:
                messages = await self._history(id)
            except BackendRefused as error:
                if error.status != 404:
                    raise
                continue
            room = self._room(id, len(messages))
            room.members = self._members(id, messages)
            if member in room.members:
                read_to = self._read_to(id, member, (read or {}).get(id))
                room.unread = sum(one.seq > read_to and one.sender != member for one in messages)
            elif mine:
                continue
            found.append(room)
        return wire.Directory(rooms=found, next_cursor=None, directory=0)

    def _members(self, id: str, messages: Sequence[wire.Message]) -> list[str]:
        return list(dict.fromkeys([*(one.sender for one in messages), *self._joined.get(id, {})]))

    def _read_to(self, id: str, member: str, ack: int | None) -> int:
        """What a member has read: what he says, and nothing from before he joined."""
        return max(ack or 0, self._joined.get(id, {}).get(member, 0))

    async def info(self, room_id: str) -> wire.Info:
        messages = await self._history(room_id)
        now = messages[0].timestamp if messages else ""
        return wire.Info(
            **self._room(room_id, len(messages)).model_dump(include=_SHARED),
            created_by="",
            size_bytes=0,
            max_bytes=None,
            terminal_types=[],
            members=[
                wire.Member(
                    name=name,
                    type="agent",
                    active=True,
                    protected=False,
                    joined_at=now,
                    messages=sum(one.sender == name for one in messages),
                )
                for name in dict.fromkeys(one.sender for one in messages)
            ],
            expected=[],
        )

    async def join(self, room_id: str, name: str) -> wire.Joined:
        messages = await self._history(room_id)
        self._joined.setdefault(room_id, {}).setdefault(name, len(messages))
        return wire.Joined(
            room=await self.info(room_id),
            messages=messages[-20:],
            agent_name=name,
            agent_key=None,
            agent_session_id=None,
            last_seq=len(messages),
            epoch=_NO_EPOCH,
        )

    async def post(self, room_id: str, post: wire.Post) -> wire.Posted:
        """Send one message; if the answer is lost, look for it in the history."""
        before = len(await self._history(room_id))
        lost: OutcomeUnknown | None = None
        try:
            body = {"sender": post.sender, "content": _content_of(post)}
            await self._call("POST", f"/agent/rooms/{room_id}/messages", body)
        except OutcomeUnknown as error:
            lost = error
        own = await self._own(room_id, post, after=before)
        if not own:
            raise lost or _hidden()
        return _posted(own[0])

    async def posted(self, room_id: str, post: wire.Post) -> wire.Posted:
        """The message that the backend took a moment ago."""
        own = await self._own(room_id, post, after=0)
        if not own:
            raise _hidden()
        return _posted(own[-1])

    async def _own(self, room_id: str, post: wire.Post, *, after: int) -> list[wire.Message]:
        said = (post.content, _content_of(post))
        new = (await self._history(room_id))[after:]
        return [one for one in new if one.sender == post.sender and one.content in said]

    async def messages(
        self,
        room_id: str,
        after: int | None,
        before: int | None,
        limit: int,
        wait_s: float,
        *,
        reader: str = "",
        ack: int | None = None,
    ) -> wire.Page:
        if reader and after is None and before is None:
            after = self._read_to(room_id, reader, ack)
        deadline = time.monotonic() + wait_s
        pause_s = self._first_poll_s
        while True:
            all = await self._history(room_id)
            found = [one for one in all if one.seq > (after or 0)]
            if before is not None:
                found = [one for one in found if one.seq < before]
            if found or time.monotonic() >= deadline:
                break
            await anyio.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(pause_s * 2, LONGEST_POLL_S)
        page = found[-limit:] if after is None else found[:limit]
        return wire.Page(
            messages=page,
            next_cursor=page[-1].seq if page else (after or 0),
            last_seq=len(all),
            has_more=len(page) < len(found),
            closed=False,
            epoch=_NO_EPOCH,
            limit=limit,
        )

    async def updates(self, cursors: Mapping[str, int], wait_s: float) -> wire.Updates:
        deadline = time.monotonic() + wait_s
        pause_s = self._first_poll_s
        while True:
            rooms: list[wire.Update] = []
            for id, after in cursors.items():
                page = await self.messages(id, after, None, 50, 0)
                if page.messages:
                    rooms.append(
                        wire.Update(
                            room_id=id,
                            last_seq=page.last_seq,
                            lifecycle="open",
                            messages=page.messages,
                            has_more=page.has_more,
                        )
                    )
            if rooms or time.monotonic() >= deadline:
                return wire.Updates(rooms=rooms, epoch=_NO_EPOCH)
            await anyio.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(pause_s * 2, LONGEST_POLL_S)

    async def _history(self, room_id: str) -> list[wire.Message]:
        """All messages known of a room, numbered by their place; all but the sender are woken.

        What was seen once keeps its number, also where the backend shows only the newest.
        """
        known = self._known.setdefault(room_id, {})
        raw: list[dict[str, Any]] = (await self._read(room_id)).get("messages", [])
        for place, one in enumerate(raw, 1):
            id = str(one.get("id", place))
            if id in known:
                continue
            known[id] = wire.Message(
                id=id,
                seq=len(known) + 1,
                room_id=room_id,
                sender=str(one.get("sender", "")),
                sender_type="agent",
                type=_type_of(one.get("content")),
                content=one.get("content"),
                timestamp=str(one.get("timestamp", "")),
            )
        here = self._members(room_id, list(known.values()))
        return [
            one.model_copy(update={"wakes": [name for name in here if name != one.sender]})
            for one in known.values()
        ]

    async def _read(self, room_id: str) -> dict[str, Any]:
        """A room, by whichever of the two calls the backend has."""
        first: BackendRefused | NotOurs | None = None
        for call in self._reads:
            try:
                answer = await self._call("GET", f"/agent/rooms/{room_id}/{call}")
            except (BackendRefused, NotOurs) as error:
                if error.status not in _NO_SUCH_CALL:
                    raise
                # A refusal in words is about the room; anything else is about the call.
                first = error if first is None or isinstance(error, BackendRefused) else first
                continue
            self._reads = (call,)
            return answer
        raise first or NotOurs("The backend has no call to read a room.", status=404)

    def _room(self, id: str, count: int) -> wire.Room:
        return wire.Room(
            room_id=id,
            id=id,
            name=self._names.get(id, id),
            purpose="",
            template="open",
            lifecycle="open",
            listed=False,
            created_at="",
            updated_at="",
            message_count=count,
            last_seq=count,
            epoch=_NO_EPOCH,
        )


_SHARED = set(wire.Info.model_fields) & set(wire.Room.model_fields) - {
    "members",
    "max_bytes",
    "expected",
}


def _type_of(content: Any) -> str:
    inner = cast("dict[str, Any]", content).get("type") if isinstance(content, dict) else None
    return inner if isinstance(inner, str) else "note"


def _content_of(post: wire.Post) -> str | dict[str, Any]:
    """What is sent: a type that a body does not hold yet goes into it."""
    content = post.content
    if post.type is not None and isinstance(content, dict) and "type" not in content:
        return {"type": post.type, **content}
    return content


def _posted(message: wire.Message) -> wire.Posted:
    return wire.Posted.model_validate(
        {**message.model_dump(), "idempotent": False, "epoch": _NO_EPOCH}
    )


def _hidden() -> OutcomeUnknown:
    return OutcomeUnknown("The backend took the message and does not show it.")
