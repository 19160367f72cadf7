"""Rooms and acts to try a store with."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from room_mcp.rooms import Checked, Draft, Past, Proof, Room, Stamp, Step, contract_from
from room_mcp.store.auditing import Entry, Recorded
from room_mcp.store.interface import IdempotencyKey, Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
OWNER = Proof(trusted=True)
BUDGET_OF_40 = contract_from({"terminal": [{"type": "decision"}], "budget": {"messages": 40}})

WAKE_S = 10.0  # that no signal takes

Decide = Callable[[Room, Past], Step]


def stamp(at: datetime = NOON) -> Stamp:
    return Stamp(at, (str(uuid.uuid4()), str(uuid.uuid4())))


def a_room(name: str = "review", **fields: Any) -> Room:
    return Room(id=str(uuid.uuid4()), name=name, created_at=NOON, **fields)


def says(content: Any, sender: str = "ann", *, at: datetime = NOON, **fields: Any) -> Decide:
    """An act that posts."""
    draft = Draft(sender, content, **fields)
    ids = stamp(at)

    def decide(room: Room, past: Past) -> Step:
        # Checked as where no guard is on: a store is tried with many equal messages.
        prepared = Checked(room.contract, tuple(endings(room, draft.type)))
        return room.post(draft, proof=OWNER, stamp=ids, past=past, prepared=prepared)

    return decide


def endings(room: Room, type: str) -> list[int]:
    return [at for at, rule in enumerate(room.contract.terminal) if rule.type == type]


def joins(name: str) -> Decide:
    return lambda room, _: room.join(name, proof=OWNER, stamp=stamp())


def leaves(name: str) -> Decide:
    return lambda room, _: room.leave(name, proof=OWNER, stamp=stamp())


def closes(by: str = "ann") -> Decide:
    ids = stamp()
    return lambda room, _: room.close(by, "done", proof=OWNER, stamp=ids)


def pauses(by: str = "ann") -> Decide:
    ids = stamp()
    return lambda room, _: room.pause(by, proof=OWNER, stamp=ids)


def nothing(room: Room, past: Past) -> Step:
    """Allows what is asked, and changes nothing itself."""
    return Step(room)


def key(value: str = "k1", *, sender: str = "ann", fingerprint: bytes = b"one") -> IdempotencyKey:
    return IdempotencyKey(sender, value, fingerprint)


async def new_room(store: Store, *texts: str, name: str = "review", **fields: Any) -> str:
    """The id of a room that holds these messages of ann's."""
    room, _ = await store.create(a_room(name, **fields))
    for text in texts:
        await store.act(room.id, says(text))
    return room.id


def by_ann(act: str) -> Entry:
    """What stands in the audit of an act of ann's."""
    return Entry(NOON, act, name="ann")


async def all_entries(store: Store) -> list[Recorded]:
    return list((await store.audit()).entries)


async def contents(store: Store, room_id: str) -> list[Any]:
    page = await store.read(room_id, after=0, limit=500)
    return [message.content for message in page.messages]


async def caught_up(store: Store, teller: Store) -> None:
    """The store has heard of all that the other one did before: it wakes for none of it later."""
    marker = await new_room(teller)
    async with store.watch([marker]) as watch:
        await teller.act(marker, says("here"))
        assert await watch.wait(WAKE_S)
