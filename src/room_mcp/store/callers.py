"""Who may call a server: its keys, and invitations to get one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from .auditing import Entry
from .codec import maybe_micros, maybe_moment, micros, moment

KeyKind = Literal["agent", "human"]


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A key of the server as it is kept; the key itself was shown once and is not.

    `id` is how the key begins, `hash` the SHA-256 of all of it. `name` is whom it stands for:
    its holder speaks as that name or as `name/…`.
    """

    id: str
    hash: str
    name: str
    kind: KeyKind
    admin: bool
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """Whether it lets in at that time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


KEY_COLUMNS = "id, hash, name, kind, admin, created_at, expires_at, revoked_at, used_at"


def key_values(key: ServerKey) -> tuple[str | int | bool | None, ...]:
    """The key in the order of `KEY_COLUMNS`."""
    return (
        key.id,
        key.hash,
        key.name,
        key.kind,
        key.admin,
        micros(key.created_at),
        maybe_micros(key.expires_at),
        maybe_micros(key.revoked_at),
        maybe_micros(key.used_at),
    )


def key_from(
    id: str,
    hash: str,
    name: str,
    kind: Any,
    admin: bool | int,
    created_at: int,
    expires_at: int | None,
    revoked_at: int | None,
    used_at: int | None,
) -> ServerKey:
    """The key of a row of `KEY_COLUMNS`."""
    return ServerKey(
        id=id,
        hash=hash,
        name=name,
        kind=kind,
        admin=bool(admin),
        created_at=moment(created_at),
        expires_at=maybe_moment(expires_at),
        revoked_at=maybe_moment(revoked_at),
        used_at=maybe_moment(used_at),
    )


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code that stands for a key until somebody fetches it; `hash` is its SHA-256."""

    hash: str
    name: str
    kind: KeyKind
    created_at: datetime
    expires_at: datetime


class CallerStore(Protocol):
    """The part of a store that knows callers. An `entry` goes into the audit with what is done."""

    async def add_key(self, key: ServerKey, *, entry: Entry | None = None) -> None:
        """Keep a new key."""
        ...

    async def server_key(self, id: str) -> ServerKey | None: ...

    async def server_keys(self) -> list[ServerKey]:
        """All keys, the oldest first; revoked and expired ones too."""
        ...

    async def revoke_key(
        self, id: str, at: datetime, *, entry: Entry | None = None
    ) -> ServerKey | None:
        """The key, which lets nobody in from now on; None when there is none."""
        ...

    def key_used(self, id: str, at: datetime) -> None:
        """Note that a key was used; written soon, and lost if the process ends before."""
        ...

    async def add_invitation(self, invitation: Invitation, *, entry: Entry | None = None) -> None:
        """Keep a new invitation, and forget those that have expired."""
        ...

    async def redeem(
        self,
        code_hash: str,
        at: datetime,
        key_for: Callable[[Invitation], ServerKey],
        *,
        entry: Entry | None = None,
    ) -> ServerKey | None:
        """The key that an invitation stands for; it is used up in the same transaction.

        Args:
            entry: It gets the key's name and id, which nobody knows before.

        Returns:
            None when there is no such invitation, or its time is over.
        """
        ...
