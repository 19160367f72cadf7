"""Completing what a person types for a prompt or a resource: rooms, and who is in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

from room_mcp import wire
from room_mcp.addressing import AddressError, resolve
from room_mcp.client import RoomsClient
from room_mcp.failures import BackendError

from .prompts import PROMPTS, ROOM, TO
from .resources import SCHEME

MAX_VALUES = 100  # as the protocol has it


async def completed(
    client: RoomsClient,
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion:
    """Values for an argument, the likeliest first; none where nothing can be known."""
    if not _is_ours(ref):
        return _some(())
    try:
        if argument.name == ROOM:
            return _some(await _rooms(client, argument.value))
        if argument.name == TO:
            chosen = (context.arguments or {}) if context else {}
            return _some(await _members(client, chosen.get(ROOM, ""), argument.value))
    except (BackendError, AddressError):
        pass  # a menu without suggestions, while the call itself will say what is wrong
    return _some(())


def _is_ours(ref: PromptReference | ResourceTemplateReference) -> bool:
    if isinstance(ref, PromptReference):
        return ref.name in PROMPTS
    return ref.uri.startswith(SCHEME)


async def _rooms(client: RoomsClient, typed: str) -> Iterable[str]:
    """What the rooms are called, the open ones first: by name, or by id where a name means another
    room or none in particular."""
    wanted = typed.strip()
    listed = (await client.rooms(query=wanted, limit=MAX_VALUES + 1)).rooms
    found = [room for room in listed if wanted.casefold() in room.name.casefold()]
    found.sort(key=lambda room: (room.lifecycle == "closed", not _begins(room.name, wanted)))
    meant: dict[str, list[wire.Room]] = {}
    for room in found:
        meant.setdefault(room.name, []).append(room)
    return [room.name if _is_meant(room, meant[room.name]) else room.id for room in found]


def _is_meant(room: wire.Room, namesakes: Sequence[wire.Room]) -> bool:
    """Whether the name alone leads to this room: an open one goes before closed ones."""
    likely = [one for one in namesakes if one.lifecycle != "closed"] or namesakes
    return [one.id for one in likely] == [room.id]


async def _members(client: RoomsClient, room: str, typed: str) -> Iterable[str]:
    """The members of the room that was chosen before."""
    if not room:
        return ()
    members = (await resolve(client, room)).members
    return [name for name in members if _begins(name, typed)]


def _begins(name: str, typed: str) -> bool:
    return name.casefold().startswith(typed.strip().casefold())


def _some(values: Iterable[str]) -> Completion:
    found = list(values)
    more = len(found) > MAX_VALUES
    return Completion(values=found[:MAX_VALUES], total=None if more else len(found), has_more=more)
