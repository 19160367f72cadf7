"""Server keys and invitations as rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from ..auditing import Entry
from ..callers import KEY_COLUMNS, Invitation, ServerKey, key_from, key_values
from ..codec import micros, moment
from .auditing import append
from .connection import Database


def add_key(db: Database, key: ServerKey, entry: Entry | None = None) -> None:
    db.run(
        f"INSERT INTO server_keys ({KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        key_values(key),
    )
    _record(db, entry)


def server_key(db: Database, id: str) -> ServerKey | None:
    row = db.row(f"SELECT {KEY_COLUMNS} FROM server_keys WHERE id = ?", (id,))
    return None if row is None else key_from(*row)


def server_keys(db: Database) -> list[ServerKey]:
    rows = db.rows(f"SELECT {KEY_COLUMNS} FROM server_keys ORDER BY created_at, id")
    return [key_from(*row) for row in rows]


def revoke_key(db: Database, id: str, at: datetime, entry: Entry | None = None) -> ServerKey | None:
    revoked = db.row(
        "UPDATE server_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING id",
        (micros(at), id),
    )
    if revoked is not None:
        _record(db, entry)
    return server_key(db, id)


def note_use(db: Database, id: str, at: datetime) -> None:
    db.run(
        "UPDATE server_keys SET used_at = max(coalesce(used_at, 0), ?) WHERE id = ?",
        (micros(at), id),
    )


def add_invitation(db: Database, invitation: Invitation, entry: Entry | None = None) -> None:
    db.run("DELETE FROM invitations WHERE expires_at <= ?", (micros(invitation.created_at),))
    db.run(
        "INSERT INTO invitations (hash, name, kind, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (
            invitation.hash,
            invitation.name,
            invitation.kind,
            micros(invitation.created_at),
            micros(invitation.expires_at),
        ),
    )
    _record(db, entry)


def redeem(
    db: Database,
    code_hash: str,
    at: datetime,
    key_for: Callable[[Invitation], ServerKey],
    entry: Entry | None = None,
) -> ServerKey | None:
    row = db.row(
        "DELETE FROM invitations WHERE hash = ? AND expires_at > ?"
        " RETURNING hash, name, kind, created_at, expires_at",
        (code_hash, micros(at)),
    )
    if row is None:
        return None
    hash, name, kind, created_at, expires_at = row
    key = key_for(Invitation(hash, name, kind, moment(created_at), moment(expires_at)))
    add_key(db, key, entry and replace(entry, name=key.name, key_id=key.id))
    return key


def _record(db: Database, entry: Entry | None) -> None:
    if entry is not None:
        append(db, [entry])
