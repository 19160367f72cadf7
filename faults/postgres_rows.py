"""What the database of a store holds, read past the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from room_mcp.rooms.names import skeleton

_KEYS = "SELECT sender, key, seq FROM keys JOIN rooms ON no = room_no WHERE id = $1"

_RULES: Mapping[str, str] = {
    "last_seq is not the number of its messages": """
        SELECT rooms.id FROM rooms LEFT JOIN messages ON room_no = no
         WHERE lifecycle <> 'deleted' GROUP BY rooms.id, last_seq
        HAVING count(seq) <> last_seq OR max(seq) <> last_seq
    """,
    "a key stands for no message": """
        SELECT rooms.id FROM keys AS k JOIN rooms ON no = k.room_no
         WHERE NOT EXISTS (SELECT FROM messages AS m WHERE m.room_no = no AND m.seq = k.seq)
    """,
    "two messages have one id": """
        SELECT min(rooms.id) FROM messages JOIN rooms ON no = room_no
         GROUP BY messages.id HAVING count(*) > 1
    """,
}


async def kept_keys(url: str, room_id: str, authors: Collection[str]) -> dict[tuple[str, str], int]:
    """(author, key) → seq."""
    names = {skeleton(author): author for author in authors}
    rows = await _asked(url, _KEYS, room_id)
    return {(names.get(sender, sender), key): seq for sender, key, seq in rows}


async def integrity(url: str) -> list[str]:
    """What does not fit together in the tables; empty: nothing."""
    return [
        f"room {row[0]}: {rule}" for rule, sql in _RULES.items() for row in await _asked(url, sql)
    ]


async def _asked(url: str, sql: str, *values: object) -> list[Any]:
    connection: Any = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql, *values)
    finally:
        await connection.close()
