"""The commands that stay: `wait` until something is new, `watch` everything that comes."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

from . import TIMED_OUT, Failed, WrongUse, lines
from .reading import show_json
from .speaking import chosen_name, keyring, run

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

FIRST_SHOWN = 10  # messages that `watch ROOM` begins with
PAGE = 100


# ---- wait ---------------------------------------------------------------------------------------


def wait(args: argparse.Namespace) -> int:
    if args.room is None and args.after is not None:
        raise WrongUse("--after is a number in one room: name the ROOM too.")
    return run(_wait, args, patient=True)


async def _wait(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    deadline = time.monotonic() + (math.inf if args.timeout is None else args.timeout)
    name = chosen_name(args, settings)
    if args.room is None:
        return await _wait_in_all(client, args, name, deadline)
    return await _wait_in_one(client, args, settings, name, deadline)


async def _wait_in_one(
    client: RoomsClient, args: argparse.Namespace, settings: Settings, name: str, deadline: float
) -> int:
    from room_mcp.addressing import resolve

    room = await resolve(client, args.room)
    reader = _member(room, name)
    key = keyring(args, settings).member_key(room.id) if reader else ""
    after = args.after
    if after is None and not reader:
        after = room.last_seq
    while True:
        left_s = _left(deadline)
        page = await client.messages(
            room.id, after=after, limit=PAGE, wait_s=left_s, reader=reader, key=key
        )
        news = [one for one in page.messages if one.sender != reader]
        after = page.next_cursor
        if not news and not page.has_more and not page.closed and left_s > 0:
            continue
        if args.json:
            show_json(page)
        if news:
            if not args.json:
                _show_news(room, page, news)
            return 0
        if page.closed:
            raise Failed(f"{lines.quoted(room.name)} is closed; nothing more will come.")
        if not page.has_more:
            return TIMED_OUT


def _show_news(room: wire.Room, page: wire.Page, news: list[wire.Message]) -> None:
    for message in news:
        print(lines.message(message))
    if page.has_more:
        print(f"More: room-mcp history {room.id} --after {page.next_cursor}")


async def _wait_in_all(
    client: RoomsClient, args: argparse.Namespace, name: str, deadline: float
) -> int:
    followed = await Followed.start(client)
    while True:
        left_s = _left(deadline)
        updates = await followed.next(left_s)
        news = [
            (room, message)
            for room, messages in followed.news(updates)
            for message in messages
            if not (name and message.sender == _member(room, name))
        ]
        if not news and left_s > 0:
            continue
        if args.json:
            show_json(updates)
        else:
            for room, message in news:
                print(lines.message(message, room=room.name))
        return 0 if news else TIMED_OUT


def _left(deadline: float) -> float:
    """Seconds that the next request may wait; 0 when the time has run out."""
    from room_mcp.wire import MAX_WAIT_S

    return max(0.0, min(float(MAX_WAIT_S), deadline - time.monotonic()))


def _member(room: wire.Room, name: str) -> str:
    """The name as the room spells it, when it is a member; else empty."""
    from room_mcp.rooms import skeleton

    if not name:
        return ""
    return next((one for one in room.members if skeleton(one) == skeleton(name)), "")


# ---- watch --------------------------------------------------------------------------------------


def watch(args: argparse.Namespace) -> int:
    return run(_watch, args, patient=True)


async def _watch(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    if args.room is None:
        return await _watch_all(client, args)
    return await _watch_one(client, args)


async def _watch_one(client: RoomsClient, args: argparse.Namespace) -> int:
    from room_mcp.addressing import resolve
    from room_mcp.wire import MAX_WAIT_S

    room = await resolve(client, args.room)
    if args.format == "line":
        print(lines.heading(room), flush=True)
    page = await client.messages(room.id, limit=FIRST_SHOWN)
    cursor = page.last_seq
    while True:
        for message in page.messages:
            _show(message, args)
            cursor = message.seq
        if page.closed and cursor >= page.last_seq:
            return 0
        page = await client.messages(room.id, after=cursor, limit=PAGE, wait_s=MAX_WAIT_S)


async def _watch_all(client: RoomsClient, args: argparse.Namespace) -> int:
    from room_mcp.wire import MAX_WAIT_S

    followed = await Followed.start(client)
    if args.format == "line":
        print(f"Following {len(followed.rooms)} open rooms and new ones.", flush=True)
    while True:
        for room, messages in followed.news(await followed.next(MAX_WAIT_S)):
            for message in messages:
                _show(message, args, room.name)


def _show(message: wire.Message, args: argparse.Namespace, room: str = "") -> None:
    """One message, at once; nothing when it does not mention whom --mentions names."""
    if args.mentions and message.sender_type != "system" and not _is_for(message, args.mentions):
        return
    if args.format == "json":
        text = message.model_dump_json(by_alias=True)
    else:
        text = lines.message(message, room=room)
    print(text, flush=True)


def _is_for(message: wire.Message, name: str) -> bool:
    from room_mcp.rooms import skeleton

    wanted = skeleton(name.removeprefix("@"))
    return any(skeleton(one) == wanted for one in (*message.mentions, *message.to))


class Followed:
    """All open rooms at once, those too that are opened meanwhile."""

    def __init__(self, client: RoomsClient, found: wire.Directory) -> None:
        self._client = client
        self._directory = found.directory
        self._cursors = {room.id: room.last_seq for room in found.rooms}
        self.rooms = {room.id: room for room in found.rooms}

    @classmethod
    async def start(cls, client: RoomsClient) -> Followed:
        """From now on, in the most recently changed rooms, as many as can be followed at once."""
        from room_mcp.wire import MAX_UPDATE_ROOMS

        return cls(client, await client.rooms(closed=False, limit=MAX_UPDATE_ROOMS))

    async def next(self, wait_s: float) -> wire.Updates:
        """What is new, waiting for it; rooms that were opened are followed from their start."""
        updates = await self._client.updates(
            self._cursors, directory=self._directory, wait_s=wait_s
        )
        if updates.directory is not None and updates.directory != self._directory:
            await self._look_for_rooms()
        return updates

    def news(self, updates: wire.Updates) -> list[tuple[wire.Room, list[wire.Message]]]:
        """The messages of an answer by room; closed and removed rooms are followed no longer."""
        found: list[tuple[wire.Room, list[wire.Message]]] = []
        for update in updates.rooms:
            if update.messages:
                found.append((self.rooms[update.room_id], update.messages))
            ended = update.lifecycle is None or update.lifecycle == "closed"
            if ended and not update.has_more:
                self._cursors.pop(update.room_id, None)
            else:
                # Without messages the room was set back; its own number counts then.
                last = update.messages[-1].seq if update.messages else update.last_seq
                self._cursors[update.room_id] = last
        return found

    async def _look_for_rooms(self) -> None:
        from room_mcp.wire import MAX_UPDATE_ROOMS

        listed = await self._client.rooms(limit=MAX_UPDATE_ROOMS)
        self._directory = listed.directory
        for room in listed.rooms:
            is_new = room.id not in self.rooms
            self.rooms[room.id] = room
            if is_new:
                self._follow(room)

    def _follow(self, room: wire.Room) -> None:
        from room_mcp.wire import MAX_UPDATE_ROOMS

        if len(self._cursors) >= MAX_UPDATE_ROOMS:
            quiet = next(iter(self._cursors))
            self._cursors.pop(quiet)
        self._cursors[room.id] = 0
