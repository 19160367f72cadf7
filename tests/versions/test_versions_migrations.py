"""Migrations only expand: versions work on one file side by side, and a new file equals an old
one that was migrated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from expanding import breaches

from room_mcp.store.sqlite import migrating

NEWEST = max(migrating.scripts())

# A script that was released is never edited: files that it was run on do not run it again. A new
# one is added here on the day of its release.
RELEASED = {
    1: "9f99316b7534a8f73fa43ae7dc4d52f6c88e37cb038c6c6dc7484cd368f121b2",
    2: "23d886054454e3522efefb7052e6e21e8ce581f647803e3883344a3d941a71eb",
    3: "e14e4e4e0df14a8b47749f97420636c4dfbe69d7893461cd8ab43eb7bc018064",
    4: "aaf28a7d058a8abea5c06a94d9b37f55801f55d0a11373975b4f643180a0a66f",
    5: "5bfed19f5c061e6b2085c1871f1418a478142378f92089521138f2a4e7a379a7",
}

EXPANDING = {
    "a column that may be left out": "ALTER TABLE rooms ADD COLUMN seen_by TEXT",
    "a column with a constant": "ALTER TABLE members ADD COLUMN n INTEGER NOT NULL DEFAULT 0",
    "a table": "CREATE TABLE notes (room_no INTEGER PRIMARY KEY, n TEXT NOT NULL CHECK (n > ''))",
    "a table that refuses": "CREATE TABLE n (a); CREATE UNIQUE INDEX n_a ON n (a);"
    "CREATE TRIGGER n_stays BEFORE DELETE ON n BEGIN SELECT raise(ABORT, 'no'); END",
    "an index": "CREATE INDEX rooms_by_name_key ON rooms (name_key, listed)",
    "a view": "CREATE VIEW open_rooms AS SELECT id FROM rooms WHERE lifecycle = 'open'",
}
NOT_EXPANDING = {
    "a table is gone": "DROP TABLE invitations",
    "an index is gone": "DROP INDEX rooms_by_rev",
    "a trigger is gone": "DROP TRIGGER audit_stays",
    "a table has another name": "ALTER TABLE slots RENAME TO places",
    "a column has another name": "ALTER TABLE rooms RENAME COLUMN listed TO public",
    "a column is gone": "ALTER TABLE audit DROP COLUMN detail",
    "a column has another type": "DROP INDEX rates_by_due; DROP TABLE rates; CREATE TABLE rates"
    " (subject TEXT NOT NULL, kind TEXT NOT NULL, due_at TEXT NOT NULL,"
    " PRIMARY KEY (subject, kind)) STRICT, WITHOUT ROWID;"
    " CREATE INDEX rates_by_due ON rates (due_at)",
    "a column must be written": "CREATE TABLE new (subject TEXT NOT NULL, kind TEXT NOT NULL,"
    " holder TEXT NOT NULL, count INTEGER NOT NULL, until INTEGER NOT NULL, why TEXT NOT NULL,"
    " PRIMARY KEY (subject, kind, holder)) STRICT, WITHOUT ROWID;"
    " INSERT INTO new SELECT *, 'x' FROM slots; DROP TABLE slots; ALTER TABLE new RENAME TO slots",
    "a column without a value": "ALTER TABLE rooms ADD COLUMN a TEXT NOT NULL",
    "a column where none are named": "ALTER TABLE keys ADD COLUMN at INTEGER",
    "a check": "ALTER TABLE rooms ADD COLUMN kind TEXT CHECK (kind IN ('a', 'b'))",
    "a computed column": "ALTER TABLE rooms ADD COLUMN big INTEGER AS (last_seq > 1000) VIRTUAL",
    "a new order": "CREATE UNIQUE INDEX one_of_a_name ON rooms (name_key)",
    "a function of ours": "CREATE INDEX by_look ON members (skeleton(name))",
    "a trigger": "CREATE TRIGGER t BEFORE UPDATE ON rooms BEGIN SELECT raise(ABORT, 'no'); END",
    "another meaning": "UPDATE rooms SET updated_at = updated_at / 1000",
    "rows are gone": "DELETE FROM memories",
}


# ---- the scripts --------------------------------------------------------------------------------


def test_migrations_are_numbered_without_gaps():
    assert sorted(migrating.scripts()) == list(range(1, NEWEST + 1))


@pytest.mark.parametrize("number", RELEASED)
def test_a_released_migration_is_as_it_was(number: int):
    script = migrating.scripts()[number]

    assert hashlib.sha256(script.encode()).hexdigest() == RELEASED[number]


def test_the_migrations_of_a_release_are_those_of_today(release: Path):
    folder = release.joinpath("room_mcp", "store", "migrations", "sqlite")
    released = {int(one.name[:4]): one.read_text("utf-8") for one in folder.glob("*.sql")}

    today = migrating.scripts()
    assert released
    assert {number: today[number] for number in released} == released


@pytest.mark.parametrize("number", range(migrating.LAST_BREAKING + 1, NEWEST + 1))
def test_a_migration_only_expands(number: int, tmp_path: Path):
    assert breaches(migrating.scripts()[number], number - 1, tmp_path) == []


@pytest.mark.parametrize("script", EXPANDING.values(), ids=EXPANDING)
def test_what_older_versions_work_beside_is_allowed(script: str, tmp_path: Path):
    assert breaches(script, NEWEST, tmp_path) == []


@pytest.mark.parametrize("script", NOT_EXPANDING.values(), ids=NOT_EXPANDING)
def test_what_older_versions_cannot_work_beside_is_seen(script: str, tmp_path: Path):
    assert breaches(script, NEWEST, tmp_path)
