"""Removes rooms that are older, or more, than the settings keep: at the start, and each hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import anyio

from room_mcp import wire
from room_mcp.rooms import Past, Refusal, Room, Step
from room_mcp.settings import Settings
from room_mcp.store.interface import Listed, StoreError

from . import answers
from .service import RoomService

ROUND_S = 60 * 60
EMBEDDED_AFTER_S = 60  # a process of a host may live for seconds only, and must be there at once
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
        """Remove some of them; the last call takes them out of the files as well.

        Raises:
            TextLeft: The rooms are gone, but the files still hold some of their texts.
        """
        found = await self._due(STEP_ROOMS)
        removed = [one for one in found if await self._removed(one)]
        more = len(found) == STEP_ROOMS and bool(removed)
        if not more:
            await self._rooms.store.scrub()
        return self._told(removed, more=more)

    async def _due(self, limit: int) -> list[Listed]:
        days, rooms = self.settings.retention_days, self.settings.retention_rooms
        return await self._rooms.store.stale(
            before=self._rooms.clock() - timedelta(days=days) if days else None,
            beyond=rooms or None,
            ended_only=self.settings.retention_of == "closed",
            limit=limit,
        )

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

    async def run(self, after_s: float = 0) -> None:
        """A round now, or so many seconds from now, and then each hour."""
        await anyio.sleep(after_s)
        while True:
            try:
                while (await self.remove()).more:
                    pass
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
