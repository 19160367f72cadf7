"""Removes rooms that are older, or more, than the settings keep: at the start, and each hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import anyio

from room_mcp import wire
from room_mcp.rooms import Past, Refusal, Room, Step
from room_mcp.settings import Settings
from room_mcp.store.interface import Listed, StoreError

from . import answers
from .service import RoomService

ROUND_S = 60 * 60
EMBEDDED_AFTER_S = 60  # a process of a host may live for seconds only, and must be there at once
MAX_LEAP = timedelta(days=2)  # between rounds; a host is used again after a night
CONFIRMED_AFTER = timedelta(days=1)  # then somebody has seen that a clock is wrong
CONFIRMED_WITHIN = timedelta(days=35)  # for hosts that are used once a month
STEP_ROOMS = 100  # that one call removes; each is a transaction of its own, so others write between

logger = logging.getLogger(__name__)


class _Changed(Refusal):
    """Somebody has used the room since it was found."""


class Retention:
    """What is due to go, and its removal; several processes may do it at once."""

    def __init__(self, rooms: RoomService) -> None:
        self._rooms = rooms

    @property
    def settings(self) -> Settings:
        return self._rooms.settings

    async def due(self) -> wire.Expired:
        """Rooms that are past what is kept, the longest unchanged first."""
        found = await self._due(STEP_ROOMS + 1)
        return self._told(found[:STEP_ROOMS], more=len(found) > STEP_ROOMS)

    async def remove(self) -> wire.Expired:
        """Remove some of them for a person, who answers for the clock; the last call takes them
        out of the files as well.

        Raises:
            TextLeft: The rooms are gone, but the files still hold some of their texts.
        """
        if self._is_set:
            await self._rooms.store.note_round(self._rooms.clock())
        return await self._remove()

    async def _remove(self) -> wire.Expired:
        found = await self._due(STEP_ROOMS)
        removed = [one for one in found if await self._removed(one)]
        more = len(found) == STEP_ROOMS and bool(removed)
        if not more:
            await self._rooms.store.scrub()
        return self._told(removed, more=more)

    async def _due(self, limit: int) -> list[Listed]:
        return await self._rooms.store.stale(
            before=await self._before(),
            beyond=self.settings.retention_rooms or None,
            ended_only=self.settings.retention_of == "closed",
            limit=limit,
        )

    async def _before(self) -> datetime | None:
        """Rooms last changed before are too old; None: none is."""
        days = self.settings.retention_days
        if not days:
            return None
        before = self._rooms.clock() - timedelta(days=days)
        restored_at = (await self._rooms.store.times()).restored_at
        # Whoever brings old rooms back wants to have them for as long as new ones.
        return None if restored_at is not None and restored_at >= before else before

    async def _removed(self, found: Listed) -> bool:
        """Remove a room unless somebody was quicker, with a message or with its removal."""

        def decide(room: Room, _: Past) -> Step:
            if room != found.room:
                raise _Changed("Somebody has used the room.")
            return Step(room)

        id = found.room.id
        try:
            await self._rooms.store.delete(id, decide, entry=self._rooms.entry("retention", id))
        except Refusal:
            return False
        return True

    def _told(self, found: list[Listed], *, more: bool) -> wire.Expired:
        epoch = self._rooms.store.epoch
        rooms = [answers.room_fields(one.room, epoch, one.updated_at) for one in found]
        return wire.Expired(rooms=[wire.Room.model_validate(one) for one in rooms], more=more)

    # ---- in the background --------------------------------------------------------------------

    @property
    def _is_set(self) -> bool:
        return bool(self.settings.retention_days or self.settings.retention_rooms)

    async def round(self) -> None:
        """Remove all that is due, if the clock can be believed.

        Raises:
            TextLeft: As `remove` says.
        """
        if self._is_set and not await self._is_believed():
            await self._rooms.store.scrub()
            return
        while (await self._remove()).more:
            pass

    async def _is_believed(self) -> bool:
        """Whether the clock agrees with the last round, or has stayed the same for a day.

        A wrong clock would else remove everything at once. Changes count only before the first
        round: those of a process with a wrong clock have the same wrong time.
        """
        now, times = self._rooms.clock(), await self._rooms.store.times()
        known, since = times.round_at or times.changed_at, times.suspect_since
        is_near = any(at and abs(now - at) <= MAX_LEAP for at in (known, times.restored_at))
        is_confirmed = since is not None and CONFIRMED_AFTER <= now - since <= CONFIRMED_WITHIN
        if known is None or is_near or is_confirmed:
            await self._rooms.store.note_round(now)
            return True
        if since is None or not timedelta(0) <= now - since < CONFIRMED_AFTER:
            await self._rooms.store.note_round(times.round_at or known, suspect_since=now)
            logger.warning(
                "No room was removed: the clock says %s, but the store was in use at %s; rooms "
                "past what is kept go in a day, or at once by `room-mcp purge --expired --yes`.",
                f"{now:%Y-%m-%d %H:%M}",
                f"{known:%Y-%m-%d %H:%M}",
            )
        return False

    async def run(self, after_s: float = 0) -> None:
        """A round now, or so many seconds from now, and then each hour."""
        await anyio.sleep(after_s)
        while True:
            try:
                await self.round()
            except StoreError as error:
                logger.warning("Rooms past what is kept: %s The next try is in an hour.", error)
            except Exception:
                logger.exception("Rooms past what is kept could not be removed")
            await anyio.sleep(ROUND_S)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run beside what stands inside."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
