"""The commands that stay: `wait` until something is new, `watch` everything that comes."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

from room_mcp.plain import plain_json

from . import TIMED_OUT, Failed, WrongUse, lines
from .reading import show_json
from .speaking import chosen_name, keyring, run, speaker

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

    News = list[tuple[wire.Room, list[wire.Message]]]

FIRST_SHOWN = 10  # messages that `watch ROOM` begins with
PAGE = 100


# ---- wait ---------------------------------------------------------------------------------------


def wait(args: argparse.Namespace) -> int:
    if args.room is None and args.after is not None:
        raise WrongUse("--after is a number in one room: name the ROOM too.")
    return run(_wait, args, patient=True)


async def _wait(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    if args.room is not None:
        return await _wait_in_one(client, args, settings)
    if chosen_name(args, settings):
        return await _wait_as_member(client, args, settings)
    return await _wait_in_all(client, args)


async def _wait_in_one(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    deadline = _deadline(args)
    room = await resolve(client, args.room)
    if not room.epoch:  # shown from outside: who waits to be let in is no member yet
        return await _wait_at_the_door(client, room, deadline, args, settings)
    reader = _member(room, chosen_name(args, settings))
    key = keyring(args, settings).member_key(room.id) if reader else ""
    after: int | None = args.after
    if after is None and not reader:
        after = room.last_seq
    while True:
        left_s = _left(deadline)
        page = await client.messages(
            room.id, after=after, limit=PAGE, wait_s=left_s, reader=reader, key=key
        )
        news = [one for one in page.messages if one.sender != reader]
        after = page.next_cursor
        if news or (not page.has_more and (page.closed or left_s <= 0)):
            break
    if args.json:
        show_json(page)
    else:
        _show_news(room, page, news)
    if page.closed and not news:
        raise Failed(f"{lines.quoted(room.name)} is closed; nothing more will come.")
    return 0 if news else TIMED_OUT


async def _wait_at_the_door(
    client: RoomsClient,
    room: wire.Room,
    deadline: float,
    args: argparse.Namespace,
    settings: Settings,
) -> int:
    """Wait until the owner has decided; raises BackendRefused when he has sent the caller away."""
    name = speaker(args, settings)
    key = keyring(args, settings).member_key(room.id)
    page = await client.messages(room.id, limit=1, reader=name, pending=True, key=key)
    if page.pending and not args.json:
        print(f"The owner of {lines.quoted(room.name)} has not let you in yet.", flush=True)
    while page.pending and (left_s := _left(deadline)) > 0:
        page = await client.messages(
            room.id, limit=1, wait_s=left_s, reader=name, pending=True, key=key
        )
    if args.json:
        show_json(page)
    elif not page.pending:
        print(f"The owner of {lines.quoted(room.name)} has let you in.")
    return TIMED_OUT if page.pending else 0


def _show_news(room: wire.Room, page: wire.Page, news: list[wire.Message]) -> None:
    for message in news:
        print(lines.message(message))
    if news and page.has_more:
        print(f"More: room-mcp history {room.id} --after {page.next_cursor}")


async def _wait_in_all(client: RoomsClient, args: argparse.Namespace) -> int:
    deadline = _deadline(args)
    followed = await Followed.start(client)
    while True:
        left_s = _left(deadline)
        updates = await followed.next(left_s)
        news = followed.news(updates)
        if news or left_s <= 0:
            break
    _show_updates(args, updates, news)
    return 0 if news else TIMED_OUT


async def _wait_as_member(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    deadline = _deadline(args)
    followed = await Followed.start(client)
    while True:
        left_s = _left(deadline)
        updates, news = await _unread(client, args, settings)
        if news or left_s <= 0:
            break
        followed.news(await followed.next(left_s))
    _show_updates(args, updates, news)
    return 0 if news else TIMED_OUT


async def _unread(
    client: RoomsClient, args: argparse.Namespace, settings: Settings
) -> tuple[wire.Updates, News]:
    """What the member has not read in any of the rooms; being shown it, he has."""
    from room_mcp import wire

    name = chosen_name(args, settings)
    listed = await client.rooms(member=name, mine=True)
    updates: list[wire.Update] = []
    found: News = []
    for room in listed.rooms:
        reader = _member(room, name)
        if not (reader and room.unread):
            continue
        key = keyring(args, settings).member_key(room.id)
        page = await client.messages(room.id, limit=PAGE, reader=reader, key=key)
        news = [one for one in page.messages if one.sender != reader]
        if news:
            found.append((room, news))
            updates.append(
                wire.Update(
                    room_id=room.id,
                    last_seq=page.last_seq,
                    lifecycle=room.lifecycle,
                    outcome=page.outcome,
                    messages=page.messages,
                    has_more=page.has_more,
                )
            )
    epoch = listed.rooms[0].epoch if listed.rooms else ""
    return wire.Updates(rooms=updates, directory=listed.directory, epoch=epoch), found


def _show_updates(args: argparse.Namespace, updates: wire.Updates, news: News) -> None:
    if args.json:
        show_json(updates)
        return
    for room, messages in news:
        for message in messages:
            print(lines.message(message, room=room.name))


def _deadline(args: argparse.Namespace) -> float:
    return time.monotonic() + (math.inf if args.timeout is None else args.timeout)


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
    cursor = 0
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
        count = len(followed)
        rooms = "1 open room" if count == 1 else f"{count} open rooms"
        print(f"Following {rooms}, and new ones as they open.", flush=True)
    while True:
        for room, messages in followed.news(await followed.next(MAX_WAIT_S)):
            for message in messages:
                _show(message, args, room.name)


def _show(message: wire.Message, args: argparse.Namespace, room: str = "") -> None:
    """One message, at once; nothing when it does not mention whom --mentions names."""
    if args.mentions and message.sender_type != "system" and not _is_for(message, args.mentions):
        return
    if args.format == "json":
        text = plain_json(message.model_dump_json(by_alias=True))
    else:
        text = lines.message(message, room=room)
    print(text, flush=True)


def _is_for(message: wire.Message, name: str) -> bool:
    from room_mcp.rooms import skeleton

    wanted = skeleton(name.removeprefix("@"))
    return any(skeleton(one) == wanted for one in (*message.mentions, *message.to))


# ---- all rooms ----------------------------------------------------------------------------------


class Followed:
    """All open rooms at once, those too that are opened meanwhile.

    No more are followed than one request may name: the ones that changed most recently.
    """

    def __init__(self, client: RoomsClient, found: wire.Directory) -> None:
        self._client = client
        self._directory = found.directory
        self._rooms = {room.id: room for room in found.rooms}
        self._newest = max((room.created_at for room in found.rooms), default="")
        # The one that was silent for longest stands first, here and later.
        self._cursors = {
            room.id: room.last_seq for room in reversed(found.rooms) if room.lifecycle != "closed"
        }

    @classmethod
    async def start(cls, client: RoomsClient) -> Followed:
        """From now on."""
        return cls(client, await _directory(client))

    def __len__(self) -> int:
        return len(self._cursors)

    async def next(self, wait_s: float) -> wire.Updates:
        """What is new, waiting for it; rooms that were opened are followed from their start."""
        updates = await self._client.updates(
            self._cursors, directory=self._directory, wait_s=wait_s
        )
        if updates.directory is not None and updates.directory != self._directory:
            self._take_up(await _directory(self._client))
        return updates

    def news(self, updates: wire.Updates) -> News:
        """The messages of an answer by room; closed and removed rooms are followed no longer."""
        found: News = []
        for update in updates.rooms:
            if update.messages:
                found.append((self._rooms[update.room_id], update.messages))
            self._cursors.pop(update.room_id, None)
            if update.has_more or update.lifecycle in ("open", "paused"):
                # Without messages the room was set back; its own number counts then.
                last = update.messages[-1].seq if update.messages else update.last_seq
                self._cursors[update.room_id] = last
        return found

    def _take_up(self, found: wire.Directory) -> None:
        """Follow the rooms that are new, even if they are closed again already."""
        self._directory = found.directory
        for room in reversed(found.rooms):
            is_known = room.id in self._rooms
            self._rooms[room.id] = room
            if not is_known and room.created_at >= self._newest:
                self._cursors[room.id] = 0
        for id in list(self._cursors)[: -_most_rooms()]:
            del self._cursors[id]


async def _directory(client: RoomsClient) -> wire.Directory:
    return await client.rooms(limit=_most_rooms())


def _most_rooms() -> int:
    from room_mcp.wire import MAX_UPDATE_ROOMS

    return MAX_UPDATE_ROOMS
