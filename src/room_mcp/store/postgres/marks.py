"""How far members have read, as rows of `readings`."""

from __future__ import annotations

from collections.abc import Mapping

from ..interface import Reading
from ..marks import MarkKey, MarkRow, mark_row
from .database import Database

# Sorted, so that nodes that write the same rows at once never wait for each other in a ring.
# Members are held, so that whoever removes one waits until his mark can be seen and goes with him;
# one who is just being removed is passed over, and nobody is waited for. What another node has seen
# later stays.
_WRITE = """
    INSERT INTO readings AS kept (room_no, skeleton, shown_to, read_to, seen_at, waiting_until)
    SELECT rooms.no, members.skeleton, shown_to, read_to, seen_at, waiting_until
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            AS mark (room_id, key, shown_to, read_to, seen_at, waiting_until)
        JOIN rooms ON rooms.id = room_id AND lifecycle <> 'deleted'
        JOIN members ON members.room_no = rooms.no AND members.skeleton = key
    ORDER BY rooms.no, members.skeleton
    FOR KEY SHARE OF members SKIP LOCKED
    ON CONFLICT (room_no, skeleton) DO UPDATE SET
        shown_to = greatest(kept.shown_to, excluded.shown_to),
        read_to = greatest(kept.read_to, excluded.read_to),
        seen_at = greatest(kept.seen_at, excluded.seen_at),
        waiting_until = CASE WHEN excluded.seen_at < kept.seen_at
            THEN kept.waiting_until ELSE excluded.waiting_until END
"""


async def write(db: Database, marks: Mapping[MarkKey, Reading]) -> None:
    """Put marks into the members' rows; names that are no members are passed over."""
    if marks:
        rows = [(*key, *mark_row(one)) for key, one in marks.items()]
        await db.run(_WRITE, *(list(column) for column in zip(*rows, strict=True)))


async def read(db: Database, room_no: int) -> dict[str, tuple[str, Reading]]:
    """Name and reading of every member of a room, by skeleton."""
    rows = await db.rows(
        "SELECT skeleton, name, coalesce(shown_to, 0), coalesce(read_to, 0), seen_at, waiting_until"
        " FROM members LEFT JOIN readings USING (room_no, skeleton) WHERE room_no = $1",
        room_no,
    )
    return {key: (name, MarkRow(*row).reading) for key, name, *row in rows}
