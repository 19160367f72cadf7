"""A SQLite store as one end of a move to or from another engine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from room_mcp.rooms.message import SYSTEM

from ...auditing import Entry
from ...interface import StoreUnavailable
from ...migrate.tables import (
    AUDIT,
    NO,
    OF_ROOMS,
    PAGE_ROWS,
    READINGS,
    ROOMS,
    TIMES,
    WHOLE,
    Facts,
    Head,
    Incoming,
    Row,
    Rows,
    Table,
)
from ...moved import moved_epoch, moved_to, sentence
from ...tokens import content_tokens
from .. import auditing, scrubbing
from ..connection import Database, SqlValue, connect_writer, must_be_sound
from ..migrating import NEVER_WRITTEN, migrate
from ..rows import insert, key_of, stored_epoch
from ..schema import open_locked, prepare_folder
from ..signals import NotifyFile
from . import places
from .backup import said_plainly

MOVE = "move"  # the act in the audit
FILLING = ".moving"  # behind the name of a file that is not whole yet
_LAST = (1 << 32) - 1  # no seq is higher
# In `meta` of a file that is not whole yet.
# `_AS` stays: killed then, `finish` only has to give the file its name.
_FROM, _AS, _DIRECTORY = "moving_from", "moving_as", "moving_directory"

# Of messages and features the key holds both numbers.
_BY_KEY = {"room_no": "key >> 32", "seq": f"key & {_LAST}"}
_EXPRESSIONS: Mapping[str, Mapping[str, str]] = {"messages": _BY_KEY, "features": _BY_KEY}
_MARKED = "(shown_to > 0 OR read_to > 0 OR seen_at IS NOT NULL OR waiting_until IS NOT NULL)"


class SqliteEnd:
    """What both ends can do. `_db` is there while one of them is in use."""

    _db: Database

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def where(self) -> str:
        return str(self.path)

    async def facts(self) -> Facts:
        db = self._db
        kept = dict(db.rows("SELECT name, value FROM meta"))
        no = db.value("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
        link = db.value("SELECT link FROM audit ORDER BY no DESC LIMIT 1")
        return Facts(
            kept["epoch"],
            kept["secret"],
            {name: kept[name] for name in TIMES if name in kept},
            self._directory(),
            no or 0,
            link or "",
        )

    def _directory(self) -> int:
        return int(self._db.value("SELECT coalesce(max(dir_rev), 0) FROM rooms"))

    async def heads(self, above: int, upto: int | None, limit: int) -> list[Head]:
        rows = self._db.rows(
            "SELECT no, rev, last_seq FROM rooms WHERE no > ? AND no <= ? ORDER BY no LIMIT ?",
            (above, _LAST if upto is None else upto, limit),
        )
        return [Head(*row) for row in rows]

    async def rooms(self, nos: Sequence[int]) -> list[Row]:
        rows = self._db.rows(
            f"SELECT {', '.join(ROOMS.columns)} FROM rooms"
            " WHERE no IN (SELECT value FROM json_each(?)) ORDER BY no",
            (json.dumps(list(nos)),),
        )
        return _told(ROOMS, rows)

    async def rows(self, table: Table, after: Mapping[int, int]) -> Rows:
        kept: list[Row] = []
        for no, seq in sorted(after.items()):
            for page in self._of_room(table, no, seq):
                kept += _told(table, page)
                if len(kept) >= PAGE_ROWS:
                    yield kept
                    kept = []
        if kept:
            yield kept

    def _of_room(self, table: Table, no: int, after: int) -> Iterator[Sequence[Row]]:
        columns = _columns(table)
        if table.name in _EXPRESSIONS:
            low, high = key_of(no, after + 1 if table.grows else 0), key_of(no, _LAST)
            query = f"SELECT {columns} FROM {table.name} WHERE key BETWEEN ? AND ? ORDER BY key"
            while page := self._db.rows(f"{query} LIMIT {PAGE_ROWS}", (low, high)):
                yield page
                low = key_of(no, page[-1][1] + 1)
                if len(page) < PAGE_ROWS:
                    return
        elif table.grows:
            yield from self._keys(f"SELECT {columns} FROM {table.name}", no, after)
        else:
            order = f"ORDER BY {', '.join(table.order)}" if table.order else ""
            yield self._db.rows(
                f"SELECT {columns} FROM {table.name} WHERE room_no = ? {order}", (no,)
            )

    def _keys(self, query: str, no: int, after: int) -> Iterator[Sequence[Row]]:
        """By sender and key, as they lie in the table."""
        last: tuple[str, str] = ("", "")
        while page := self._db.rows(
            f"{query} WHERE room_no = ? AND (sender, key) > (?, ?) AND seq > ?"
            f" ORDER BY sender, key LIMIT {PAGE_ROWS}",
            (no, *last, after),
        ):
            yield page
            last = (page[-1][1], page[-1][2])
            if len(page) < PAGE_ROWS:
                return

    async def whole(self, table: Table, above: int = 0) -> Rows:
        name, where = table.name, ""
        if table is READINGS:
            name, where = "members", f"WHERE {_MARKED}"
        query = f"SELECT {', '.join(table.columns)} FROM {name}"
        if table is not AUDIT:
            yield _told(table, self._db.rows(f"{query} {where} ORDER BY {', '.join(table.order)}"))
            return
        while page := self._db.rows(
            f"{query} WHERE no > ? ORDER BY no LIMIT ?", (above, PAGE_ROWS)
        ):
            yield page
            above = page[-1][0]

    async def counts(self) -> Mapping[str, int]:
        found = {
            table.name: int(self._db.value(f"SELECT count(*) FROM {table.name}"))
            for table in (ROOMS, *OF_ROOMS, *WHOLE, AUDIT)
            if table is not READINGS
        }
        marked = self._db.value(f"SELECT count(*) FROM members WHERE {_MARKED}")
        return {**found, READINGS.name: int(marked)}


class SqliteSource(SqliteEnd):
    """The file that is left; processes of this and of earlier versions go on using it meanwhile."""

    async def open(self) -> None:
        must_be_sound()
        places.must_exist(self.path)
        with said_plainly(self.path, self.path), places.locked(self.path):
            if not self._is_left():
                open_locked(self.path, making=False).db.close()

    def _is_left(self) -> bool:
        with places.reading(self.path) as db:
            has_meta = db.rows("SELECT 1 FROM sqlite_schema WHERE name = 'meta'")
            return bool(has_meta) and moved_to(stored_epoch(db)) is not None

    async def aclose(self) -> None:
        """Nothing is open between two moments."""

    async def left(self) -> str:
        epoch = stored_epoch(self._db)
        return epoch if moved_to(epoch) else ""

    @asynccontextmanager
    async def seen(self) -> AsyncGenerator[None]:
        with said_plainly(self.path, self.path), places.reading(self.path) as self._db:
            yield

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        with ExitStack() as stack:
            stack.enter_context(said_plainly(self.path, self.path))
            stack.enter_context(places.locked(self.path))
            self._db = stack.enter_context(_writing(self.path))
            self._db.run("BEGIN IMMEDIATE")
            yield  # what is not committed in between is rolled back

    async def leave(self, where: str, at: datetime) -> None:
        db = self._db
        # A process reads a room anew, and sees the note, when its number is another one.
        rev = 1 + int(db.value("SELECT coalesce(max(rev), 0) FROM rooms"))
        db.run("UPDATE rooms SET rev = ?1, dir_rev = ?1", (rev,))
        note = moved_epoch("", where, at)
        db.run(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('moved', ?), ('schema', ?)",
            (note, str(NEVER_WRITTEN)),
        )
        for table in (ROOMS, *OF_ROOMS, *WHOLE, AUDIT):
            _close(db, "members" if table is READINGS else table.name, sentence(note))
        db.run("COMMIT")
        with suppress(OSError):  # they look for themselves now and then
            notify = NotifyFile(self.path)
            notify.touch()
            notify.close()


def _close(db: Database, table: str, told: str) -> None:
    """Let nobody change a table: versions that do not know the note hear of it in this way."""
    words = told.replace("'", "''")
    for act in ("INSERT", "UPDATE", "DELETE"):
        db.run(
            f"CREATE TRIGGER IF NOT EXISTS moved_{table}_{act.lower()} BEFORE {act} ON {table}"
            f" BEGIN SELECT raise(ABORT, '{words}'); END"
        )


class SqliteTarget(SqliteEnd):
    """A new file. It is filled beside its place, and stands there when it is whole."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._part = places.beside(path, FILLING)
        self._is_open = False

    async def is_filled_from(self, identity: str, where: str) -> bool:
        if not self._part.exists():
            return False
        with said_plainly(self._part, self._part):
            db = connect_writer(self._part)
            try:
                known = dict(db.rows("SELECT name, value FROM meta"))
            finally:
                db.close()
        # One without the first has only to get its name.
        return known.get(_FROM, identity) == identity and known.get(_AS) == _hashed(where)

    async def open(self, identity: str) -> None:
        must_be_sound()
        prepare_folder(self.path)
        self._must_be_free()
        with said_plainly(self._part, self._part):
            with suppress(FileExistsError):
                os.close(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            self._db = connect_writer(self._part)
            self._is_open = True
            self._db.pragma("journal_mode", "WAL")
            migrate(self._db, self._part)
            known = dict(self._db.rows("SELECT name, value FROM meta"))
            if known.get(_FROM, identity) != identity:
                raise StoreUnavailable(
                    f"{self._part} holds rooms of another store.",
                    advice="Delete it, and begin anew.",
                )
            self._db.run(
                "INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", (_FROM, identity)
            )

    def _must_be_free(self) -> None:
        if self.path.exists():
            raise StoreUnavailable(
                f"{self.path} exists already.", advice="Name a new file, or move that one away."
            )

    async def aclose(self) -> None:
        if self._is_open:
            self._db.close()

    def _directory(self) -> int:
        kept = self._db.value("SELECT value FROM meta WHERE name = ?", (_DIRECTORY,))
        return int(kept or 0)

    async def put(self, incoming: Incoming, read: Callable[[Table], Rows]) -> None:
        with said_plainly(self._part, self._part), _transaction(self._db) as db:
            nos = json.dumps([row[NO] for row in incoming.rooms])
            self._forget(nos, json.dumps(list(incoming.anew)))
            if incoming.anew:
                scrubbing.note(db)
            columns = ", ".join(ROOMS.columns)
            insert(db, f"rooms ({columns}, dir_rev)", [(*row, 0) for row in incoming.rooms])
            for table in OF_ROOMS:
                async for page in read(table):
                    if page:
                        self._insert(table, page)
        self._db.checkpoint(emptying=False)  # else the WAL would become as large as the store

    def _forget(self, nos: str, anew: str) -> None:
        for table in OF_ROOMS:
            gone = anew if table.grows else nos
            if table.name not in _EXPRESSIONS:
                self._db.run(
                    f"DELETE FROM {table.name} WHERE room_no IN (SELECT value FROM json_each(?))",
                    (gone,),
                )
                continue
            for no in json.loads(gone):
                bounds = (key_of(no, 0), key_of(no, _LAST))
                self._db.run(f"DELETE FROM {table.name} WHERE key BETWEEN ? AND ?", bounds)
                if table.grows:
                    self._db.run("DELETE FROM words WHERE rowid BETWEEN ? AND ?", bounds)
        self._db.run("DELETE FROM rooms WHERE no IN (SELECT value FROM json_each(?))", (nos,))

    def _insert(self, table: Table, page: Sequence[Row]) -> None:
        if table.name not in _EXPRESSIONS:
            insert(self._db, f"{table.name} ({', '.join(table.columns)})", page)
            return
        rest = ", ".join(table.columns[2:])
        rows = [(key_of(no, seq), *others) for no, seq, *others in page]
        insert(self._db, f"{table.name} (key, {rest})", rows)
        if not table.grows:
            return
        at = table.columns.index("content")
        words: list[Sequence[SqlValue]] = [
            (key_of(row[0], row[1]), " ".join(found))
            for row in page
            if row[at] is not None and (found := content_tokens(json.loads(row[at])))
        ]
        insert(self._db, "words (rowid, tokens)", words)

    async def put_whole(self, table: Table, rows: Rows) -> None:
        with said_plainly(self._part, self._part), _transaction(self._db) as db:
            if table is READINGS:
                await self._put_readings(rows)
                return
            if table is not AUDIT:
                db.run(f"DELETE FROM {table.name}")
            async for page in rows:
                insert(db, f"{table.name} ({', '.join(table.columns)})", page)

    async def _put_readings(self, rows: Rows) -> None:
        self._db.run(
            "UPDATE members SET shown_to = 0, read_to = 0, seen_at = NULL, waiting_until = NULL"
            f" WHERE {_MARKED}"
        )
        async for page in rows:
            for no, key, *marks in page:
                self._db.run(
                    "UPDATE members SET shown_to = ?, read_to = ?, seen_at = ?, waiting_until = ?"
                    " WHERE room_no = ? AND skeleton = ?",
                    (*marks, no, key),
                )

    async def put_facts(self, facts: Facts) -> None:
        kept = {**facts.times, "epoch": facts.epoch, "secret": facts.secret}
        with _transaction(self._db) as db:
            db.run("DELETE FROM meta WHERE name IN (?, ?, ?)", TIMES)
            rows = [*kept.items(), (_DIRECTORY, str(facts.directory))]
            for row in rows:
                db.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", row)
            db.run("DELETE FROM sqlite_sequence WHERE name = 'audit'")
            db.run("INSERT INTO sqlite_sequence (name, seq) VALUES ('audit', ?)", (facts.audit_no,))

    async def note_left(self, where: str) -> None:
        row = (_AS, _hashed(where))
        self._db.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", row)

    async def finish(self, at: datetime) -> None:
        with said_plainly(self._part, self._part):
            if self._db.value("SELECT 1 FROM meta WHERE name = ?", (_FROM,)):
                self._settle_numbers(at)
            self._db.checkpoint(emptying=True)
            self._db.pragma("journal_mode", "DELETE")
            self._db.close()
            with places.locked(self.path):
                self._must_be_free()
                places.settle(self._part, self.path)

    def _settle_numbers(self, at: datetime) -> None:
        with _transaction(self._db) as db:
            # Here one number counts the commits of all rooms, and those of the directory.
            rev = int(db.value("SELECT coalesce(max(rev), 0) FROM rooms"))
            rev = 1 + max(rev, self._directory())
            db.run("UPDATE rooms SET rev = ?1, dir_rev = ?1", (rev,))
            db.run("DELETE FROM meta WHERE name IN (?, ?)", (_FROM, _DIRECTORY))
            auditing.append(db, [Entry(at, MOVE, name=SYSTEM, detail="from PostgreSQL")])


def _hashed(where: str) -> str:
    """A path as it stays in the store, where it is nobody's business."""
    return hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def _writing(path: Path) -> Generator[Database]:
    db = connect_writer(path)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _transaction(db: Database) -> Generator[Database]:
    db.run("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.run("ROLLBACK")
        raise
    db.run("COMMIT")


def _columns(table: Table) -> str:
    expressions = _EXPRESSIONS.get(table.name, {})
    return ", ".join(
        f"{expressions[name]} AS {name}" if name in expressions else name for name in table.columns
    )


def _told(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
    """Rows as both engines tell them."""
    if not table.booleans:
        return list(rows)
    are = [name in table.booleans for name in table.columns]
    return [
        tuple(bool(value) if is_one else value for value, is_one in zip(row, are, strict=True))
        for row in rows
    ]
