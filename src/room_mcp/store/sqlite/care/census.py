"""What a store holds, in numbers alone: nothing that anybody wrote, and no name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..connection import Database
from . import places
from .check import expected
from .places import beside

HASH_CHARS = 12  # enough to tell rooms apart, too few to find one by

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
_SIZES = "SELECT name, pgsize, ncell FROM dbstat WHERE aggregate = TRUE ORDER BY name"
_ROOMS = (
    "SELECT id, lifecycle, listed, last_seq, json_extract(state, '$.size_bytes'),"
    " json_extract(state, '$.erasures'), json_extract(state, '$.chain') IS NOT NULL,"
    " (SELECT count(*) FROM members WHERE room_no = no)"
    " FROM rooms WHERE state IS NOT NULL ORDER BY last_seq DESC LIMIT ?"
)
MAX_ROOMS = 1_000  # the largest; the others are counted


def census(db: Database, store: Path) -> dict[str, Any]:
    """Counts and sizes by table, the largest rooms under hashes, acts of the audit by outcome."""
    known = _known()
    # What is not of this version may be called anything.
    tables = [str(name) for (name,) in db.rows(_TABLES) if name in known]
    return {
        "meta": dict(
            db.rows("SELECT name, value FROM meta WHERE name IN ('schema', 'expanded', 'epoch')")
        ),
        "pages": {name: db.pragma(name) for name in ("page_size", "page_count", "freelist_count")},
        "files": {
            f"rooms.db{end}": places.size_bytes((beside(store, end),)) for end in ("", "-wal")
        },
        "rows": {
            table: int(db.value(f'SELECT count(*) FROM "{table}"'))
            for table in tables
            if table != "words"  # it counts by looking at all; its parts tell
        },
        "sizes": {name: size for name, size, _ in db.rows(_SIZES) if name in known},
        "lifecycles": dict(db.rows("SELECT lifecycle, count(*) FROM rooms GROUP BY lifecycle")),
        "rooms": [_room(db, *row) for row in db.rows(_ROOMS, (MAX_ROOMS,))],
        "audit": [
            {"act": act, "outcome": outcome, "count": count}
            for act, outcome, count in db.rows(
                "SELECT act, outcome, count(*) FROM audit GROUP BY act, outcome ORDER BY 3 DESC"
            )
        ],
    }


def _known() -> frozenset[str]:
    """The tables of this version, and what belongs to them."""
    names = {name for type, name in expected()[0] if type in ("table", "index")}
    own = {f"sqlite_autoindex_{name}_{number}" for name in names for number in (1, 2)}
    return frozenset({*names, *own, "sqlite_schema", "sqlite_sequence"})


def _room(
    db: Database,
    id: str,
    lifecycle: str,
    listed: int,
    last_seq: int,
    size_bytes: int,
    erasures: int,
    chained: int,
    members: int,
) -> dict[str, Any]:
    return {
        "room": hashed(db, id),
        "lifecycle": lifecycle,
        "listed": bool(listed),
        "messages": last_seq,
        "bytes": size_bytes,
        "erasures": erasures,
        "chained": bool(chained),
        "members": members,
    }


def hashed(db: Database, room_id: str) -> str:
    """A room's id as a report may tell it: the id itself is what lets one in."""
    secret = str(db.value("SELECT value FROM meta WHERE name = 'secret'") or "")
    return hashlib.sha256(f"{secret}{room_id}".encode()).hexdigest()[:HASH_CHARS]
