"""The part of a store that is about who calls: their keys, their limits, and what they did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ..auditing import MAX_PAGE_ENTRIES, AuditPage, Entry
from ..callers import Invitation, ServerKey
from ..limiting import Rate, Taken
from . import auditing, callers, limiting
from .transactions import Transactions


class PostgresCallers(Transactions):
    """Callers, their limits and the audit; on one database."""

    # ---- the audit ------------------------------------------------------------------------------

    def note_refusal(self, entry: Entry) -> None:
        self._must_be_open()
        self._rest.refusals.add(entry)
        self._write_soon()

    async def audit(
        self, *, room_id: str | None = None, after: int = 0, limit: int = MAX_PAGE_ENTRIES
    ) -> AuditPage:
        await self._write_rest()
        await self._rest.wait_for_refusals()  # that an act has taken along
        return await self._query(lambda db: auditing.page(db, room_id, after, limit))

    # ---- callers --------------------------------------------------------------------------------

    async def add_key(self, key: ServerKey, *, entry: Entry | None = None) -> None:
        await self._write(lambda db: callers.add_key(db, key, entry))

    async def server_key(self, id: str) -> ServerKey | None:
        return await self._query(lambda db: callers.server_key(db, id))

    async def server_keys(self) -> list[ServerKey]:
        return await self._query(callers.server_keys)

    async def revoke_key(
        self, id: str, at: datetime, *, entry: Entry | None = None
    ) -> ServerKey | None:
        return await self._write(lambda db: callers.revoke_key(db, id, at, entry))

    def key_used(self, id: str, at: datetime) -> None:
        self._must_be_open()
        self._rest.add_use(id, at)
        self._write_soon()

    async def add_invitation(self, invitation: Invitation, *, entry: Entry | None = None) -> None:
        await self._write(lambda db: callers.add_invitation(db, invitation, entry))

    async def redeem(
        self,
        code_hash: str,
        at: datetime,
        key_for: Callable[[Invitation], ServerKey],
        *,
        entry: Entry | None = None,
    ) -> ServerKey | None:
        return await self._write(lambda db: callers.redeem(db, code_hash, at, key_for, entry))

    # ---- limits ---------------------------------------------------------------------------------

    async def take(
        self, subject: str, kind: str, rate: Rate, *, needed: int, wanted: int = 0, at: datetime
    ) -> Taken:
        # By the clock of the database: those of nodes may differ, and all count together.
        ahead = self._connections.clocks.ahead
        there = at + ahead
        taken = await self._count(
            lambda db: limiting.take(
                db, subject, kind, rate, needed=needed, wanted=wanted, at=there
            )
        )
        return taken._replace(due_at=taken.due_at - ahead)

    async def take_slots(
        self,
        subject: str,
        kind: str,
        holder: str,
        *,
        limit: int,
        opened: int,
        needed: int,
        at: datetime,
        until: datetime,
    ) -> int:
        ahead = self._connections.clocks.ahead
        return await self._count(
            lambda db: limiting.take_slots(
                db,
                subject,
                kind,
                holder,
                limit=limit,
                opened=opened,
                needed=needed,
                at=at + ahead,
                until=until + ahead,
            )
        )

    def give_slots_back(self, subject: str, kind: str, holder: str, *, left: int) -> None:
        self._must_be_open()
        self._rest.add_slots((subject, kind, holder), left)
        self._write_soon()

    async def give_all_slots_back(self, holder: str) -> None:
        await self._count(lambda db: limiting.give_all_slots_back(db, holder))

    async def rooms_of(self, creator: str) -> list[str]:
        return await self._query(lambda db: limiting.rooms_of(db, creator))
