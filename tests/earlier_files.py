"""Store files as earlier versions left them, made of the migrations that were released by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from room_mcp.rooms import skeleton
from room_mcp.store.sqlite import migrating

META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"
WORDS = "words_"  # how the tables begin that the full-text index consists of

Schema = dict[tuple[str, str], str]


def file_of(path: Path, version: int) -> None:
    """A file that knows the migrations up to this one, and has nothing in it."""
    db = connected(path)
    db.pragma("journal_mode", "WAL")
    db.execute(META)
    db.execute("INSERT INTO meta VALUES ('epoch', 'cafecafe'), ('schema', ?)", (str(version),))
    db.execute("BEGIN")
    for number in range(1, version + 1):
        db.execute(migrating.scripts()[number])
    if version > migrating.LAST_BREAKING:
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (migrating.LAST_BREAKING,))
        db.execute("INSERT INTO meta VALUES ('expanded', ?)", (str(version),))
    db.execute("COMMIT")
    db.close()


def take_back(path: Path, version: int) -> None:
    """Leave in a file that nobody has open what that version would have known of it."""
    connected(path).close()  # the last one to close takes what is in the WAL along
    newer = path.rename(path.with_name("newer.db"))
    file_of(path, version)
    db = connected(path)
    db.execute("ATTACH ? AS newer", (str(newer),))
    there = {name: columns_of(db, "newer", name) for name in tables_of(db, "newer")}
    for name in tables_of(db, "main"):
        if name == "meta":
            continue
        columns = ", ".join(one for one in columns_of(db, "main", name) if one in there[name])
        if name.startswith(WORDS):
            db.execute(f"DELETE FROM main.{name}")
        db.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM newer.{name}")
    db.execute("REPLACE INTO meta SELECT * FROM newer.meta WHERE name IN ('epoch', 'secret')")
    db.close()
    for left in path.parent.glob("newer.db*"):
        left.unlink()


def connected(path: Path) -> Any:
    """The file as whoever runs the migrations has it, with what they call."""
    db: Any = apsw.Connection(str(path))
    db.create_scalar_function("skeleton", skeleton, 1, deterministic=True)
    return db


def tables_of(db: Any, schema: str) -> list[str]:
    """Those that rows can be copied of: the full-text index by the tables that it consists of."""
    found = db.execute(
        f"SELECT name FROM {schema}.sqlite_schema"
        " WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in found]


def columns_of(db: Any, schema: str, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA {schema}.table_info({table})")]


def schema_of(path: Path) -> Schema:
    """All that is in a file, by kind and name, as it was written down, whatever the spaces."""
    db = connected(path)
    found = db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    db.close()
    return {(kind, name): " ".join((sql or "").split()) for kind, name, sql in found}


def meta_of(path: Path) -> dict[str, str]:
    db = connected(path)
    found = dict(db.execute("SELECT name, value FROM meta").fetchall())
    db.close()
    return found
