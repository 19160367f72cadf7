"""What is read from the database; every function runs inside one read transaction."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import apsw

from room_mcp.rooms import Room, skeleton
from room_mcp.rooms.names import folded
from room_mcp.rooms.refusals import RoomNotFound

from ..cache import Kept, RoomCache
from ..codec import micros, moment, to_json
from ..interface import MAX_PAGE_MESSAGES, MAX_SCANNED, Head, Hit, Listed, Listing, Page
from ..moved import must_be_here
from ..tokens import is_half_pair, tokens
from .connection import Database, SqlValue
from .rows import STORED_EPOCH, key_of, messages_where, stored, stored_epoch


def rooms(db: Database, cache: RoomCache, room_ids: Collection[str]) -> dict[str, Kept]:
    """The rooms that exist among these ids."""
    found = db.value(
        "SELECT json_group_array(json_array(id, no, rev)) FROM rooms"
        " WHERE id IN (SELECT value FROM json_each(?)) AND lifecycle <> 'deleted'",
        (to_json(list(room_ids)),),
    )
    return {id: _kept(db, cache, id, no, rev) for id, no, rev in json.loads(str(found))}


def room(db: Database, cache: RoomCache, room_id: str) -> Kept:
    """Raises RoomNotFound."""
    row = db.row("SELECT no, rev FROM rooms WHERE id = ? AND lifecycle <> 'deleted'", (room_id,))
    if row is None:
        raise RoomNotFound("No room has this id.")
    return _kept(db, cache, room_id, *row)


def _kept(db: Database, cache: RoomCache, id: str, no: int, rev: int) -> Kept:
    kept = cache.get(id)
    if kept is None or kept.rev != rev:
        epoch = stored_epoch(db)
        must_be_here(epoch)
        kept = stored(db, no, rev, id)
        cache.found_epoch(epoch, rev)
        cache.put(kept)
    return kept


def heads(db: Database, cache: RoomCache, room_ids: Collection[str]) -> dict[str, Head]:
    found = rooms(db, cache, room_ids)
    return {
        id: Head(found[id].room.last_seq, found[id].room) if id in found else Head(0, None)
        for id in room_ids
    }


# ---- messages -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageWanted:
    """The arguments of `Store.read`."""

    after: int | None
    before: int | None
    limit: int
    max_bytes: int
    sender: str | None
    type: str | None


def read(db: Database, cache: RoomCache, room_id: str, wanted: PageWanted) -> Page:
    """A page of messages, as `Store.read` promises it."""
    no, _, room_now, _ = room(db, cache, room_id)
    forward = wanted.after is not None
    low = 1 + max(wanted.after or 0, 0) if forward else 1
    high = room_now.last_seq
    if wanted.before is not None:
        high = min(high, wanted.before - 1)
    if low > high:
        return Page((), None, None, has_more=False)
    filtered = wanted.sender is not None or wanted.type is not None
    if filtered:
        low, high = _scanned(low, high, forward)
    condition, names = _condition(db, no, wanted)
    limit = max(1, min(wanted.limit, MAX_PAGE_MESSAGES))
    picked = _picked(db, no, low, high, condition, names, forward=forward, limit=limit)
    kept = _within(picked, wanted.max_bytes)
    if not filtered and len(picked) < min(limit, high - low + 1):
        raise _damaged()
    if not filtered or len(kept) < len(picked) or len(picked) == limit:
        # The page ends at its last message, not at the end of what could be looked at.
        low, high = (low, kept[-1]) if forward else (kept[-1], high)
    messages = messages_where(
        db,
        room_id,
        f"key BETWEEN :low AND :high {condition}",
        {"low": key_of(no, low), "high": key_of(no, high), **names},
    )
    if not filtered and [message.seq for message in messages] != [*range(low, high + 1)]:
        raise _damaged()
    end = room_now.last_seq if wanted.before is None else min(room_now.last_seq, wanted.before - 1)
    has_more = high < end if forward else low > 1
    return Page(tuple(messages), low, high, has_more)


def _damaged() -> apsw.CorruptError:
    """Numbers have no gaps: where one lacks, SQLite was led astray by a page that is damaged."""
    return apsw.CorruptError("messages are missing")


def _scanned(low: int, high: int, forward: bool) -> tuple[int, int]:
    """The part of a stretch that one filtered page looks at."""
    if forward:
        return low, min(high, low + MAX_SCANNED - 1)
    return max(low, high - MAX_SCANNED + 1), high


def _condition(db: Database, no: int, wanted: PageWanted) -> tuple[str, dict[str, SqlValue]]:
    """The filters as SQL; a sender is known by any spelling of his name."""
    condition = ""
    names: dict[str, SqlValue] = {}
    if wanted.sender is not None:
        condition += " AND sender = :sender"
        row = db.row(
            "SELECT name FROM members WHERE room_no = ? AND skeleton = ?",
            (no, skeleton(wanted.sender)),
        )
        names["sender"] = wanted.sender if row is None else row[0]
    if wanted.type is not None:
        condition += " AND type = :type"
        names["type"] = wanted.type
    return condition, names


def _picked(
    db: Database,
    no: int,
    low: int,
    high: int,
    condition: str,
    names: dict[str, SqlValue],
    *,
    forward: bool,
    limit: int,
) -> list[tuple[int, int]]:
    """Seq and size of the messages of a page, in the direction of reading."""
    found = db.value(
        "SELECT json_group_array(json_array(seq, size)) FROM ("
        "SELECT key & 0xffffffff AS seq, coalesce(octet_length(content), 0) AS size"
        f" FROM messages WHERE key BETWEEN :low AND :high {condition}"
        f" ORDER BY key {'ASC' if forward else 'DESC'} LIMIT :limit)",
        {"low": key_of(no, low), "high": key_of(no, high), "limit": limit, **names},
    )
    pairs: list[tuple[int, int]] = [(seq, size) for seq, size in json.loads(str(found))]
    return sorted(pairs, reverse=not forward)


def _within(picked: list[tuple[int, int]], max_bytes: int) -> list[int]:
    """The seqs that fit; the first always does."""
    kept: list[int] = []
    total = 0
    for seq, size in picked:
        total += size
        if kept and total > max_bytes:
            break
        kept.append(seq)
    return kept


def seq_at(
    db: Database,
    cache: RoomCache,
    room_id: str,
    at: datetime | None,
    message_id: str | None,
) -> int:
    no, _, room_now, _ = room(db, cache, room_id)
    if message_id is not None:
        row = db.row(
            "SELECT key & 0xffffffff FROM messages WHERE id = ? AND key BETWEEN ? AND ?",
            (message_id, key_of(no, 0), key_of(no, room_now.last_seq)),
        )
        return 0 if row is None else int(row[0])
    if at is None:
        return 0
    # Times never go back within a room, and its numbers have no gaps.
    low, high, wanted = 0, room_now.last_seq, micros(at)
    while low < high:
        middle = (low + high + 1) // 2
        if db.value("SELECT at FROM messages WHERE key = ?", (key_of(no, middle),)) <= wanted:
            low = middle
        else:
            high = middle - 1
    return low


# ---- across rooms -------------------------------------------------------------------------------


def directory(db: Database, cache: RoomCache, wanted: Listing) -> list[Listed]:
    kept_away = "(archived_at IS NOT NULL AND lifecycle = 'closed')"
    conditions = ["lifecycle <> 'deleted'", kept_away if wanted.archived else f"NOT {kept_away}"]
    names: dict[str, SqlValue] = {"limit": max(0, wanted.limit)}
    if not wanted.include_closed:
        conditions.append("lifecycle <> 'closed'")
    if wanted.member is not None:
        conditions.append(
            "no IN (SELECT room_no FROM members WHERE skeleton = :member AND active = 1)"
        )
        names["member"] = skeleton(wanted.member)
    if wanted.listed_only and wanted.principal:
        conditions.append(
            "(listed OR owner = :principal OR no IN"
            " (SELECT room_no FROM members WHERE principal = :principal AND active = 1))"
        )
        names["principal"] = wanted.principal
    elif wanted.listed_only and wanted.member is None:
        conditions.append("listed")
    if wanted.query:
        conditions.append("(instr(searchable, :query) OR substr(id, 1, length(:query)) = :query)")
        names["query"] = folded(wanted.query)
    if wanted.before is not None:
        conditions.append("updated_at < :before")
        names["before"] = micros(wanted.before)
    rows = db.rows(
        f"SELECT id, no, rev, updated_at FROM rooms WHERE {' AND '.join(conditions)}"
        " ORDER BY updated_at DESC, no DESC LIMIT :limit",
        names,
    )
    return [
        Listed(_kept(db, cache, id, no, rev).room, moment(updated_at))
        for id, no, rev, updated_at in rows
    ]


def stale(
    db: Database,
    cache: RoomCache,
    before: datetime | None,
    beyond: int | None,
    ended_only: bool,
    limit: int,
) -> list[Listed]:
    kind = "lifecycle = 'closed'" if ended_only else "lifecycle <> 'deleted'"
    due: list[str] = []
    names: dict[str, SqlValue] = {"limit": max(0, limit)}
    if before is not None:
        due.append("updated_at < :before")
        names["before"] = micros(before)
    if beyond is not None:
        newest = "ORDER BY updated_at DESC, no DESC LIMIT :beyond"
        due.append(f"no NOT IN (SELECT no FROM rooms WHERE {kind} {newest})")
        names["beyond"] = max(0, beyond)
    if not due:
        return []
    rows = db.rows(
        f"SELECT id, no, rev, updated_at FROM rooms WHERE {kind} AND ({' OR '.join(due)})"
        " ORDER BY updated_at, no LIMIT :limit",
        names,
    )
    return [
        Listed(_kept(db, cache, id, no, rev).room, moment(updated_at))
        for id, no, rev, updated_at in rows
    ]


def directory_version(db: Database, cache: RoomCache) -> int:
    ((version, rev, epoch),) = db.rows(
        # Each maximum by itself: together they would be looked for in all rows.
        "SELECT (SELECT coalesce(max(dir_rev), 0) FROM rooms),"
        " (SELECT coalesce(max(rev), 0) FROM rooms),"
        f" {STORED_EPOCH}"
    )
    must_be_here(str(epoch))
    cache.found_epoch(str(epoch), int(rev))
    return int(version)


def search(
    db: Database, cache: RoomCache, query: str, room_ids: Collection[str], limit: int
) -> list[Hit]:
    match = _match(query)
    if not match or limit < 1:
        return []
    found: list[tuple[int, int, Room]] = []  # time, key, room; the newest first
    for kept in sorted(rooms(db, cache, room_ids).values(), key=_last_at, reverse=True):
        if len(found) == limit and _last_at(kept) <= found[-1][0]:
            break  # neither this room nor those after it have anything newer
        matching = _newest_matching(db, kept, match, limit)
        found = sorted(found + matching, key=lambda one: one[:2], reverse=True)[:limit]
    return [
        Hit(room, messages_where(db, room.id, "key = :key", {"key": key})[0])
        for _, key, room in found
    ]


def _last_at(kept: Kept) -> int:
    return 0 if kept.room.last_at is None else micros(kept.room.last_at)


def _newest_matching(
    db: Database, kept: Kept, match: str, limit: int
) -> list[tuple[int, int, Room]]:
    # A room's messages are a range of rowids, and the index goes straight to it. Joined with
    # the messages it would be read from its beginning.
    keys = db.value(
        "SELECT json_group_array(key) FROM (SELECT rowid AS key FROM words WHERE words MATCH ?"
        " AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?)",
        (match, key_of(kept.no, 0), key_of(kept.no, kept.room.last_seq), limit),
    )
    rows = db.rows(
        "SELECT at, key FROM messages WHERE key IN (SELECT value FROM json_each(?))", (keys,)
    )
    return [(at, key, kept.room) for at, key in rows]


def _match(query: str) -> str:
    """The query for the index: every token quoted, all of them wanted.

    One character of a script that is indexed by pairs stands for all pairs that begin with it.
    Beginnings of other words are not searched: the index would collect every message that holds
    such a word, once for each room.
    """
    return " ".join(f'"{token}"{"*" if is_half_pair(token) else ""}' for token in tokens(query))
