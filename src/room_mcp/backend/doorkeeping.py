"""Server keys and invitations: who may make them, what they let in, and when that ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from room_mcp import wire
from room_mcp.rooms import member_name
from room_mcp.store.auditing import Entry
from room_mcp.store.callers import Invitation, KeyKind, ServerKey
from room_mcp.store.interface import Store

from . import auditing
from .answers import timestamp
from .callers import CODE_PREFIX, SERVER_KEY_PREFIX, Caller, key_hash, key_id, new_key
from .errors import HttpProblem


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """The use cases around keys. Only admins and whoever owns the store may do most of them."""

    store: Store
    clock: Callable[[], datetime]

    async def make_key(self, caller: Caller, new: wire.NewKey) -> wire.KeyMade:
        """A new key, which is shown this once.

        Raises:
            HttpProblem: The caller is no admin, or the time of its end is none.
            Malformed: The name is none.
        """
        _must_keep_the_door(caller)
        now = self.clock()
        shown = new_key(SERVER_KEY_PREFIX)
        key = _key(
            shown,
            name=member_name(new.name),
            kind=_kind(new.human),
            admin=new.admin,
            created_at=now,
            expires_at=_end(new, now),
        )
        about = f"{key.id} of {key.name}"
        await self.store.add_key(key, entry=self._entry("create_key", about))
        return _made(key, shown)

    async def keys(self, caller: Caller) -> wire.Keys:
        """All keys, the oldest first; never what would let anybody in."""
        _must_keep_the_door(caller)
        return wire.Keys(keys=[_told(key) for key in await self.store.server_keys()])

    async def revoke(self, caller: Caller, id: str) -> wire.Key:
        """The key, which lets nobody in from now on. Everybody may give his own back."""
        if caller.key is None or caller.key.id != id:
            _must_keep_the_door(caller)
        key = await self.store.revoke_key(id, self.clock(), entry=self._entry("revoke_key", id))
        if key is None:
            raise HttpProblem(
                "key_not_found",
                f"There is no key {id!r}.",
                "GET /agent/keys lists them, `room-mcp keys list` too; its id is how it begins.",
            )
        return _told(key)

    async def invite(self, caller: Caller, new: wire.NewInvitation) -> wire.Invited:
        """A code that whoever shows it first may change for a key."""
        _must_keep_the_door(caller)
        now = self.clock()
        code = new_key(CODE_PREFIX)
        invitation = Invitation(
            hash=key_hash(code),
            name=member_name(new.name),
            kind=_kind(new.human),
            created_at=now,
            expires_at=now + timedelta(seconds=new.expires_in_s),
        )
        entry = self._entry("invite", invitation.name)
        await self.store.add_invitation(invitation, entry=entry)
        return wire.Invited(
            code=code,
            name=invitation.name,
            kind=invitation.kind,
            expires_at=timestamp(invitation.expires_at),
        )

    async def redeem(self, code: str) -> wire.KeyMade:
        """The key that a code stands for; the code is used up.

        Raises:
            HttpProblem: There is no such code, it was used, or its time is over.
        """
        now = self.clock()
        shown = new_key(SERVER_KEY_PREFIX)

        def key_for(invitation: Invitation) -> ServerKey:
            return _key(shown, name=invitation.name, kind=invitation.kind, created_at=now)

        entry = self._entry("redeem")
        key = await self.store.redeem(key_hash(code), now, key_for, entry=entry)
        if key is None:
            raise HttpProblem(
                "invitation_invalid",
                "The invitation lets nobody in: it is wrong, was used, or its time is over.",
                "Ask whoever runs the server for a new one: `room-mcp invite` there.",
            )
        return _made(key, shown)

    def _entry(self, act: str, detail: str = "") -> Entry:
        return auditing.entry(act, self.store, self.clock(), detail=detail)

    def me(self, caller: Caller) -> wire.Me:
        """Who the caller is, as his key says."""
        if caller.key is None:
            return wire.Me(trusted=caller.trusted, key=None, names=[])
        name = caller.key.name
        return wire.Me(trusted=False, key=_told(caller.key), names=[name, f"{name}/…"])


def _must_keep_the_door(caller: Caller) -> None:
    if not (caller.trusted or (caller.key is not None and caller.key.admin)):
        raise HttpProblem(
            "admins_only",
            "Only an admin's key does this.",
            "On the machine of the server `room-mcp keys` and `room-mcp invite` need none; "
            "`room-mcp keys create NAME --admin` makes one there.",
        )


def _key(
    shown: str,
    *,
    name: str,
    kind: KeyKind,
    created_at: datetime,
    admin: bool = False,
    expires_at: datetime | None = None,
) -> ServerKey:
    return ServerKey(
        id=key_id(shown),
        hash=key_hash(shown),
        name=name,
        kind=kind,
        admin=admin,
        created_at=created_at,
        expires_at=expires_at,
    )


def _kind(human: bool) -> KeyKind:
    return "human" if human else "agent"


def _end(new: wire.NewKey, now: datetime) -> datetime | None:
    if new.expires_at is not None and new.expires_in_s is not None:
        raise HttpProblem(
            "malformed", "expiresAt and expiresInS exclude each other.", "Send one of them."
        )
    end = new.expires_at
    if new.expires_in_s is not None:
        end = now + timedelta(seconds=new.expires_in_s)
    if end is None:
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if not now < end <= now + wire.MAX_KEY_LIFE:
        raise HttpProblem(
            "malformed",
            "The key would end before it begins, or in more than a century.",
            "Send a time to come; without one the key holds until it is revoked.",
        )
    return end.astimezone(UTC)


def _told(key: ServerKey) -> wire.Key:
    return wire.Key(**_facts(key))


def _made(key: ServerKey, shown: str) -> wire.KeyMade:
    return wire.KeyMade(key=shown, **_facts(key))


def _facts(key: ServerKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "admin": key.admin,
        "created_at": timestamp(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "used_at": _time(key.used_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)
