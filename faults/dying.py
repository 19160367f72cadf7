"""A `room-mcp` command that kills itself around a COMMIT, where no kill from outside hits.

    python -m faults.dying MOMENT COMMITS serve --port 20000 …

It stands between the store and SQLite or PostgreSQL, and counts the transactions that hold
messages.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from room_mcp.cli import main as room_mcp
from room_mcp.store.sqlite.connection import Bindings, Database

UNCOMMITTED = "uncommitted"  # messages are written, and COMMIT is about to begin
COMMITTED = "committed"  # COMMIT has ended, and nobody has been told yet
TOO_EARLY_S = 0.5  # before it dies uncommitted: by then a store that tells too early has told
WRITES = "INSERT INTO messages "


class Dying:
    """Kills this process at a moment of the transaction in which so many have held messages."""

    def __init__(self, moment: str, commits: int) -> None:
        self._moment = moment
        self._left = commits
        self._writing: Database | None = None  # readers commit meanwhile, in their threads
        self._run = Database.run

    def is_due(self) -> bool:
        """Whether the transaction that is to be committed is the last one."""
        self._left -= 1
        return self._left == 0

    @property
    def is_uncommitted(self) -> bool:
        return self._moment == UNCOMMITTED

    def run(self, database: Database, sql: str, bindings: Bindings = ()) -> None:
        """In place of `Database.run`."""
        is_due = False
        if sql.startswith(WRITES):
            self._writing = database
        elif sql == "COMMIT" and database is self._writing:
            self._writing = None
            is_due = self.is_due()
        if is_due and self.is_uncommitted:
            time.sleep(TOO_EARLY_S)
            die()
        self._run(database, sql, bindings)
        if is_due:
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_postgres(dying: Dying) -> None:
    """Have the store in PostgreSQL do the same; the event loop goes on until it dies."""
    from room_mcp.store.postgres.database import Database  # late: asyncpg is an extra

    database: Any = Database
    row, commit = database.row, database.commit
    writing: set[int] = set()  # the connections whose transaction holds messages

    async def asked(db: Any, sql: str, *values: object) -> Any:
        if WRITES in sql:
            writing.add(id(db))
        return await row(db, sql, *values)

    async def committed(db: Any) -> None:
        is_due = id(db) in writing and dying.is_due()
        writing.discard(id(db))
        if is_due and dying.is_uncommitted:
            await asyncio.sleep(TOO_EARLY_S)
            die()
        await commit(db)
        if is_due:
            die()

    database.row, database.commit = asked, committed


def main(arguments: Sequence[str]) -> int:
    moment, commits, *command = arguments
    dying = Dying(moment, int(commits))
    if any(word.startswith("postgresql://") for word in command):
        die_in_postgres(dying)
    else:
        setattr(Database, "run", lambda *call: dying.run(*call))  # noqa: B010 -- a seam, on purpose
    return room_mcp(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
