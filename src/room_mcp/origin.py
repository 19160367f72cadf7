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
from room_mcp.failures import OutcomeUnknown

FIRST_POLL_S = 1.0
LONGEST_POLL_S = 10.0

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

    def __init__(self, call: Call) -> None:
        self._call = call
        self._names: dict[str, str] = {}

    async def create_room(self, name: str) -> wire.RoomCreated:
        made = await self._call("POST", "/agent/demo/room", {"name": name})
        id = str(made.get("roomId") or made.get("id"))
        self._names[id] = name
        return wire.RoomCreated.model_validate(
            {**self._room(id, 0).model_dump(), "created": True, "owner_key": None}
        )

    async def rooms(self, ids: Sequence[str]) -> wire.Directory:
        found = [self._room(id, len(await self._history(id))) for id in ids or self._names]
        return wire.Directory(rooms=found, next_cursor=None, directory=0)

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
        content = post.content
        if post.type is not None and isinstance(content, dict) and "type" not in content:
            content = {"type": post.type, **content}
        body = {"sender": post.sender, "content": content}
        before = len(await self._history(room_id))
        lost: OutcomeUnknown | None = None
        try:
            await self._call("POST", f"/agent/rooms/{room_id}/messages", body)
        except OutcomeUnknown as error:
            lost = error
        new = (await self._history(room_id))[before:]
        own = [one for one in new if one.sender == post.sender and one.content == content]
        if not own:
            raise lost or OutcomeUnknown("The backend took the message and does not show it.")
        return wire.Posted.model_validate(
            {**own[0].model_dump(), "idempotent": False, "epoch": _NO_EPOCH}
        )

    async def messages(
        self, room_id: str, after: int | None, before: int | None, limit: int, wait_s: float
    ) -> wire.Page:
        deadline = time.monotonic() + wait_s
        pause_s = FIRST_POLL_S
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
        pause_s = FIRST_POLL_S
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
        """All messages, numbered by their place; everybody but the sender counts as woken."""
        answer = await self._call("GET", f"/agent/rooms/{room_id}/history")
        raw: list[dict[str, Any]] = answer.get("messages", [])
        senders = list(dict.fromkeys(str(one.get("sender", "")) for one in raw))
        return [
            wire.Message(
                id=str(one.get("id", seq)),
                seq=seq,
                room_id=room_id,
                sender=str(one.get("sender", "")),
                sender_type="agent",
                type=_type_of(one.get("content")),
                content=one.get("content"),
                timestamp=str(one.get("timestamp", "")),
                wakes=[name for name in senders if name != one.get("sender")],
            )
            for seq, one in enumerate(raw, 1)
        ]

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
