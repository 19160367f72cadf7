"""The note in a store whose rooms were moved to another one: it is read behind the epoch.

Every engine reads the epoch with whatever it reads of a room that it does not know yet, so that
nobody goes on in rooms that are elsewhere by now.
"""

from __future__ import annotations

from datetime import UTC, datetime

from .interface import StoreUnavailable

_NOTE = " moved to "  # an epoch itself has no spaces
_WHEN = " on "


def moved_epoch(epoch: str, where: str, at: datetime) -> str:
    """What stands in place of the epoch when the rooms are `where`; nothing in it is secret."""
    return f"{epoch}{_NOTE}{where}{_WHEN}{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def epoch_before(epoch: str) -> str:
    """The epoch without the note."""
    return epoch.partition(_NOTE)[0]


def moved_to(epoch: str) -> str | None:
    """Where the rooms are; None: here."""
    where = epoch.partition(_NOTE)[2].rpartition(_WHEN)[0]
    return where or None


def sentence(epoch: str) -> str:
    """What was done, for a person; for an epoch with the note."""
    return f"The rooms of this store were moved to {epoch.partition(_NOTE)[2]}."


def must_be_here(epoch: str) -> None:
    """Raises StoreUnavailable when the rooms of the store were moved away."""
    if _NOTE in epoch:
        raise StoreUnavailable(sentence(epoch), advice=advice_to_follow(moved_to(epoch) or ""))


def must_be_no_old_store(epoch: str, here: str) -> None:
    """Raises StoreUnavailable when rooms were moved away from where others are to go."""
    if _NOTE in epoch:
        there = moved_to(epoch)
        raise StoreUnavailable(
            f"{here} is not empty: it is the old store of rooms that were moved to {there}.",
            advice="Name an empty database. To go on with those rooms, name where they are: "
            f"--from or ROOM_MCP_STORE, {there}",
        )


def advice_to_follow(where: str) -> str:
    if "://" not in where:
        return f"Name that file: --store or ROOM_MCP_STORE, here {where}"
    return (
        "Connect to a server that has it (room-mcp connect, ROOM_MCP_URL), or name the database in "
        f"every host's settings: ROOM_MCP_STORE={where}, with its password in ~/.pgpass"
    )
