"""Hears what the other nodes commit, and wakes whoever waits for it here.

A notice is a hint: it is lost while the connection is, and some proxies between node and database
pass none on. Each second a node sends one to itself; where that does not come back, it looks at the
rooms that somebody waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from ..watching import Watchers
from . import notices
from .connecting import Connections, closed
from .database import Database, Session

logger = logging.getLogger(__name__)

LOOK_S = 1.0
ANSWER_S = 5.0  # for one look; then the connection is taken for dead
RETRY_S = 0.5

_LOOK = """
SELECT id, rev FROM unnest($1::text[]) AS id JOIN rooms USING (id)
UNION ALL SELECT '', no FROM counters WHERE name = 'directory'
"""


class Listener:
    """The connection that listens, kept up as long as the store is open; in the event loop."""

    def __init__(self, connections: Connections, node: str, watchers: Watchers) -> None:
        self._connections = connections
        self._node = node
        self._watchers = watchers
        self._seen: dict[str, int] = {}  # revs of rooms that are watched; '' is the directory
        self._has_heard = False  # what it sent to itself
        self._own_notice = notices.notice(node, (), directory=False)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what the database says when it cannot be listened to at all."""
        session = await self._listen()
        self._task = asyncio.create_task(self._run(session), name="room-mcp listener")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen(self) -> Session:
        session = await self._connections.own()
        try:
            await session.add_listener(notices.CHANNEL, self._hear)
        except BaseException:
            session.terminate()
            raise
        return session

    def _hear(self, _connection: object, _pid: object, _channel: object, payload: object) -> None:
        node, directory, room_ids = notices.read(str(payload))
        if node == self._node:
            self._has_heard = True
            return  # who waits here was woken when it was committed
        if room_ids is None:
            self._watchers.wake_all()
        else:
            self._watchers.wake(room_ids, directory=directory)

    async def _run(self, session: Session) -> None:
        try:
            while True:
                try:
                    await self._follow(session)
                except Exception as error:
                    logger.warning("The connection that listens was lost: %s", error)
                session = await self._listening_again(session)
                # What was told meanwhile was told to nobody.
                self._watchers.wake_all()
        finally:
            await closed(session)

    async def _listening_again(self, lost: Session) -> Session:
        lost.terminate()
        while True:
            with suppress(Exception):
                return await self._listen()
            # Those who wait look for themselves meanwhile, and are told how the database is.
            self._watchers.wake_all()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, session: Session) -> None:
        """See each second that notices come through, until the connection is lost."""
        db = Database(session)
        while not session.is_closed():
            self._has_heard = False
            async with asyncio.timeout(ANSWER_S):
                await db.run("SELECT pg_notify($1, $2)", notices.CHANNEL, self._own_notice)
                await asyncio.sleep(LOOK_S)
                if not self._has_heard:
                    await self._look(db)

    async def _look(self, db: Database) -> None:
        """Wake whom a change concerns of which no notice came."""
        watched: Collection[str] = list(self._watchers.room_ids)
        found: dict[str, int] = dict(map(tuple, await db.rows(_LOOK, watched)))
        seen, self._seen = self._seen, found
        # Also those that were not looked at before: they may have changed since somebody began
        # to watch them.
        changed = {id for id in ("", *watched) if id not in seen or found.get(id) != seen[id]}
        self._watchers.wake(changed, directory="" in changed)
