"""Whether what is kept of each room fits together: the log, its counters, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from room_mcp.rooms import Message, Room, skeleton
from room_mcp.rooms.chain import verified
from room_mcp.rooms.guard import Features
from room_mcp.rooms.names import folded

from ...codec import moment, room_from
from ...tokens import content_tokens
from ..connection import Database
from ..rows import key_of, messages_where
from .faults import REPORT, RESTORE, Fault
from .places import Progress, silent

PAGE_MESSAGES = 1_000  # of a chained room, in memory at a time
EXAMPLES = 3  # numbers that a sentence names

# Tables that hold something of rooms, and how a row tells of which.
_OF_ROOMS = (
    ("keys", "room_no"),
    ("members", "room_no"),
    ("contracts", "room_no"),
    ("memories", "room_no"),
    ("messages", "key >> 32"),
    ("features", "key >> 32"),
    ("words_docsize", "id >> 32"),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A room's row, and where its messages lie."""

    no: int
    id: str
    last_seq: int
    lifecycle: str
    listed: bool
    name_key: str
    searchable: str
    owner: str
    state: str
    contract: str | None

    @property
    def bounds(self) -> dict[str, int]:
        return {"low": key_of(self.no, 0), "high": key_of(self.no + 1, 0) - 1}


_ROWS = (
    "SELECT no, id, last_seq, lifecycle, listed, name_key, searchable, owner, state, source"
    " FROM rooms LEFT JOIN contracts ON room_no = no WHERE state IS NOT NULL AND no > ?"
    " ORDER BY no LIMIT 100"
)


def faults(db: Database, progress: Progress = silent) -> Iterator[Fault]:
    """Of all rooms, and of what belongs to none."""
    db.function("is_text", _is_text)
    total = int(db.value("SELECT coalesce(sum(last_seq), 0) FROM rooms"))
    done = 0
    for row in _rows(db):
        yield from _of_room(db, row)
        done += row.last_seq
        progress(done, total)
    yield from _of_nobody(db)
    yield from _of_tombstones(db)


def gaps(db: Database) -> Iterator[Fault]:
    """Of all rooms, as every version kept them: whether messages are missing."""
    db.function("is_text", _is_text)
    for no, id, last_seq in db.rows("SELECT no, id, last_seq FROM rooms WHERE state IS NOT NULL"):
        yield from _of_log(db, _Row(no, id, last_seq, "", False, "", "", "", "", None))


def _rows(db: Database) -> Iterator[_Row]:
    no = -1
    while rows := db.rows(_ROWS, (no,)):
        for row in rows:
            yield _Row(*row)
        no = int(rows[-1][0])


def _of_room(db: Database, row: _Row) -> Iterator[Fault]:
    yield from _of_log(db, row)
    yield from _of_words(db, row)
    yield from _of_keys(db, row)
    yield from _of_memory(db, row)
    try:
        room = room_from(row.id, row.state, row.contract)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Fault("state", f"Its state cannot be read ({type(error).__name__}).", RESTORE, row.id)
        return
    if row.contract is None:
        yield Fault("contract", "Its contract is missing.", RESTORE, row.id)
    yield from _of_state(db, row, room)
    yield from _of_members(db, row, room)
    if room.chain is not None:
        found = verified(_messages(db, row), room.chain)
        if found.broken_at is not None:
            # What the verification says of it names numbers only.
            detail = f"Its chain of hashes is broken at #{found.broken_at}: {found.problem}."
            yield Fault("chain", detail, RESTORE, row.id)


# ---- the log ------------------------------------------------------------------------------------


def _of_log(db: Database, row: _Row) -> Iterator[Fault]:
    """Numbers 1, 2, 3 … to the last, times that do not go back, contents that can be read."""
    ((count, low, high, unreadable),) = db.rows(
        "SELECT count(*), min(key), max(key),"
        " total(NOT json_valid(content) OR NOT is_text(CAST(content AS BLOB)))"
        " FROM messages WHERE key BETWEEN :low AND :high",
        row.bounds,
    )
    wanted = (row.last_seq, key_of(row.no, 1), key_of(row.no, row.last_seq))
    if row.last_seq == 0:
        wanted = (0, None, None)
    if (count, low, high) != wanted:
        detail = f"It should have {row.last_seq} messages and has {count}{_missing(db, row)}."
        yield Fault("log", detail, RESTORE, row.id)
    if unreadable:
        yield Fault("log", f"{unreadable:.0f} messages cannot be read.", RESTORE, row.id)
    early = db.rows(
        "SELECT key & 0xffffffff FROM (SELECT key, at, lag(at) OVER (ORDER BY key) AS before"
        " FROM messages WHERE key BETWEEN :low AND :high) WHERE at < before LIMIT 3",
        row.bounds,
    )
    if early:
        detail = f"Times go back at {_numbers(early)}."
        yield Fault("log", detail, f"Finding messages by time may fail. {REPORT}", row.id)


