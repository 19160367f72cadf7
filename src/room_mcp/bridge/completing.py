"""Completing what a person types for a prompt or a resource: rooms, and who is in them."""

from __future__ import annotations

from collections.abc import Iterable

from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)

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
    """Names of rooms, the open ones first; the id where two rooms have one name."""
    listed = (await client.rooms(query=typed, limit=MAX_VALUES + 1)).rooms
    found = [room for room in listed if typed.strip().casefold() in room.name.casefold()]
    found.sort(key=lambda room: (room.lifecycle == "closed", not _begins(room.name, typed)))
    names: dict[str, str] = {}
    for room in found:
        names.setdefault(room.name, room.id)
    return [room.name if names[room.name] == room.id else room.id for room in found]


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
    return Completion(values=found[:MAX_VALUES], total=len(found), has_more=len(found) > MAX_VALUES)
