"""The statements of a batch: what every post costs the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .notices import CHANNEL
from .rows import MESSAGE_COLUMNS

# A row that somebody else held comes as he left it; but only the row itself. What else belongs to
# the room is asked for after this statement, which sees the moment when it began.
LOCK = """
SELECT rooms.id AS room_id, rooms.no AS room_no, rooms.rev AS room_rev, rooms.archived_at,
    rooms.contract_rev, rooms.last_seq, rooms.updated_at,
    CASE WHEN rooms.rev = known_rev AND epoch = $3 THEN NULL ELSE rooms.state END AS state,
    epoch,
    (SELECT coalesce(max(updated_at), 0) FROM rooms WHERE updated_at <= $4) AS newest
FROM (SELECT (SELECT value FROM meta WHERE name = 'epoch') AS epoch) AS store,
    unnest($1::text[], $2::bigint[]) AS wanted (wanted_id, known_rev)
    JOIN rooms ON rooms.id = wanted_id AND rooms.lifecycle <> 'deleted'
ORDER BY rooms.no
FOR UPDATE OF rooms
"""

LOCK_FREE = f"{LOCK} SKIP LOCKED"
"""The same, without the rooms that somebody else holds."""

THERE = "SELECT id FROM rooms WHERE id = ANY($1::text[]) AND lifecycle <> 'deleted'"

CONTRACTS = "SELECT room_no, source FROM contracts WHERE room_no = ANY($1::bigint[])"

KEYS = """
SELECT k.room_no, k.sender, k.key, k.fingerprint, k.seq
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (no, sender, key)
    JOIN keys AS k ON k.room_no = no AND k.sender = wanted.sender AND k.key = wanted.key
"""

_SAID = f"""
WITH said AS (
    INSERT INTO messages (room_no, {MESSAGE_COLUMNS}, words)
    SELECT no, {MESSAGE_COLUMNS}, array_to_tsvector(string_to_array(words, ' '))
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[],
                $13::text[], $14::text[]) AS new (no, {MESSAGE_COLUMNS}, words)
), known AS (
    INSERT INTO keys (room_no, sender, key, fingerprint, seq)
    SELECT * FROM unnest($15::bigint[], $16::text[], $17::text[], $18::bytea[], $19::bigint[])
)"""

SAID = f"{_SAID} SELECT"
"""Messages and their keys."""

# In one statement with the last of the messages: each would be a way to the server and back. The
# last digits of a time are those of a sequence, so that no two changes have the same: a page of
# the directory can end between them.
WRITE = f"""{_SAID}, put AS (
    UPDATE rooms SET rev = new.rev, last_seq = new.last_seq, state = new.state,
        archived_at = new.archived_at, updated_at = $25 + nextval('changes') % 1000
    FROM unnest($20::bigint[], $21::bigint[], $22::bigint[], $23::text[], $24::bigint[])
        AS new (no, rev, last_seq, state, archived_at)
    WHERE rooms.no = new.no
)
SELECT pg_notify('{CHANNEL}', $26)
"""
"""The same, and the rooms as they are after it; the other nodes are told when it is committed."""

MESSAGE_VALUES, KEY_VALUES, ROOM_VALUES = 14, 5, 5  # of each row in `WRITE`


def as_columns(rows: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Rows turned into arrays, as `unnest` takes them."""
    return [*zip(*rows, strict=True)] if rows else [()] * width
