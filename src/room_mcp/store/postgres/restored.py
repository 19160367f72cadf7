"""What a database needs that was itself set back: by pg_restore, or to an earlier moment.

Its rows do not know. Numbers come a second time and stand for other messages then, so it gets a new
epoch, by which nodes forget what they keep and clients see that they are ahead.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from room_mcp.rooms.message import SYSTEM

from ..auditing import Entry
from ..interface import StoreUnavailable
from . import auditing
from .addresses import address_in
from .connecting import Connections
from .database import Database
from .notices import ALL_CHANGED, CHANNEL
from .schema import holds_store, prepare
from .sessions import closed
from .times import RESTORED_AT, note

RESTORE = "restore"  # the act in the audit
UNKNOWN_CHANGES = 1 << 40
"""How much the directory's number is raised: above any that was told since the copy was made."""

EPOCH_BYTES = 4


async def begin_epoch(url: str, at: datetime) -> str:
    """Give the database a new epoch, and wake whoever waits at any of its nodes.

    Invitations are withdrawn, for nobody can tell which of them were redeemed meanwhile.

    Returns:
        The epoch.

    Raises:
        StoreUnavailable, StoreBusy: With advice; nothing was changed.
    """
    connections = Connections(address_in(url))
    with connections.errors():
        session = await connections.own()
        try:
            db = Database(session)
            await _must_hold_store(db, connections.address.shown)
            async with db.transaction():
                epoch = await _begin(db, at)
        finally:
            await closed(session)
    return epoch


async def _must_hold_store(db: Database, shown: str) -> None:
    if not await holds_store(db):
        raise StoreUnavailable(
            f"{shown} holds no rooms yet.", advice="Put the copy back first: pg_restore."
        )
    await prepare(db, shown)


async def _begin(db: Database, at: datetime) -> str:
    epoch = secrets.token_hex(EPOCH_BYTES)
    await db.run("UPDATE meta SET value = $1 WHERE name = 'epoch'", epoch)
    await note(db, RESTORED_AT, at)
    await db.run("DELETE FROM invitations")
    await auditing.append(db, [Entry(at, RESTORE, name=SYSTEM, detail=f"epoch {epoch}")])
    await db.run("UPDATE counters SET no = no + $1 WHERE name = 'directory'", UNKNOWN_CHANGES)
    await db.run("SELECT pg_notify($1, $2)", CHANNEL, ALL_CHANGED)
    return epoch
