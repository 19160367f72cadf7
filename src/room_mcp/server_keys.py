"""The calls about a server's keys, as `RoomsClient.keys`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from room_mcp import wire

if TYPE_CHECKING:
    from room_mcp.connection import Connection


class ServerKeys:
    """Keys and invitations of one server; most calls are for admins."""

    def __init__(self, connection: Connection) -> None:
        self._call = connection.call

    async def me(self) -> wire.Me:
        """Who this client is, and which names it may use."""
        return await self._call("GET", "/agent/me", wire.Me)

    async def create(
        self,
        name: str,
        *,
        admin: bool = False,
        human: bool = False,
        expires_at: datetime | None = None,
        expires_in_s: float | None = None,
    ) -> wire.KeyMade:
        """A new key, shown this once; without a time it holds until it is revoked."""
        new = wire.NewKey(
            name=name, admin=admin, human=human, expires_at=expires_at, expires_in_s=expires_in_s
        )
        return await self._call("POST", "/agent/keys", wire.KeyMade, body=new)

    async def all(self) -> list[wire.Key]:
        """All keys, the oldest first; revoked and expired ones too."""
        return (await self._call("GET", "/agent/keys", wire.Keys)).keys

    async def revoke(self, id: str) -> wire.Key:
        """The key, which lets nobody in from now on; one's own, or any with an admin's."""
        path = f"/agent/keys/{quote(id, safe='')}/revoke"
        return await self._call("POST", path, wire.Key)

    async def invite(self, name: str, *, human: bool, expires_in_s: float) -> wire.Invited:
        """A code for one key of that name."""
        new = wire.NewInvitation(name=name, human=human, expires_in_s=expires_in_s)
        return await self._call("POST", "/agent/invitations", wire.Invited, body=new)

    async def redeem(self, code: str) -> wire.KeyMade:
        """The key that a code stands for; the code works once."""
        path = "/agent/invitations/redeem"
        return await self._call("POST", path, wire.KeyMade, body=wire.Redeem(code=code))
