"""Takes out of the files what was erased or deleted, to the last byte.

Removing rows is not enough. SQLite overwrites what it frees, but when it moves rows from a full
page to another it leaves the old bytes where they were, in pages that other rooms go on using. Only
writing the whole file anew leaves them behind.
"""

from __future__ import annotations

import apsw

from ..interface import TextLeft
from .connection import BUSY_MS, Database

IN_MEMORY_BYTES = 64 * 1024 * 1024  # a larger file is written anew by way of a temporary one
READERS_MS = 500  # for those who read on an old state; ours are done in less
_NOTE = "scrub"  # in `meta`, so that another process goes on where one ended
_DUE, _REWRITTEN = "due", "rewritten"


def note(db: Database) -> None:
    """Remember, with the transaction that removes texts, that `scrub` has work."""
    db.run("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (_NOTE, _DUE))


def is_done(db: Database) -> bool:
    return _stage(db) is None


def scrub(db: Database) -> None:
    """Write the file anew and empty the WAL, if something was removed since; outside of
    transactions, and with the file lock held.

    Raises:
        TextLeft: The disk is full, or somebody reads what the WAL holds.
    """
    stage = _stage(db)
    if stage is None:
        return
    try:
        if stage == _DUE:
            _rewrite(db)
        db.wait_for_locks(READERS_MS)
        db.checkpoint(emptying=True)
    except apsw.FullError as error:
        raise left("there must be as much free space as it takes.") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise left("another program has it open, and reads on an old state.") from error
    finally:
        db.wait_for_locks(BUSY_MS)
    db.run("DELETE FROM meta WHERE name = ?", (_NOTE,))


def left(why: str) -> TextLeft:
    return TextLeft(
        "The texts are removed, and nobody is shown them any more, but the files of the store "
        f"still hold some: {why}",
        advice="It is tried again each hour; `room-mcp purge --expired --yes` does it at once.",
    )


def _stage(db: Database) -> str | None:
    return db.value("SELECT value FROM meta WHERE name = ?", (_NOTE,))


def _rewrite(db: Database) -> None:
    # The words of removed messages stay in the full-text index until its parts are merged.
    db.run("INSERT INTO words (words) VALUES ('optimize')")
    size_bytes = int(db.pragma("page_count")) * int(db.pragma("page_size"))
    db.pragma("temp_store", "FILE" if size_bytes > IN_MEMORY_BYTES else "MEMORY")
    try:
        db.run("VACUUM")
    finally:
        db.pragma("temp_store", "MEMORY")
    db.run("UPDATE meta SET value = ? WHERE name = ?", (_REWRITTEN, _NOTE))
