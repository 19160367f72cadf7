"""A `room-mcp` command that kills itself around a COMMIT, where no kill from outside hits.

    python -m faults.dying MOMENT COMMITS serve --port 20000 …

It sees the statements as SQLite runs them, and counts the transactions that hold messages: it
knows nothing else of the store.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import apsw

from room_mcp.cli import main as room_mcp

UNCOMMITTED = "uncommitted"  # messages are written, and COMMIT is about to begin
COMMITTED = "committed"  # COMMIT has ended, and nobody has been told yet
TOO_EARLY_S = 0.5  # before it dies uncommitted: by then a store that tells too early has told


class Dying:
    """Kills this process at a moment of the transaction in which so many have held messages."""

    def __init__(self, moment: str, commits: int) -> None:
        self._moment = moment
        self._left = commits
        self._holds_messages = False

    def watch(self, connection: Any) -> None:
        """To be called with every new connection."""
        events = apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE  # it begins, it has ended
        connection.trace_v2(events, self._saw, id=self)

    def _saw(self, event: dict[str, Any]) -> None:
        begins = event["code"] == apsw.SQLITE_TRACE_STMT
        if event["sql"].startswith("INSERT INTO messages "):
            self._holds_messages = True
        elif event["sql"] == "COMMIT" and self._holds_messages:
            self._commits(begins)

    def _commits(self, begins: bool) -> None:
        if begins:
            self._left -= 1
        if self._left == 0 and begins == (self._moment == UNCOMMITTED):
            if begins:
                time.sleep(TOO_EARLY_S)
            os.kill(os.getpid(), signal.SIGKILL)
        self._holds_messages = begins


def main(arguments: Sequence[str]) -> int:
    moment, commits, *command = arguments
    apsw.connection_hooks.append(Dying(moment, int(commits)).watch)
    return room_mcp(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
