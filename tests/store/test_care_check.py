"""A check finds what is damaged, each kind of it, and nothing in what is sound."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import apsw
import pytest
from damaging import damage, smudge
from store_talk import (
    NOON,
    a_room,
    closes,
    joins,
    key,
    leaves,
    new_room,
    nothing,
    pauses,
    says,
)

from room_mcp.store.auditing import Entry
from room_mcp.store.interface import StoreBusy, StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.check import check

NOBODY = 65534


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something in every table; not to be touched."""
    path = tmp_path_factory.mktemp("filled") / "rooms.db"
    anyio.run(fill, path)
    return path


@pytest.fixture
def rich(filled: Path, path: Path) -> Path:
    """The same, to be damaged."""
    path.parent.chmod(0o700)
    shutil.copy2(filled, path)
    return path


async def fill(path: Path) -> None:
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "one two", "three", "…")
    await store.act(room_id, joins("rex"), entry=Entry(NOON, "join", room_id=room_id, name="rex"))
    await store.act(room_id, says("four"), key=key(), entry=Entry(NOON, "post"))
    await store.act(room_id, leaves("rex"), entry=Entry(NOON, "leave"))
    await store.act(room_id, closes(), entry=Entry(NOON, "close"))
    chained, _ = await store.create(a_room("chained", chain=""))
    for text in ("x", "y", "z"):
        await store.act(chained.id, says({"text": text}))
    erased = await new_room(store, "secret", name="erased")
    await store.act(erased, pauses())
    await store.erase(erased, nothing)
    await store.act(await new_room(store, "more", name="also erased"), says("and more"))
    gone = await new_room(store, "gone", name="gone")
    await store.delete(gone, nothing)
    await store.aclose()


def kinds(path: Path) -> list[str]:
    return [fault.kind for fault in check(path)]


def test_a_sound_store_has_no_faults(rich: Path):
    before = rich.read_bytes()

    assert list(check(rich)) == []
    assert rich.read_bytes() == before


