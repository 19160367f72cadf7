"""Whether a migration only expands: whoever knows nothing of it goes on as before.

It is run on a file of the version before it that holds something in every table, and the file is
looked at before and after. That sees more than reading the script would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
from earlier_files import connected, file_of, tables_of

# 0.1.0 inserts into these without naming the columns: one more, and it can write no more.
WITHOUT_NAMES = frozenset({"contracts", "features", "keys", "memories", "meta"})

Columns = dict[str, tuple[object, ...]]


def breaches(script: str, after: int, folder: Path) -> list[str]:
    """What in a migration an older version cannot work beside, a sentence each.

    Args:
        after: The version of the files that it is run on.
        folder: Where such a file is made.
    """
    path = folder / "before.db"
    path.unlink(missing_ok=True)
    file_of(path, after)
    db = connected(path)
    try:
        _fill(db)
        was = _File(db)
        db.execute("BEGIN")
        db.execute(script)
        db.execute("COMMIT")
        return list(_differences(was, _File(db)))
    except apsw.Error as error:
        return [f"it cannot be run on a file that holds something: {error}"]
    finally:
        db.close()


def _fill(db: Any) -> None:
    """A row in every table; what stands in it matters to no migration that only expands."""
    for table in tables_of(db, "main"):
        if table.startswith("words_"):
            continue
        kinds = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({table})")}
        row = {name: _value(name, kind) for name, kind in kinds.items()}
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", (*row.values(),))


def _value(name: str, kind: str) -> object:
    told = {"lifecycle": "open", "kind": "agent", "state": '{"name": "review"}'}.get(name, "x")
    return {"INTEGER": 1, "BLOB": b"x"}.get(kind, told)


class _File:
    """What can be seen of a file, as far as an older version depends on it."""

    def __init__(self, db: Any) -> None:
        found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        self.parts = {(kind, name): " ".join((sql or "").split()) for kind, name, _, sql in found}
        self.on = {(kind, name): table for kind, name, table, _ in found}
        self.columns: dict[str, Columns] = {
            table: {row[1]: row[2:] for row in db.execute(f"PRAGMA table_xinfo({table})")}
            for table in tables_of(db, "main")
        }
        self.unique = {
            name
            for table in self.columns
            for _, name, unique, *_ in db.execute(f"PRAGMA index_list({table})")
            if unique
        }
        self._db = db
        self.rows = {table: self.rows_of(table, [*of]) for table, of in self.columns.items()}

    def rows_of(self, table: str, columns: list[str]) -> list[tuple[object, ...]]:
        return self._db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()


def _differences(was: _File, now: _File) -> Iterator[str]:
    for kind, name in was.parts:
        if (kind, name) not in now.parts:
            yield f"the {kind} {name} is gone"
        elif kind != "table" and was.parts[kind, name] != now.parts[kind, name]:
            yield f"the {kind} {name} is another"
    for kind, name in now.parts.keys() - was.parts.keys():
        if now.on[kind, name] in was.columns:
            yield from _added(kind, name, now)
    for table in was.columns.keys() & now.columns.keys():
        yield from _changed(table, was, now)


def _added(kind: str, name: str, now: _File) -> Iterator[str]:
    """What is wrong with something new on a table that older versions write."""
    if kind == "trigger":
        yield f"the trigger {name} acts on what older versions write"
    if kind == "index" and name in now.unique:
        yield f"the index {name} refuses what older versions may write"
    if kind == "index" and "skeleton(" in now.parts[kind, name]:
        yield f"the index {name} calls a function that older versions do not have while they write"


def _changed(table: str, was: _File, now: _File) -> Iterator[str]:
    before, after = was.columns[table], now.columns[table]
    if [*after][: len(before)] != [*before] or any(after[one] != before[one] for one in before):
        yield f"the columns of {table} are not those that it had, and new ones behind them"
        return
    added = after.keys() - before.keys()
    if added and table in WITHOUT_NAMES:
        yield f"{table} gets a column, but 0.1.0 inserts into it without naming them"
    if _checks(now, table) > _checks(was, table):
        yield f"a new CHECK on {table} refuses what older versions may write"
    for column in added:
        _, not_null, default, _, hidden = after[column]
        if hidden or (not_null and default is None):
            yield f"{table}.{column} is written by nobody who does not know it"
    if now.rows_of(table, [*before]) != was.rows[table]:
        yield f"rows of {table} are changed"


def _checks(file: _File, table: str) -> int:
    return file.parts["table", table].upper().count("CHECK")
