"""Server keys and invitations as rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from ..auditing import Entry
from ..callers import KEY_COLUMNS, Invitation, ServerKey, key_from, key_values
from ..codec import micros, moment
from .auditing import append
from .database import Database
from .rows import askable


async def add_key(db: Database, key: ServerKey, entry: Entry | None = None) -> None:
    """Inside a transaction, as all here that take an `entry`."""
    await db.run(
        f"INSERT INTO server_keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *key_values(key),
    )
    await _record(db, entry)


async def server_key(db: Database, id: str) -> ServerKey | None:
    row = await db.row(f"SELECT {KEY_COLUMNS} FROM server_keys WHERE id = $1", askable(id))
    return None if row is None else key_from(*row)


async def server_keys(db: Database) -> list[ServerKey]:
    rows = await db.rows(f"SELECT {KEY_COLUMNS} FROM server_keys ORDER BY created_at, id")
    return [key_from(*row) for row in rows]


async def revoke_key(
    db: Database, id: str, at: datetime, entry: Entry | None = None
) -> ServerKey | None:
    revoked = await db.run(
        "UPDATE server_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        askable(id),
        micros(at),
    )
    if revoked:
        await _record(db, entry)
    return await server_key(db, id)


async def note_uses(db: Database, used: Mapping[str, datetime]) -> None:
    """Keep when keys were used, by id; it never goes back."""
    await db.run(
        # In one order, so that nodes that note the same keys never wait for each other in a ring.
        "UPDATE server_keys SET used_at = greatest(used_at, noted_at) FROM ("
        " SELECT id AS noted_id, noted_at FROM server_keys"
        " JOIN unnest($1::text[], $2::bigint[]) AS noted (noted_id, noted_at) ON id = noted_id"
        " ORDER BY id FOR NO KEY UPDATE OF server_keys"
        ") AS noted WHERE id = noted_id",
        [askable(id) for id in used],
        [micros(at) for at in used.values()],
    )


async def add_invitation(db: Database, invitation: Invitation, entry: Entry | None = None) -> None:
    await db.run("DELETE FROM invitations WHERE expires_at <= $1", micros(invitation.created_at))
    await db.run(
        "INSERT INTO invitations (hash, name, kind, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        invitation.hash,
        invitation.name,
        invitation.kind,
        micros(invitation.created_at),
        micros(invitation.expires_at),
    )
    await _record(db, entry)


async def redeem(
    db: Database,
    code_hash: str,
    at: datetime,
    key_for: Callable[[Invitation], ServerKey],
    entry: Entry | None = None,
) -> ServerKey | None:
    """Of several who show one code at once, the first gets the key: the others wait for the row,
    and find it gone."""
    row = await db.row(
        "DELETE FROM invitations WHERE hash = $1 AND expires_at > $2"
        " RETURNING hash, name, kind, created_at, expires_at",
        askable(code_hash),
        micros(at),
    )
    if row is None:
        return None
    hash, name, kind, created_at, expires_at = row
    key = key_for(Invitation(hash, name, kind, moment(created_at), moment(expires_at)))
    await add_key(db, key, entry and replace(entry, name=key.name, key_id=key.id))
    return key


async def _record(db: Database, entry: Entry | None) -> None:
    if entry is not None:
        await append(db, [entry])
