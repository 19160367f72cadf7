"""What is read from the database.

A statement sees the state of one moment; statements of a pooled connection do not see the same.
Therefore each question is one statement, or several in a transaction with a snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from room_mcp.rooms import skeleton
from room_mcp.rooms.names import folded
from room_mcp.rooms.refusals import RoomNotFound

from ..cache import Kept, RoomCache
from ..codec import micros, moment
from ..interface import (
    MAX_PAGE_MESSAGES,
    MAX_SCANNED,
    Head,
    Hit,
    Listed,
    Listing,
    Page,
    StoreUnavailable,
)
from ..marks import MAX_SEQ
from ..moved import must_be_here
from .database import SNAPSHOT, Database, Record
from .rows import (
    MESSAGE_COLUMNS,
    WANTED_ROOMS,
    Known,
    askable,
    message_from,
    room_columns,
    words_wanted,
)

_ROOMS = f"SELECT {room_columns()} FROM ({WANTED_ROOMS}) AS room"


async def rooms(db: Database, cache: RoomCache, room_ids: Collection[str]) -> dict[str, Kept]:
    """The rooms that exist among these ids."""
    if not room_ids:
        return {}
    known = Known.of(cache, room_ids)
    found = [
        known.kept(record, record["source"]) for record in await db.rows(_ROOMS, *known.values)
    ]
    return {kept.room.id: kept for kept in found}


async def room(db: Database, cache: RoomCache, room_id: str) -> Kept:
    """Raises RoomNotFound."""
    found = await rooms(db, cache, (room_id,))
    if room_id not in found:
        raise no_room()
    return found[room_id]


async def heads(db: Database, cache: RoomCache, room_ids: Collection[str]) -> dict[str, Head]:
    found = await rooms(db, cache, room_ids)
    return {
        id: Head(found[id].room.last_seq, found[id].room) if id in found else Head(0, None)
        for id in room_ids
    }


def no_room() -> RoomNotFound:
    return RoomNotFound("No room has this id.")


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

    @property
    def is_forward(self) -> bool:
        return self.after is not None

    @property
    def is_filtered(self) -> bool:
        return self.sender is not None or self.type is not None

    @property
    def first(self) -> int:
        """The lowest number that may be shown."""
        return 1 + min(max(self.after or 0, 0), MAX_SEQ)

    @property
    def last(self) -> int:
        """The highest, if the room has so many."""
        return MAX_SEQ if self.before is None else max(0, min(self.before - 1, MAX_SEQ))

    @property
    def most(self) -> int:
        return max(1, min(self.limit, MAX_PAGE_MESSAGES))


@lru_cache
def _page_statement(forward: bool) -> str:
    """The room, and the messages of a page, the first in the direction of reading first.

    Sizes are added up before anything long is fetched. `picked` counts the messages that would
    be shown if there were no limit of bytes.
    """
    order = "ASC" if forward else "DESC"
    low = "$4::bigint" if forward else "greatest($4::bigint, high - $6::bigint + 1)"
    high = "least(high, $4::bigint + $6::bigint - 1)" if forward else "high"
    return f"""
        SELECT message.*, room.last_seq AS room_last_seq,
            {room_columns("coalesce(place, 1) = 1")}
        FROM (
            SELECT wanted.*, least(last_seq, $5::bigint) AS high,
                coalesce((SELECT name FROM members WHERE room_no = no AND skeleton = $9), $10)
                    AS spelt
            FROM ({WANTED_ROOMS}) AS wanted
        ) AS room LEFT JOIN LATERAL (
            SELECT {MESSAGE_COLUMNS}, place, picked FROM (
                SELECT *, row_number() OVER sized AS place, count(*) OVER () AS picked,
                    sum(coalesce(octet_length(content), 0)) OVER sized AS bytes
                FROM (
                    SELECT {MESSAGE_COLUMNS} FROM messages
                    WHERE room_no = room.no AND seq BETWEEN {low} AND {high}
                        AND ($10::text IS NULL OR sender = spelt)
                        AND ($11::text IS NULL OR type = $11)
                    ORDER BY seq {order} LIMIT $7
                ) AS picked
                WINDOW sized AS (ORDER BY seq {order} ROWS UNBOUNDED PRECEDING)
            ) AS sized
            WHERE bytes <= $8::bigint OR place = 1
        ) AS message ON true
        ORDER BY place
    """


async def read(db: Database, cache: RoomCache, room_id: str, wanted: PageWanted) -> Page:
    """A page of messages, as `Store.read` promises it."""
    known = Known.of(cache, (room_id,))
    records = await db.rows(
        _page_statement(wanted.is_forward),
        *known.values,
        wanted.first,
        wanted.last,
        MAX_SCANNED if wanted.is_filtered else MAX_SEQ,
        wanted.most,
        wanted.max_bytes,
        None if wanted.sender is None else askable(skeleton(wanted.sender)),
        None if wanted.sender is None else askable(wanted.sender),
        None if wanted.type is None else askable(wanted.type),
    )
    if not records:
        raise no_room()
    known.kept(records[0], records[0]["source"])  # for whoever asks next
    return _page(room_id, wanted, records)


def _page(room_id: str, wanted: PageWanted, records: Sequence[Record]) -> Page:
    last_seq = int(records[0]["room_last_seq"])
    forward, filtered = wanted.is_forward, wanted.is_filtered
    low, end = wanted.first, min(last_seq, wanted.last)
    if low > end:
        return Page((), None, None, has_more=False)
    high = end
    if filtered and forward:
        high = min(high, low + MAX_SCANNED - 1)
    elif filtered:
        low = max(low, high - MAX_SCANNED + 1)
    picked = int(records[0]["picked"] or 0)
    messages = [message_from(room_id, record) for record in records] if picked else []
    if not forward:
        messages.reverse()
    if not filtered and picked < min(wanted.most, high - low + 1):
        raise _damaged(room_id)
    if not filtered or len(messages) < picked or picked == wanted.most:
        # The page ends at its last message, not at the end of what could be looked at.
        low, high = (low, messages[-1].seq) if forward else (messages[0].seq, high)
    if not filtered and [message.seq for message in messages] != [*range(low, high + 1)]:
        raise _damaged(room_id)
    return Page(tuple(messages), low, high, high < end if forward else low > 1)


def _damaged(room_id: str) -> StoreUnavailable:
    """Numbers have no gaps: where one lacks, rows were lost or an index is damaged."""
    return StoreUnavailable(
        f"Messages are missing in the room {room_id}: the database is damaged.",
        advice="Ask whoever keeps the database to check it (pg_amcheck), or to restore a backup.",
    )


_SEQ_OF_MESSAGE = """
    SELECT last_seq, coalesce(
        (SELECT seq FROM messages WHERE room_no = no AND messages.id = $2 AND seq <= last_seq), 0)
    FROM rooms WHERE rooms.id = $1 AND lifecycle <> 'deleted'
