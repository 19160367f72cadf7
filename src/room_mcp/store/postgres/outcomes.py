"""Finds out what became of a commit that was not answered."""

from __future__ import annotations

from collections.abc import Mapping

from room_mcp.rooms import Message

from ..codec import state_from
from .batch import Batch
from .database import Database


async def is_stored(batch: Batch, db: Database) -> bool | None:
    """Whether an earlier try to commit this batch has succeeded; None: nobody can tell.

    Args:
        db: In a transaction that holds the same rooms: whoever has sent that COMMIT has ended.
    """
    if batch.messages:
        return await _is_said(batch.messages, db)
    for room in batch.changed():
        before = batch.loaded[room.id]
        row = await db.row("SELECT rev, state FROM rooms WHERE no = $1", before.no)
        if row is not None and row[0] == before.rev + 1:
            return row[1] == state_from(room, before.unknown)
        return False if row is not None and row[0] == before.rev else None
    return False  # nothing was to be stored


async def _is_said(messages: Mapping[tuple[int, int], Message], db: Database) -> bool | None:
    """Whether the first message of each room stands under its number, where the room is left."""
    first: dict[int, Message] = {}
    for (no, _), message in messages.items():
        first.setdefault(no, message)
    rows = await db.rows(
        "SELECT rooms.no, messages.id FROM unnest($1::bigint[], $2::bigint[]) AS said (no, seq)"
        " JOIN rooms ON rooms.no = said.no AND lifecycle <> 'deleted'"
        " LEFT JOIN messages ON room_no = said.no AND messages.seq = said.seq",
        *(list(first), [message.seq for message in first.values()]),
    )
    if not rows:
        return None  # all of these rooms are deleted by now
    return any(first[no].id == id for no, id in rows)