def _is_text(kept: bytes | None) -> bool | None:
    """SQLite takes any bytes for a text; whoever reads them later does not."""
    if kept is None:
        return None
    try:
        kept.decode()
    except UnicodeDecodeError:
        return False
    return True


def _missing(db: Database, row: _Row) -> str:
    """The numbers behind the first gaps."""
    found = db.rows(
        "SELECT key & 0xffffffff FROM (SELECT key, lag(key, 1, :low) OVER (ORDER BY key) AS before"
        " FROM messages WHERE key BETWEEN :low AND :high) WHERE key <> before + 1 LIMIT 3",
        row.bounds,
    )
    return f"; something is missing before {_numbers(found)}" if found else ""


def _numbers(rows: list[tuple[int, ...]]) -> str:
    return ", ".join(f"#{seq}" for (seq,) in rows[:EXAMPLES])


def _messages(db: Database, row: _Row) -> Iterator[Message]:
    seq = 0
    while True:
        bounds = {"low": key_of(row.no, seq + 1), "high": key_of(row.no, seq + PAGE_MESSAGES)}
        page = messages_where(db, row.id, "key BETWEEN :low AND :high", bounds)
        yield from page
        seq += PAGE_MESSAGES
        if seq >= row.last_seq:
            return


# ---- the state ----------------------------------------------------------------------------------


def _of_state(db: Database, row: _Row, room: Room) -> Iterator[Fault]:
    """The counters agree with the rows, and the columns with the state."""
    ((size_bytes, last_at),) = db.rows(
        "SELECT coalesce(sum(octet_length(content)) FILTER (WHERE sender_type <> 'system'), 0),"
        " max(at) FILTER (WHERE key = :last) FROM messages WHERE key BETWEEN :low AND :high",
        {**row.bounds, "last": key_of(row.no, row.last_seq)},
    )
    agree = {
        "last number": room.last_seq == row.last_seq,
        "time of the last message": last_at is None or room.last_at == moment(last_at),
        # What an erasure itself says is not counted.
        "size": 0 <= size_bytes - room.size_bytes <= (size_bytes if room.erasures else 0),
        "lifecycle": room.lifecycle == row.lifecycle,
        "being listed": room.listed == bool(row.listed),
        "name": row.name_key == skeleton(room.name),
        "searched text": row.searchable == folded(f"{room.name}\n{room.purpose}"),
        "owner": row.owner == room.admission.owner,
    }
    if wrong := [what for what, agrees in agree.items() if not agrees]:
        detail = f"Its state does not agree with its rows: {', '.join(wrong)}."
        yield Fault("state", detail, RESTORE, row.id)


def _of_members(db: Database, row: _Row, room: Room) -> Iterator[Fault]:
    rows = db.rows(
        "SELECT skeleton, name, active, principal, max(shown_to, read_to) FROM members"
        " WHERE room_no = ?",
        (row.no,),
    )
    kept = {(key, name, bool(active), principal) for key, name, active, principal, _ in rows}
    wanted = {(key, one.name, one.active, one.principal) for key, one in room.members.items()}
    if kept != wanted:
        detail = f"{len(kept ^ wanted)} rows of its members do not agree with its state."
        yield Fault("members", detail, RESTORE, row.id)


# ---- what goes with the log ---------------------------------------------------------------------


