"""Brings the tables of a database file up to date, by numbered scripts that each run once.

Versions work on one file side by side: a host can run for days while another one was upgraded.
So the scripts beyond `LAST_BREAKING` only expand, in the ways that tests/versions allows: new
tables and indexes, and columns that may be left out. Whoever is older goes on as if they were not
there. What a newer version has to remember belongs into such tables and columns, never into the
state of a room alone: 0.1.0 writes that JSON anew with the fields that it knows. Whoever deletes a
room removes only what he knows: rows of a new table outlive it, so they must hold no texts.

A script that was released is never edited. What is not named with its columns where it is
inserted (`keys`, `contracts`, `memories`, `features`, `meta` in 0.1.0) never gets a column.
"""

from __future__ import annotations

import secrets
from importlib.resources import files
from pathlib import Path

import apsw

from room_mcp.rooms import skeleton

from ..interface import StoreUnavailable
from ..moved import must_be_here
from .connection import Database
from .rows import stored_epoch

LAST_BREAKING = 4
"""The newest script that older versions cannot work beside; raised in a major version only."""

NEVER_WRITTEN = 1_000_000
"""The `schema` of a file whose rooms were moved away: every version refuses it."""


def migrate(db: Database, path: Path) -> None:
    """Run the scripts that the file has not seen, all or none; the caller holds the file lock.

    In `meta`, `schema` is the newest breaking script of the file: who does not know that one
    refuses the file. `expanded` is the newest one of all; 0.1.0 neither reads nor writes it.

    Raises:
        StoreUnavailable: A newer major version wrote the file, or another program did, or its
            rooms were moved away.
    """
    breaking = _breaking(db, path)
    if breaking == NEVER_WRITTEN:
        must_be_here(stored_epoch(db))
    if breaking > LAST_BREAKING:
        raise StoreUnavailable(
            f"{path} was written by a newer room-mcp (schema {breaking}; this one knows "
            f"{LAST_BREAKING}).",
            advice="Upgrade room-mcp: pip install --upgrade room-mcp",
        )
    known = scripts()
    newest = max(known)
    seen = max(breaking, _number(db, path, "expanded", "0"))
    if seen >= newest:
        return  # also the file of a newer version that only expanded it
    db.function("skeleton", skeleton)
    db.run("BEGIN IMMEDIATE")
    for number in range(seen + 1, newest + 1):
        db.run(known[number])
    db.run(
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?), ('expanded', ?)",
        (str(LAST_BREAKING), str(newest)),
    )
    db.run("COMMIT")


def scripts() -> dict[int, str]:
    """The migrations by number."""
    folder = files("room_mcp.store").joinpath("migrations", "sqlite")
    return {
        int(script.name.split("_")[0]): script.read_text("utf-8")
        for script in folder.iterdir()
        if script.name.endswith(".sql")
    }


def _breaking(db: Database, path: Path) -> int:
    """The newest breaking script; a new file gets its `meta` table here and has 0."""
    tables = {name for (name,) in db.rows("SELECT name FROM sqlite_schema")}
    if "meta" in tables:
        return _number(db, path, "schema")
    if tables:
        raise _foreign(path)
    db.run("BEGIN IMMEDIATE")
    db.run("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID")
    db.run(
        "INSERT INTO meta (name, value) VALUES ('schema', '0'), ('epoch', ?)",
        (secrets.token_hex(4),),
    )
    db.run("COMMIT")
    return 0


def _number(db: Database, path: Path, name: str, otherwise: str = "") -> int:
    """What `meta` says under a name; `expanded` is not there when only 0.1.0 was here."""
    try:
        kept = db.value("SELECT value FROM meta WHERE name = ?", (name,))
        return int(otherwise if kept is None else kept)
    except (apsw.SQLError, ValueError, TypeError):
        raise _foreign(path) from None  # it has a table of that name, too


def _foreign(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} is the database of another program.",
        advice="Name another file (ROOM_MCP_STORE, --store).",
    )
