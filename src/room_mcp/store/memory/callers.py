"""Server keys, invitations and the audit of a store in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from ..auditing import FIRST_LINK, MAX_PAGE_ENTRIES, AuditPage, Entry
from ..callers import Invitation, ServerKey
from .place import Place, PlaceUser


class MemoryCallers(PlaceUser):
    """The `CallerStore` and the `AuditStore` of it."""

    # ---- keys -----------------------------------------------------------------------------------

    async def add_key(self, key: ServerKey, *, entry: Entry | None = None) -> None:
        place = await self._turn()
        _add_key(place, key, entry)

    async def server_key(self, id: str) -> ServerKey | None:
        return self._opened().keys.get(id)

    async def server_keys(self) -> list[ServerKey]:
        return sorted(self._opened().keys.values(), key=lambda key: (key.created_at, key.id))

    async def revoke_key(
        self, id: str, at: datetime, *, entry: Entry | None = None
    ) -> ServerKey | None:
        place = await self._turn()
        key = place.keys.get(id)
        if key is not None and key.revoked_at is None:
            place.keys[id] = replace(key, revoked_at=at)
            place.record(() if entry is None else (entry,))
        return place.keys.get(id)

    def key_used(self, id: str, at: datetime) -> None:
        place = self._opened()
        if (key := place.keys.get(id)) is not None:
            place.keys[id] = replace(key, used_at=max(key.used_at or at, at))

    # ---- invitations ----------------------------------------------------------------------------

    async def add_invitation(self, invitation: Invitation, *, entry: Entry | None = None) -> None:
        place = await self._turn()
        now = invitation.created_at
        place.invitations = {
            one.hash: one for one in place.invitations.values() if one.expires_at > now
        }
        place.invitations[invitation.hash] = invitation
        place.record(() if entry is None else (entry,))

    async def redeem(
        self,
        code_hash: str,
        at: datetime,
        key_for: Callable[[Invitation], ServerKey],
        *,
        entry: Entry | None = None,
    ) -> ServerKey | None:
        place = await self._turn()
        invitation = place.invitations.get(code_hash)
        if invitation is None or invitation.expires_at <= at:
            return None
        key = key_for(invitation)
        _add_key(place, key, entry and replace(entry, name=key.name, key_id=key.id))
        del place.invitations[code_hash]
        return key

    # ---- the audit ------------------------------------------------------------------------------

    @property
    def secret(self) -> bytes:
        return self._opened().secret

    def note_refusal(self, entry: Entry) -> None:
        self._opened().refusals.add(entry)

    async def audit(
        self, *, room_id: str | None = None, after: int = 0, limit: int = MAX_PAGE_ENTRIES
    ) -> AuditPage:
        place = await self._turn()
        place.record_refusals()
        limit = max(1, min(limit, MAX_PAGE_ENTRIES))
        found = [
            one
            for one in place.audit
            if one.no > after and (room_id is None or one.entry.room_id == room_id)
        ]
        head = place.audit[-1].link if place.audit else FIRST_LINK
        return AuditPage(tuple(found[:limit]), len(found) > limit, len(place.audit), head)


def _add_key(place: Place, key: ServerKey, entry: Entry | None) -> None:
    if key.id in place.keys:
        raise ValueError("A key of this id exists already.")
    place.keys[key.id] = key
    place.record(() if entry is None else (entry,))
