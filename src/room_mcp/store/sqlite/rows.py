"""Messages as rows, and statements that carry many rows at once.

Every step of a statement gives up the interpreter lock, and getting it back from a busy event
loop takes milliseconds. Therefore many rows travel in one step: as one long VALUES list when
written, as one JSON text when read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from room_mcp.rooms import Message
from room_mcp.rooms.copying import changed

from ..cache import Kept
from ..codec import micros, moment, room_of, to_json, unknown_in
from .connection import Database, SqlValue

MAX_ROWS = 64  # per statement; lengths are powers of two, so that few statements are prepared

Row = Sequence[SqlValue]

MESSAGE_COLUMNS = (
    "key, id, at, sender, sender_type, type, content, addressees, reply_to, mentions, wakes, chain"
)


def key_of(room_no: int, seq: int) -> int:
    """The number under which a message is kept; one room's keys lie side by side."""
    return room_no << 32 | seq


def message_row(room_no: int, message: Message) -> Row:
    """The message in the order of `MESSAGE_COLUMNS`."""
    return (
        key_of(room_no, message.seq),
        message.id,
        micros(message.at),
        message.sender,
        message.sender_type,
        message.type,
        None if message.content is None else to_json(message.content),
        _names(message.to),
        message.reply_to,
        _names(message.mentions),
        _names(message.wakes),
        message.chain,
    )


def stored(db: Database, no: int, rev: int, id: str) -> Kept:
    """The room as the last commit left it."""
    row = db.row(
        "SELECT state, source, archived_at FROM rooms LEFT JOIN contracts ON room_no = no"
        " WHERE no = ?",
        (no,),
    )
    assert row is not None
    state, source, archived_at = row
    kept = json.loads(state)
    room = room_of(id, kept, source)
    if archived_at is not None and room.closing is not None:
        # A column of its own: versions that do not know it would drop it from the state.
        room = changed(room, archived_at=moment(archived_at))
    return Kept(no, rev, room, unknown_in(kept))


# With the note where the rooms were moved to, if they were; see `store.moved`. It is a row of its
# own, for earlier versions tell everybody the epoch.
STORED_EPOCH = (
    "(SELECT group_concat(value, '') FROM"
    " (SELECT value FROM meta WHERE name IN ('epoch', 'moved') ORDER BY name))"
)


def stored_epoch(db: Database) -> str:
    """The name of this copy of the store; a restored one has another."""
    return str(db.value(f"SELECT {STORED_EPOCH}"))


@lru_cache(maxsize=4_096)  # in a room the same few are woken again and again
def _names(names: tuple[str, ...]) -> str | None:
    return to_json(names) if names else None


# The content is joined in as it stands, never parsed by SQLite: it comes back as it was sent.
_AS_JSON = """
SELECT concat('[', group_concat(concat('[', concat_ws(',',
    key & 0xffffffff, json_quote(id), at, json_quote(sender), json_quote(sender_type),
    json_quote(type), coalesce(content, 'null'), coalesce(addressees, '[]'),
    coalesce(reply_to, 'null'), coalesce(mentions, '[]'), coalesce(wakes, '[]'), json_quote(chain)
), ']'), ','), ']') FROM messages WHERE {condition}
"""


def messages_where(
    db: Database, room_id: str, condition: str, bindings: Mapping[str, SqlValue]
) -> list[Message]:
    """The messages of a room for which an SQL condition holds, by seq."""
    found = db.value(_AS_JSON.format(condition=condition), bindings)
    return sorted(_decoded(room_id, str(found)), key=lambda message: message.seq)


def _decoded(room_id: str, rows: str) -> Iterator[Message]:
    for row in json.loads(rows):
        seq, id, at, sender, kind, type, content, to, reply_to, mentions, wakes, chain = row
        yield Message(
            room_id=room_id,
            seq=seq,
            id=id,
            at=moment(at),
            sender=sender,
            sender_type=kind,
            type=type,
            content=content,
            to=tuple(to),
            reply_to=reply_to,
            mentions=tuple(mentions),
            wakes=tuple(wakes),
            chain=chain,
        )


def insert(db: Database, into: str, rows: Sequence[Row], *, after: str = "") -> None:
    """Insert rows of one length, many per statement."""
    for some in _chunks(rows):
        db.run(f"INSERT INTO {into} {_values(len(some), len(some[0]))} {after}", _flat(some))


def rows_matching(db: Database, head: str, wanted: Sequence[Row], tail: str) -> list[Any]:
    """The rows of a query between whose `head` and `tail` the wanted rows stand as VALUES."""
    found: list[Any] = []
    for some in _chunks(wanted):
        query = f"{head} ({_values(len(some), len(some[0]))}) {tail}"
        found += db.rows(query, _flat(some))
    return found


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    while left := len(rows) - start:
        size = min(MAX_ROWS, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size


def _values(count: int, width: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return "VALUES " + ",".join([row] * count)


def _flat(rows: Iterable[Row]) -> list[SqlValue]:
    return [value for row in rows for value in row]