def _of_words(db: Database, row: _Row) -> Iterator[Fault]:
    """What the index knows is there with a text, and what has words is in the index."""
    advice = f"Search may miss or show too much. {RESTORE}"
    ((extra,),) = db.rows(
        "SELECT count(*) FROM words_docsize AS w LEFT JOIN messages ON key = w.id"
        " WHERE w.id BETWEEN :low AND :high AND content IS NULL",
        row.bounds,
    )
    if extra:
        detail = f"The index has {extra} messages without a text."
        yield Fault("words", detail, advice, row.id)
    missing = 0
    unindexed = db.rows(
        "SELECT key FROM messages LEFT JOIN words_docsize AS w ON w.id = key"
        " WHERE key BETWEEN :low AND :high AND content IS NOT NULL AND w.id IS NULL",
        row.bounds,
    )
    for (key,) in unindexed:
        for one in messages_where(db, row.id, "key = :key AND json_valid(content)", {"key": key}):
            missing += one.content is not None and bool(content_tokens(one.content))
    if missing:
        yield Fault("words", f"The index lacks {missing} messages.", advice, row.id)


def _of_keys(db: Database, row: _Row) -> Iterator[Fault]:
    lost = db.value(
        "SELECT count(*) FROM keys WHERE room_no = ? AND seq NOT BETWEEN 1 AND ?",
        (row.no, row.last_seq),
    )
    if lost:
        detail = f"{lost} idempotency keys stand for messages that are not there."
        yield Fault("keys", detail, RESTORE, row.id)


def _of_memory(db: Database, row: _Row) -> Iterator[Fault]:
    """The guard's snapshot and what it has noted since; it makes them anew when they are gone."""
    advice = f"The guard against loops may judge a few messages wrongly. {REPORT}"
    found = db.row("SELECT seq, json_valid(data) FROM memories WHERE room_no = ?", (row.no,))
    heard_to, readable = found or (0, True)
    if not readable or heard_to > row.last_seq:
        yield Fault("memory", "The guard's memory of it cannot be right.", advice, row.id)
    bounds = row.bounds
    outside = db.value(
        "SELECT count(*) FROM features WHERE key BETWEEN :low AND :high"
        " AND key NOT BETWEEN :first AND :last",
        {**bounds, "first": key_of(row.no, heard_to + 1), "last": key_of(row.no, row.last_seq)},
    )
    if outside:
        detail = f"The guard has noted {outside} messages twice, or some that are not there."
        yield Fault("memory", detail, advice, row.id)
    notes = db.rows("SELECT data FROM features WHERE key BETWEEN :low AND :high", bounds)
    unreadable = sum(not _is_readable(str(data)) for (data,) in notes)
    if unreadable:
        detail = f"{unreadable} notes of the guard cannot be read."
        yield Fault("memory", detail, advice, row.id)


def _is_readable(data: str) -> bool:
    try:
        Features.from_json(data)  # None: of another version, which is no fault
    except (ValueError, KeyError, TypeError):
        return False
    return True


# ---- what belongs to no room --------------------------------------------------------------------


def _of_nobody(db: Database) -> Iterator[Fault]:
    """Rows whose room is not there, or was deleted."""
    known = {int(no) for (no,) in db.rows("SELECT no FROM rooms WHERE state IS NOT NULL")}
    for table, room_no in _OF_ROOMS:
        lost = [no for no in _room_nos(db, table, room_no) if no not in known]
        if lost:
            detail = f"{table} has rows of {len(lost)} rooms that are not there."
            yield Fault("orphans", detail, f"A removed text may still be there. {RESTORE}")


def _room_nos(db: Database, table: str, room_no: str) -> Iterator[int]:
    """The rooms that a table has rows of, by a look-up for each and not a scan."""
    column = room_no.partition(" ")[0]
    step = 1 if column == "room_no" else key_of(1, 0)
    at: int | None = 0
    while True:
        at = db.value(f"SELECT min({column}) FROM {table} WHERE {column} >= ?", (at,))
        if at is None:
            return
        no = int(at) // step
        yield no
        at = (no + 1) * step


def _of_tombstones(db: Database) -> Iterator[Fault]:
    wrong = db.value(
        "SELECT count(*) FROM rooms WHERE (state IS NULL) <> (lifecycle = 'deleted')"
        " OR (lifecycle = 'deleted' AND (name_key <> '' OR searchable <> '' OR listed))"
    )
    if wrong:
        detail = f"{wrong} rooms are neither whole nor deleted."
        yield Fault("tombstones", detail, RESTORE)
