"""What a transaction looks up of the rooms it holds: fetched when a decision asks, which then
begins anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from room_mcp.rooms import Message

from ..hearing import FeatureRow, Kept
from .database import Database
from .rows import MESSAGE_COLUMNS, message_from


class Wanted(BaseException):
    """A decision asks for something that is not here yet: fetch it, then decide again.

    No `Exception`: whoever catches those must not take it for one.
    """

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.fetch = fetch


class PostgresSource:
    """A `Source` on the writer's connection; good for one transaction."""

    failures: tuple[type[BaseException], ...] = ()

    def __init__(self, db: Database) -> None:
        self._db = db
        self._authors: dict[tuple[int, int], str | None] = {}
        self._messages: dict[tuple[int, int, int], list[Message]] = {}
        self._heard: dict[tuple[int, int | None], Kept] = {}

    def author(self, no: int, seq: int) -> str | None:
        if (no, seq) not in self._authors:

            async def fetch() -> None:
                self._authors[no, seq] = await self._db.value(
                    "SELECT sender FROM messages WHERE room_no = $1 AND seq = $2", no, seq
                )

            raise Wanted(fetch)
        return self._authors[no, seq]

    def messages(self, no: int, room_id: str, first: int, last: int) -> list[Message]:
        found = self._messages.get((no, first, last))
        if found is None:

            async def fetch() -> None:
                rows = await self._db.rows(
                    f"SELECT {MESSAGE_COLUMNS} FROM messages"
                    " WHERE room_no = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
                    *(no, first, last),
                )
                self._messages[no, first, last] = [message_from(room_id, row) for row in rows]

            raise Wanted(fetch)
        return found

    def heard(self, no: int, known: int | None, last: int) -> Kept:
        found = self._heard.get((no, known))
        if found is None:

            async def fetch() -> None:
                self._heard[no, known] = await self._kept(no, known, last)

            raise Wanted(fetch)
        return found

    async def _kept(self, no: int, known: int | None, last: int) -> Kept:
        row = await self._db.row("SELECT seq, data FROM memories WHERE room_no = $1", no)
        snapshot_seq, snapshot = (0, None) if row is None else (row[0], row[1])
        rows = await self._db.rows(
            "SELECT seq, sender, scored, sender_type <> 'agent', data"
            " FROM features JOIN messages USING (room_no, seq)"
            " WHERE room_no = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
            *(no, max(known or 0, snapshot_seq) + 1, last),
        )
        return Kept(snapshot_seq, snapshot, [FeatureRow(*row) for row in rows])
