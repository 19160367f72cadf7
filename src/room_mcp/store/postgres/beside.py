"""Writes what of a room changes less often than with each message."""

from __future__ import annotations

from room_mcp.rooms import Room, skeleton
from room_mcp.rooms.names import folded

from ..cache import Kept
from ..deciding import is_listed_otherwise, member_changes
from ..hearing import Hearing
from .database import Database
from .statements import as_columns


async def write_room(db: Database, before: Kept, room: Room) -> bool:
    """Write how it is listed, its members and its contract, where they are others now.

    Returns:
        Whether the directory has changed.
    """
    has_other_listing = is_listed_otherwise(before.room, room)
    if has_other_listing:
        await db.run(
            "UPDATE rooms SET lifecycle = $2, listed = $3, owner = $4, name_key = $5,"
            " searchable = $6 WHERE no = $1",
            before.no,
            room.lifecycle,
            room.listed,
            room.admission.owner,
            skeleton(room.name),
            folded(f"{room.name}\n{room.purpose}"),
        )
    if room.members is not before.room.members:
        await _write_members(db, before, room)
    if before.rev == 0 or room.contract != before.room.contract:
        await db.run(
            "WITH marked AS (UPDATE rooms SET contract_rev = rev + 1 WHERE no = $1)"
            " INSERT INTO contracts (room_no, source) VALUES ($1, $2)"
            " ON CONFLICT (room_no) DO UPDATE SET source = excluded.source",
            *(before.no, room.contract.source),
        )
    return has_other_listing


async def _write_members(db: Database, before: Kept, room: Room) -> None:
    there, gone = member_changes(before.room, room)
    if there:
        rows = [(key, one.name, one.active, one.principal) for key, one in there.items()]
        await db.run(
            "INSERT INTO members (room_no, skeleton, name, active, principal)"
            " SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[], $5::text[])"
            " ON CONFLICT (room_no, skeleton) DO UPDATE SET name = excluded.name,"
            " active = excluded.active, principal = excluded.principal",
            *(before.no, *as_columns(rows, len(rows[0]))),
        )
    for table in ("members", "readings") if gone else ():
        await db.run(
            f"DELETE FROM {table} WHERE room_no = $1 AND skeleton = ANY($2::text[])",
            *(before.no, list(gone)),
        )


async def write_hearing(db: Database, hearing: Hearing) -> None:
    """Write what the guard has heard, and its memory where a snapshot is due."""
    features, snapshots = hearing.written()
    if features:
        rows = [(no, one.seq, one.scored, one.features.to_json()) for no, one in features]
        await db.run(
            "INSERT INTO features (room_no, seq, scored, data) SELECT *"
            " FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::text[])",
            *as_columns(rows, len(rows[0])),
        )
    for no, seq, data in snapshots:
        await db.run(
            "INSERT INTO memories (room_no, seq, data) VALUES ($1, $2, $3)"
            " ON CONFLICT (room_no) DO UPDATE SET seq = excluded.seq, data = excluded.data",
            *(no, seq, data),
        )
        await db.run("DELETE FROM features WHERE room_no = $1 AND seq <= $2", no, seq)
