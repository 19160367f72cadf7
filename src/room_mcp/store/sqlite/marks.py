"""How far members have read, as columns of their rows."""

from __future__ import annotations

from collections.abc import Mapping

from ..interface import Reading
from ..marks import MarkKey, MarkRow, mark_row
from .connection import Database


def write(db: Database, marks: Mapping[MarkKey, Reading]) -> None:
    """Put marks into the members' rows; names that are no members are passed over."""
    for (room_id, key), one in marks.items():
        db.run(
            "UPDATE members SET shown_to = max(shown_to, ?), read_to = max(read_to, ?),"
            " seen_at = coalesce(?, seen_at), waiting_until = ?"
            " WHERE room_no = (SELECT no FROM rooms WHERE id = ?) AND skeleton = ?",
            (*mark_row(one), room_id, key),
        )


def read(db: Database, room_no: int) -> dict[str, tuple[str, Reading]]:
    """Name and reading of every member of a room, by skeleton."""
    rows = db.rows(
        "SELECT skeleton, name, shown_to, read_to, seen_at, waiting_until FROM members"
        " WHERE room_no = ?",
        (room_no,),
    )
    return {key: (name, MarkRow(*row).reading) for key, name, *row in rows}