"""

# Times never go back within a room, and its numbers have no gaps: every step halves the stretch.
_SEQ_AT = """
    WITH RECURSIVE room AS (
        SELECT no, last_seq FROM rooms WHERE id = $1 AND lifecycle <> 'deleted'
    ), stretch (low, high) AS (
        SELECT 0::bigint, last_seq FROM room
        UNION ALL
        SELECT CASE WHEN at <= $2 THEN middle ELSE low END,
            CASE WHEN at <= $2 THEN high ELSE middle - 1 END
        FROM (
            SELECT *, (low + high + 1) / 2 AS middle FROM stretch, room WHERE low < high
        ) AS halved, LATERAL (
            SELECT at FROM messages WHERE room_no = halved.no AND seq = halved.middle
        ) AS message
    )
    SELECT last_seq, (SELECT low FROM stretch WHERE low = high) FROM room
"""


async def seq_at(
    db: Database,
    room_id: str,
    at: datetime | None,
    message_id: str | None,
) -> int:
    """As `Store.seq_at` promises it."""
    if message_id is not None:
        found = await db.row(_SEQ_OF_MESSAGE, askable(room_id), askable(message_id))
    else:
        wanted = -1 if at is None else micros(at)  # before all that was ever said
        found = await db.row(_SEQ_AT, askable(room_id), wanted)
    if found is None:
        raise no_room()
    _, seq = found
    if seq is None:
        raise _damaged(room_id)
    return int(seq)


# ---- across rooms -------------------------------------------------------------------------------


class _Asked:
    """Values of a statement that is put together: each is known by its number."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


