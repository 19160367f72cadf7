"""Changing a store behind everybody's back, as a mistake, a person or a bad disk would."""

from __future__ import annotations

from pathlib import Path

import apsw


def damage(path: Path, *statements: str) -> None:
    """Run SQL on the file; also what the schema forbids, if it drops its triggers first."""
    db = apsw.Connection(str(path))
    db.pragma("ignore_check_constraints", 1)
    for one in statements:
        db.execute(one)
    db.close()


def smudge(path: Path, table: str) -> None:
    """Overwrite the page with the root of a table."""
    db = apsw.Connection(str(path))
    db.set_busy_timeout(5_000)
    db.pragma("wal_checkpoint(TRUNCATE)")  # all of it is in the file then
    page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).get
    page_bytes = db.pragma("page_size")
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
