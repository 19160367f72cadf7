"""From what somebody calls a room, its name, its id or the beginning of its id, to the room."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from room_mcp.plain import one_line

if TYPE_CHECKING:
    from room_mcp import wire
    from room_mcp.client import RoomsClient

LOOKED_THROUGH = 500  # rooms, the most that one answer of the directory holds
LONGEST_NAME = 100  # of a room: no longer one exists
SHORTEST_PREFIX = 4  # shorter ones fit by accident, and a message would reach the wrong room
SHOWN_ID_CHARS = 8
SHOWN_CANDIDATES = 5


class AddressError(Exception):
    """No single room is meant. `candidates` are the rooms that may be, the likeliest first."""

    def __init__(self, detail: str, advice: str, candidates: Sequence[wire.Room] = ()) -> None:
        super().__init__(f"{detail} {advice}".strip())
        self.detail = detail
        self.advice = advice
        self.candidates = tuple(candidates)


class NoSuchRoom(AddressError):
    """Nothing is called that."""


class AmbiguousRoom(AddressError):
    """Several rooms are."""


async def resolve(client: RoomsClient, room: str, *, archived: bool = False) -> wire.Room:
    """The room that is meant by a name, an id or a unique beginning of an id.

    A whole id means its room, listed or not, so that no name can stand in for an id. Otherwise
    an exact name goes first (an open room before closed ones), then the name in other case,
    then the beginning of an id of at least 4 characters. One request, unless nothing is found.

    Args:
        archived: Where no other room is meant, look among those that were archived.

    Raises:
        NoSuchRoom: With the rooms of the nearest names.
        AmbiguousRoom: With the rooms that fit.
        BackendError: The directory could not be read.
    """
    wanted = room.strip()
    if not wanted:
        raise NoSuchRoom("The room's name is empty.", "Say which room: its name or its id.")
    asked_by_id = _is_id(wanted) or bool(client.limits)
    if asked_by_id and (by_id := (await client.rooms(ids=[wanted])).rooms):
        return by_id[0]
    listed: Sequence[wire.Room] = ()
    if len(wanted) <= LONGEST_NAME:
        listed = (await client.rooms(query=wanted, limit=LOOKED_THROUGH)).rooms
    fitting = _fitting(listed, wanted)
    if archived and not fitting and len(wanted) <= LONGEST_NAME:
        away = await client.rooms(query=wanted, limit=LOOKED_THROUGH, archived=True)
        fitting = _fitting(away.rooms, wanted)
    # A backend that turns out to be the origin's lists no rooms, and its ids have any form.
    if not fitting and client.limits and not asked_by_id:
        fitting = (await client.rooms(ids=[wanted])).rooms
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise _ambiguous(fitting, wanted)
    if client.limits:
        raise NoSuchRoom(
            f"No room has the id {one_line(wanted)[:100]!r}.",
            "This backend has no directory: use the id that creation answered with.",
        )
    raise _unknown((await client.rooms(limit=LOOKED_THROUGH)).rooms, wanted)


def short_ids(rooms: Sequence[wire.Room]) -> dict[str, str]:
    """Id → the shortest beginning, of at least 8 characters, that none of the others share."""
    ids = sorted(room.id for room in rooms)
    length = SHOWN_ID_CHARS
    while len({id[:length] for id in ids}) < len(set(ids)):
        length += 1
    return {id: id[:length] for id in ids}


def _fitting(rooms: Sequence[wire.Room], wanted: str) -> list[wire.Room]:
    named = [room for room in rooms if room.name == wanted]
    named = named or [room for room in rooms if _folded(room.name) == _folded(wanted)]
    if named:
        return [room for room in named if room.lifecycle != "closed"] or named
    if len(wanted) < SHORTEST_PREFIX:
        return []
    return [room for room in rooms if room.id.startswith(wanted.lower())]


def _ambiguous(rooms: Sequence[wire.Room], wanted: str) -> AmbiguousRoom:
    short = short_ids(rooms)
    shown = [
        f"{short[room.id]} ({one_line(room.name)}, {_state(room)}, "
        f"{room.message_count} messages, changed {room.updated_at[:16].replace('T', ' ')})"
        for room in rooms[:SHOWN_CANDIDATES]
    ]
    more = len(rooms) - len(shown)
    tail = f"; {more} more" if more > 0 else ""
    return AmbiguousRoom(
        f"{len(rooms)} rooms fit {one_line(wanted)!r}.",
        f"Use the id of the one you mean: {'; '.join(shown)}{tail}.",
        rooms,
    )


def _unknown(rooms: Sequence[wire.Room], wanted: str) -> NoSuchRoom:
    by_name: dict[str, wire.Room] = {}
    for room in rooms:
        by_name.setdefault(_folded(room.name), room)
    near = difflib.get_close_matches(_folded(wanted), by_name, n=3, cutoff=0.5)
    candidates = [by_name[name] for name in near]
    names = ", ".join(f"{one_line(room.name)!r} ({_state(room)})" for room in candidates)
    if names:
        advice = f"Nearest: {names}."
    elif rooms:
        advice = "No name is near it; look through the list of rooms."
    else:
        advice = "There are no rooms here yet."
    return NoSuchRoom(f"No room is called {one_line(wanted)[:100]!r}.", advice, candidates)


def _state(room: wire.Room) -> str:
    if room.lifecycle == "closed" and room.outcome not in (None, "", "closed"):
        return f"closed: {one_line(room.outcome)}"
    return room.lifecycle


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