async def directory(db: Database, cache: RoomCache, wanted: Listing) -> list[Listed]:
    kept_away = "(archived_at IS NOT NULL AND lifecycle = 'closed')"
    conditions = ["lifecycle <> 'deleted'", kept_away if wanted.archived else f"NOT {kept_away}"]
    asked = _Asked()
    if not wanted.include_closed:
        conditions.append("lifecycle <> 'closed'")
    if wanted.member is not None:
        member = asked(askable(skeleton(wanted.member)))
        conditions.append(
            f"no IN (SELECT room_no FROM members WHERE skeleton = {member} AND active)"
        )
    if wanted.listed_only and wanted.principal:
        principal = asked(askable(wanted.principal))
        conditions.append(
            f"(listed OR owner = {principal} OR no IN"
            f" (SELECT room_no FROM members WHERE principal = {principal} AND active))"
        )
    elif wanted.listed_only and wanted.member is None:
        conditions.append("listed")
    if wanted.query:
        query = asked(askable(folded(wanted.query)))
        conditions.append(f"(strpos(searchable, {query}) > 0 OR starts_with(id, {query}))")
    if wanted.before is not None:
        conditions.append(f"updated_at < {asked(micros(wanted.before))}")
    limit = asked(max(0, wanted.limit))
    return await _listed(
        db,
        cache,
        f"SELECT id, no, rev, updated_at FROM rooms WHERE {' AND '.join(conditions)}"
        f" ORDER BY updated_at DESC, no DESC LIMIT {limit}",
        asked,
    )


async def stale(
    db: Database,
    cache: RoomCache,
    before: datetime | None,
    beyond: int | None,
    ended_only: bool,
    limit: int,
) -> list[Listed]:
    kind = "lifecycle = 'closed'" if ended_only else "lifecycle <> 'deleted'"
    due: list[str] = []
    asked = _Asked()
    if before is not None:
        due.append(f"updated_at < {asked(micros(before))}")
    if beyond is not None:
        newest = f"ORDER BY updated_at DESC, no DESC LIMIT {asked(max(0, beyond))}"
        due.append(f"no NOT IN (SELECT no FROM rooms WHERE {kind} {newest})")
    if not due:
        return []
    return await _listed(
        db,
        cache,
        f"SELECT id, no, rev, updated_at FROM rooms WHERE {kind} AND ({' OR '.join(due)})"
        f" ORDER BY updated_at, no LIMIT {asked(max(0, limit))}",
        asked,
    )


async def _listed(db: Database, cache: RoomCache, statement: str, asked: _Asked) -> list[Listed]:
    """The rooms of a list; only those travel that are not known."""
    async with db.transaction(SNAPSHOT):
        records = await db.rows(statement, *asked.values)
        found = await rooms(db, cache, [str(id) for id, *_ in records])
    return [Listed(found[id].room, moment(updated_at)) for id, _, _, updated_at in records]


async def directory_version(db: Database, cache: RoomCache) -> int:
    record = await db.row(
        "SELECT (SELECT no FROM counters WHERE name = 'directory'),"
        " (SELECT value FROM meta WHERE name = 'epoch')"
    )
    assert record is not None
    version, epoch = record
    must_be_here(str(epoch))
    cache.found_epoch(str(epoch))
    return int(version)


_OF_MESSAGE = MESSAGE_COLUMNS.split(", ")

# The room travels with the newest of its messages.
_HITS = f"""
    SELECT {", ".join(f"message_{name}" for name in _OF_MESSAGE)},
        {room_columns("nth = 1")}
    FROM (
        SELECT wanted.*, {", ".join(f"message.{name} AS message_{name}" for name in _OF_MESSAGE)},
            row_number() OVER (PARTITION BY no ORDER BY message.at DESC, message.seq DESC) AS nth
        FROM ({WANTED_ROOMS}) AS wanted, LATERAL (
            SELECT {MESSAGE_COLUMNS} FROM messages
            WHERE room_no = no AND seq <= last_seq AND words @@ $4::text::tsquery
            ORDER BY seq DESC LIMIT $5
        ) AS message
        ORDER BY message_at DESC, no DESC, message_seq DESC LIMIT $5
    ) AS room
    ORDER BY message_at DESC, no DESC, message_seq DESC
"""


async def search(
    db: Database, cache: RoomCache, query: str, room_ids: Collection[str], limit: int
) -> list[Hit]:
    match = words_wanted(query)
    if not match or limit < 1 or not room_ids:
        return []
    known = Known.of(cache, room_ids)
    records = await db.rows(_HITS, *known.values, match, limit)
    hits: list[Hit] = []
    for record in records:
        found = known.kept(record, record["source"]).room
        hits.append(Hit(found, message_from(found.id, record)))
    return hits