DAMAGES = {
    "a message is gone": ("log", "DELETE FROM messages WHERE key = (1 << 32) + 2"),
    "the last message is gone": ("log", "DELETE FROM messages WHERE key = (1 << 32) + 5"),
    "a message too many": (
        "log",
        "INSERT INTO messages (key, id, at, sender, sender_type, type, content)"
        " SELECT key + 50, id || 'x', at, sender, sender_type, type, content FROM messages"
        " WHERE key = (1 << 32) + 1",
    ),
    "a text that is no JSON": (
        "log",
        "UPDATE messages SET content = '{' WHERE key = (1 << 32) + 1",
    ),
    "a text that is no text": (
        "log",
        "UPDATE messages SET content = CAST(x'22ff22' AS TEXT) WHERE key = (1 << 32) + 1",
    ),
    "a state that is no text": (
        "database",
        "UPDATE rooms SET state = CAST(x'7bff7d' AS TEXT) WHERE no = 1",
    ),
    "a chained text that is no text": (
        "log",
        "UPDATE messages SET content = CAST(x'22ff22' AS TEXT) WHERE key = (2 << 32) + 2",
    ),
    "times go back": ("log", "UPDATE messages SET at = at - 1000000 WHERE key = (1 << 32) + 3"),
    "a text was changed": (
        "state",
        """UPDATE messages SET content = '"ha"' WHERE key & 0xff = 1""",
    ),
    "the counter is wrong": ("log", "UPDATE rooms SET last_seq = 9 WHERE no = 1"),
    "the state is no JSON": ("state", "UPDATE rooms SET state = '{' WHERE no = 1"),
    "the state lacks a field": (
        "state",
        "UPDATE rooms SET state = json_remove(state, '$.name') WHERE no = 1",
    ),
    "the state counts otherwise": (
        "state",
        "UPDATE rooms SET state = json_set(state, '$.last_seq', 77) WHERE no = 1",
    ),
    "the size is wrong": (
        "state",
        "UPDATE rooms SET state = json_set(state, '$.size_bytes', 77) WHERE no = 1",
    ),
    "the lifecycle is wrong": ("state", "UPDATE rooms SET lifecycle = 'open' WHERE no = 1"),
    "the name is wrong": ("state", "UPDATE rooms SET name_key = 'other' WHERE no = 1"),
    "a member is gone": ("members", "DELETE FROM members WHERE room_no = 1"),
    "a member is active again": ("members", "UPDATE members SET active = 1 - active"),
    "a contract is gone": ("contract", "DELETE FROM contracts WHERE room_no = 1"),
    "a contract is no JSON": ("state", "UPDATE contracts SET source = '{' WHERE room_no = 1"),
    "a key stands for nothing": ("keys", "UPDATE keys SET seq = 99"),
    "words are missing": ("words", "DELETE FROM words WHERE rowid = (1 << 32) + 1"),
    "words of a removed text": (
        "words",
        "INSERT INTO words (rowid, tokens) SELECT key, 'secret' FROM messages"
        " WHERE content IS NULL LIMIT 1",
    ),
    "a memory of what was never said": (
        "memory",
        "INSERT INTO memories (room_no, seq, data) VALUES (1, 99, '{}')",
    ),
    "a note of what was never said": (
        "memory",
        "INSERT INTO features (key, scored, data) VALUES ((1 << 32) + 99, 1, '[]')",
    ),
    "a chained text was changed": (
        "chain",
        """UPDATE messages SET content = replace(content, 'y', 'Y') WHERE key = (2 << 32) + 2""",
    ),
    "the head of a chain was changed": (
        "chain",
        "UPDATE rooms SET state = json_set(state, '$.chain', 'abc') WHERE no = 2",
    ),
    "messages of nobody": (
        "orphans",
        "UPDATE messages SET key = key + (90 << 32) WHERE key >> 32 = 3",
    ),
    "members of nobody": ("orphans", "UPDATE members SET room_no = 90 WHERE room_no = 3"),
    "a half deleted room": (
        "tombstones",
        "UPDATE rooms SET searchable = 'what it was' WHERE lifecycle = 'deleted'",
    ),
    "the audit was changed": (
        "audit",
        "DROP TRIGGER audit_is_as_it_was; UPDATE audit SET name = 'eve' WHERE no = 2;"
        " CREATE TRIGGER audit_is_as_it_was BEFORE UPDATE ON audit BEGIN SELECT 1; END",
    ),
    "the end of the audit is gone": (
        "audit",
        "DROP TRIGGER audit_stays; DELETE FROM audit WHERE no = (SELECT max(no) FROM audit);"
        " CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT 1; END",
    ),
    "the audit is not kept from changes": ("schema", "DROP TRIGGER audit_stays"),
    "an index is gone": ("schema", "DROP INDEX rooms_by_rev"),
    "a column is gone": ("schema", "ALTER TABLE messages DROP COLUMN reply_to"),
    "an index that does not fit": (
        "database",
        "PRAGMA writable_schema = 1;"
        " UPDATE sqlite_schema SET sql = 'CREATE INDEX messages_by_id ON messages (sender)'"
        " WHERE name = 'messages_by_id'; PRAGMA writable_schema = RESET",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damage_is_found(rich: Path, what: str):
    kind, statement = DAMAGES[what]
    damage(rich, statement)

    found = list(check(rich))

    assert kind in [fault.kind for fault in found]
    assert all(fault.detail.endswith(".") and fault.advice for fault in found)


@pytest.mark.parametrize("table", ["messages", "rooms", "words_data", "audit"])
def test_a_smudged_page_is_found(rich: Path, table: str):
    smudge(rich, table)

    assert kinds(rich) == ["database"] * len(kinds(rich)) != []


def test_what_is_no_database_at_all_is_a_fault(rich: Path):
    rich.write_bytes(b"garbage" * 1_000)

    assert kinds(rich) == ["database"]


def test_a_file_that_others_may_read_is_found(rich: Path):
    rich.chmod(0o644)

    (found,) = check(rich)

    assert (found.kind, found.mode) == ("permissions", "644")
    assert found.advice == f"chmod 600 {rich}"


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_a_folder_that_others_may_open_is_no_fault_of_a_store_that_they_may_not(
    rich: Path, mode: int
):
    rich.parent.chmod(mode)

    assert kinds(rich) == []


@pytest.mark.anyio
async def test_a_wal_that_nobody_empties_is_found(rich: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("room_mcp.store.sqlite.care.check.MAX_WAL_BYTES", 4_096)
    store = open_store(rich)
    await store.open()
    await new_room(store, "text", name="new")

    assert kinds(rich) == ["wal"]
    await store.aclose()


@pytest.mark.anyio
async def test_a_store_can_be_checked_while_it_is_used(rich: Path):
    store = open_store(rich)
    await store.open()
    room_id = await new_room(store, "text", name="new")

    found = check(rich)
    await store.act(room_id, says("meanwhile"))

    assert list(found) == []
    await store.aclose()


def test_a_store_of_an_earlier_version_is_checked_as_far_as_it_goes(tmp_path: Path):
    from room_mcp.store.sqlite.migrating import scripts

    old = tmp_path / "old.db"
    damage(
        old,
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "INSERT INTO meta VALUES ('schema', '1'), ('epoch', 'abc')",
        scripts()[1],
        "INSERT INTO rooms VALUES (1, 'id', 1, 1, 'open', 1, 2, 0, 'n', 'n', '{}')",
        "INSERT INTO messages (key, id, at, sender, sender_type, type)"
        " VALUES ((1 << 32) + 2, 'm', 0, 'ann', 'agent', 'note')",
    )

    assert [fault.kind for fault in check(old, files=False)] == ["log"]


def test_the_database_of_another_program_is_not_called_damaged(tmp_path: Path):
    damage(tmp_path / "other.db", "CREATE TABLE notes (text)")

    with pytest.raises(StoreUnavailable, match="not a room-mcp store"):
        list(check(tmp_path / "other.db"))


def test_tables_of_the_same_names_make_no_store(tmp_path: Path):
    tables = ("meta (name, value)", "rooms (a)", "messages (b)")
    damage(tmp_path / "other.db", *(f"CREATE TABLE {one}" for one in tables))

    with pytest.raises(StoreUnavailable, match="not a room-mcp store") as refused:
        list(check(tmp_path / "other.db", files=False))

    assert refused.value.advice


def raw_copy(store: Path, folder: Path) -> Path:
    """What `cp` makes of a store: still kept as one with a WAL, and nothing beside it."""
    folder.mkdir()
    return Path(shutil.copyfile(store, folder / "raw.db"))


def test_nothing_is_left_beside_a_raw_copy(rich: Path, tmp_path: Path):
    raw = raw_copy(rich, tmp_path / "raw")

    assert list(check(raw, files=False)) == []
    assert list(raw.parent.iterdir()) == [raw]


@pytest.mark.parametrize("name", ["raw.db", "link.db"])
def test_a_wal_beside_a_raw_copy_is_read_and_stays(rich: Path, tmp_path: Path, name: str):
    raw = raw_copy(rich, tmp_path / "raw")
    (raw.parent / "link.db").symlink_to(raw)
    db = apsw.Connection(str(raw))
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # as if it had been killed
    db.execute("DELETE FROM messages WHERE key = (1 << 32) + 2")
    db.close()
    wal = raw.with_name("raw.db-wal").read_bytes()

    found = [fault.kind for fault in check(raw.parent / name, files=False)]

    assert found[0] == "log"
    assert raw.with_name("raw.db-wal").read_bytes() == wal != b""


def test_a_copy_that_somebody_begins_to_use_is_not_judged(rich: Path, tmp_path: Path):
    raw = raw_copy(rich, tmp_path / "raw")
    found = check(raw, files=False, progress=lambda *_: using(raw))

    with pytest.raises(StoreBusy, match="began to use"):
        list(found)


def using(raw: Path) -> None:
    damage(raw, "INSERT OR REPLACE INTO meta VALUES ('later', 'x')")


@pytest.fixture
def shut(rich: Path) -> Iterator[Path]:
    """A folder with a raw copy, in which nothing can be written once `read_only` holds."""
    folder = Path(tempfile.mkdtemp())
    shutil.copyfile(rich, folder / "raw.db")
    (folder / "raw.db.lock").touch()
    yield folder
    shutil.rmtree(folder)


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Root gives up his rights, or nothing would stop him."""
    is_root = os.geteuid() == 0
    for file in folder.iterdir():
        file.chmod(0o600)
        os.chown(file, NOBODY if is_root else -1, -1)
    folder.chmod(0o555)
    try:
        if is_root:
            os.seteuid(NOBODY)
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_store_where_nothing_can_be_written_is_checked(shut: Path):
    with read_only(shut):
        found = list(check(shut / "raw.db"))

    assert found == []
    assert sorted(file.name for file in shut.iterdir()) == ["raw.db", "raw.db.lock"]


def test_a_wal_that_cannot_be_read_where_nothing_can_be_written_is_told(shut: Path):
    (shut / "raw.db-wal").write_bytes(b"newest messages" * 1_000)

    with read_only(shut), pytest.raises(StoreUnavailable, match=r"Copy raw\.db and"):
        list(check(shut / "raw.db", files=False))
