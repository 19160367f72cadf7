"""Stores to move, and all that can be asked of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from postgres_databases import empty_database
from store_talk import (
    BUDGET_OF_40,
    NOON,
    OWNER,
    Decide,
    a_room,
    by_ann,
    closes,
    joins,
    key,
    leaves,
    new_room,
    nothing,
    pauses,
    says,
    stamp,
)

from room_mcp.rooms import Draft, Past, Room, Step
from room_mcp.rooms.chain import NO_HEAD
from room_mcp.store.callers import Invitation, ServerKey
from room_mcp.store.interface import Act, Reading, Store
from room_mcp.store.limiting import Quota
from room_mcp.store.migrate.copying import Copying
from room_mcp.store.migrate.moving import identity_of, move, source_at, target_at
from room_mcp.store.opening import open_store

UP, BACK = "to PostgreSQL", "to a file"
MINUTE = timedelta(minutes=1)


def ends(direction: str, folder: Path) -> tuple[str, str]:
    """Where the rooms are, and where they are moved to: nothing is there."""
    file, database = str(folder / "rooms.db"), empty_database()
    return (file, database) if direction == UP else (database, file)


def speaks(text: str, sender: str = "ann") -> Decide:
    """An act that posts, with the guard listening."""
    draft, ids = Draft(sender, text), stamp()

    def decide(room: Room, past: Past) -> Step:
        return room.post(draft, proof=OWNER, stamp=ids, past=past)

    return decide


def silent(done: int, total: int) -> None:
    """Nobody looks."""


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Store]:
    store = open_store(address)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


async def moved(source: str, target: str) -> Any:
    return await move(source, target, at=NOON, progress=silent)


async def half_moved(source: str, target: str) -> None:
    """What is left of a move that was killed before its last pass."""
    from_, to = source_at(source), target_at(target)
    await from_.open()
    async with from_.seen():
        await to.open(identity_of(await from_.facts()))
        await Copying(from_, to, silent).go()
    await to.aclose()
    await from_.aclose()


async def left_but_not_ended(source: str, target: str) -> None:
    """What is left of a move that was killed between its two last steps."""
    from_, to = source_at(source), target_at(target)
    await from_.open()
    async with from_.held():
        await to.open(identity_of(await from_.facts()))
        copying = Copying(from_, to, silent)
        await copying.go()
        await copying.end()
        await to.note_left(to.where)
        await from_.leave(to.where, NOON)
    await to.aclose()
    await from_.aclose()


async def fill(store: Store) -> list[str]:
    """The ids of rooms in all the states that there are."""
    talk = await new_room(store, name="talk", purpose="Ёжик 漢字")
    for number in range(3):
        await store.act(talk, says(f"walrus {number} 漢字"), key=key(f"k{number}"))
    await store.act(talk, says({"a": [1, None, "\0 ☃"]}, "bob", to=["ann"], reply_to=1, at=NOON))
    await store.act(talk, leaves("bob"), entry=by_ann("leave"))
    store.mark_read(talk, "ann", Reading(3, 2, NOON, NOON + MINUTE))
    chained, _ = await store.create(a_room("chained", chain=NO_HEAD, contract=BUDGET_OF_40))
    await store.act(chained.id, says("first"))
    await store.act(chained.id, says({"outcome": "done"}, type="decision"), entry=by_ann("close"))
    erased = await new_room(store, "secret", name="erased")
    await store.act(erased, says("hidden"), key=key())
    await store.erase(erased, nothing, entry=by_ann("erase"))
    gone = await new_room(store, "gone", name="gone")
    await store.delete(gone, nothing, entry=by_ann("delete"))
    paused = await new_room(store, name="paused", listed=False)
    await store.act(paused, pauses())
    closed = await new_room(store, "x", name="closed")
    await store.act(closed, closes())
    long = await new_room(store, name="long")
    await store.act(long, joins("Сlaude"))
    # So many that the guard's memory has a snapshot, and features behind it.
    words = [f"thing{n} costs {n}7 euro in shop{n}" for n in range(300)]
    for some in (words[:260], words[260:]):
        await store.act_all(long, [Act(speaks(word)) for word in some])
    owned, _ = await store.create(a_room("owned"), quota=Quota("subject", 5))
    await store.add_key(ServerKey("rks_1", "hash", "Ёжик", "human", True, NOON, NOON + MINUTE))
    await store.revoke_key("rks_1", NOON)
    await store.add_invitation(Invitation("code", "rex", "agent", NOON, NOON + MINUTE))
    await store.note_round(NOON, NOON + MINUTE)
    return [talk, chained.id, erased, gone, paused, closed, long, owned.id]


async def until_marked(store: Store, address: str, room_id: str) -> None:
    """Until what is only noted is written: others are shown it."""
    async with opened(address) as other:
        with anyio.fail_after(10):
            while (await other.readings(room_id))["ann"].shown_to == 0:
                await anyio.lowlevel.checkpoint()


async def everything(store: Store, room_ids: list[str]) -> dict[str, Any]:
    """All that the store answers about these rooms, and of what belongs to none."""
    heads = await store.heads(room_ids)
    there = [id for id in room_ids if heads[id].room is not None]
    return {
        "heads": heads,
        "epoch": store.epoch,
        "secret": store.secret,
        "pages": [await store.read(id, after=0, limit=500) for id in there],
        "readings": [await store.readings(id) for id in there],
        "seqs": [await store.seq_at(id, at=NOON, message_id=None) for id in there],
        "directory": await store.directory(listed_only=False),
        "stale": await store.stale(beyond=0, ended_only=False),
        "hits": await store.search("walrus 漢字", room_ids=there),
        "keys": await store.server_keys(),
        "quota": await store.rooms_of("subject"),
        "times": await store.times(),
        "audit": [one for one in (await store.audit()).entries if one.entry.act != "move"],
    }
