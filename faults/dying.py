"""A `room-mcp` command that kills itself around a COMMIT, where no kill from outside hits.

    python -m faults.dying MOMENT COMMITS serve --port 20000 …

It stands between the store and SQLite, and counts the transactions that hold messages.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from room_mcp.cli import main as room_mcp
from room_mcp.store.sqlite.connection import Bindings, Database

UNCOMMITTED = "uncommitted"  # messages are written, and COMMIT is about to begin
COMMITTED = "committed"  # COMMIT has ended, and nobody has been told yet
TOO_EARLY_S = 0.5  # before it dies uncommitted: by then a store that tells too early has told


class Dying:
    """Kills this process at a moment of the transaction in which so many have held messages."""

    def __init__(self, moment: str, commits: int) -> None:
        self._moment = moment
        self._left = commits
        self._writing: Database | None = None  # readers commit meanwhile, in their threads
        self._run = Database.run

    def run(self, database: Database, sql: str, bindings: Bindings = ()) -> None:
        """In place of `Database.run`."""
        is_due = False
        if sql.startswith("INSERT INTO messages "):
            self._writing = database
        elif sql == "COMMIT" and database is self._writing:
            self._writing = None
            self._left -= 1
            is_due = self._left == 0
        if is_due and self._moment == UNCOMMITTED:
            time.sleep(TOO_EARLY_S)
            os.kill(os.getpid(), signal.SIGKILL)
        self._run(database, sql, bindings)
        if is_due:
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    moment, commits, *command = arguments
    dying = Dying(moment, int(commits))
    setattr(Database, "run", lambda *call: dying.run(*call))  # noqa: B010 -- a seam, on purpose
    return room_mcp(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
