"""What an acknowledged message is worth, where the database was told not to keep its promise."""

from __future__ import annotations

from .database import Database

_SETTINGS = """
SELECT current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names')
"""


async def doubts(db: Database) -> list[str]:
    """A sentence for each setting that takes away from what COMMIT promises."""
    row = await db.row(_SETTINGS)
    assert row is not None
    fsync, commit, standbys = row
    told: list[str] = []
    if fsync == "off":
        told.append(
            "The database runs with fsync = off: when its machine stops, what was acknowledged may "
            "be lost, or all of it damaged."
        )
    if commit == "off":
        told.append(
            "The database runs with synchronous_commit = off: when it crashes, what was "
            "acknowledged last is lost."
        )
    if commit == "local" and standbys:
        told.append(
            "The database runs with synchronous_commit = local: when a standby takes over, what "
            "was acknowledged last may be lost."
        )
    return told
