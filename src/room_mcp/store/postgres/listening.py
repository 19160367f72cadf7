"""Hears what the other nodes commit, and wakes whoever waits for it here.

A notice is a hint: it is lost while the connection is, and some proxies between node and database
pass none on. Each second a node sends one to itself; where that does not come back, it looks at the
rooms that somebody waits for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import asyncpg

from ..watching import Watchers
from . import notices
from .connecting import Connections
from .database import Database, Session
from .rows import askable
from .sessions import closed
from .troubles import LOST, reason

logger = logging.getLogger(__name__)

LOOK_S = 1.0
ANSWER_S = 5.0  # for one look; then the connection is taken for dead
RETRY_S = 0.5
DEAF_LOOKS = 5  # in a row
DOUBT_S = 600.0  # in which a commit may still happen that was given up; longer than any wait

_SILENT = (
    "The database %s does not answer (%s). Until it does, rooms can be neither read nor written "
    "here; what was only noted, such as how far members have read, is kept and written then."
)
_DEAF = (
    "Notices of the database %s do not come through, so that whoever waits here learns up to a "
    "second late of what is said elsewhere. A pooler in between has to give each connection one of "
    "its own (pool_mode = session)."
)
_BACK = "The database %s answers again, after %.0f s: rooms can be read and written."

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
        self._doubts_until = 0.0
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

    def doubt(self) -> None:
        """A commit of this node has been given up, and may come yet: a standby answers late."""
        self._doubts_until = time.monotonic() + DOUBT_S

    async def _listen(self) -> Session:
        # A commit that waits for a standby holds up all notices, and this connection needs none.
        session = await self._connections.own(lock_timeout=str(round(LOOK_S * 1_000)))
        try:
            await session.add_listener(notices.CHANNEL, self._hear)
        except BaseException:
            session.terminate()
            raise
        return session

    def _hear(self, _connection: object, _pid: object, _channel: object, payload: object) -> None:
        try:
            node, directory, room_ids = notices.read(str(payload))
        except ValueError:  # another version writes it in another way
            self._watchers.wake_all()
            return
        if node == self._node:
            self._has_heard = True
            if time.monotonic() > self._doubts_until:
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
                    level = logging.INFO if isinstance(error, LOST) else logging.WARNING
                    logger.log(level, "The connection that listens was lost: %s", reason(error))
                session = await self._listening_again(session)
                # What was told meanwhile was told to nobody.
                self._watchers.wake_all()
        finally:
            await closed(session)

    async def _listening_again(self, lost: Session) -> Session:
        lost.terminate()
        since: float | None = None
        while True:
            try:
                session = await self._listen()
            except Exception as error:
                if since is None:
                    since = time.monotonic()
                    logger.warning(_SILENT, self._connections.address.shown, reason(error))
            else:
                if since is not None:
                    gone_s = time.monotonic() - since
                    logger.warning(_BACK, self._connections.address.shown, gone_s)
                return session
            # Those who wait look for themselves meanwhile, and are told how the database is.
            self._watchers.wake_all()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, session: Session) -> None:
        """See each second that notices come through, until the connection is lost."""
        db = Database(session)
        deaf = 0
        while not session.is_closed():
            self._has_heard = False
            async with asyncio.timeout(ANSWER_S):
                with suppress(asyncpg.LockNotAvailableError):
                    await db.run("SELECT pg_notify($1, $2)", notices.CHANNEL, self._own_notice)
                await asyncio.sleep(LOOK_S)
                deaf = 0 if self._has_heard else deaf + 1
                if deaf:
                    await self._look(db)
                if deaf == DEAF_LOOKS:
                    logger.warning(_DEAF, self._connections.address.shown)

    async def _look(self, db: Database) -> None:
        """Wake whom a change concerns of which no notice came."""
        # What no text can hold in PostgreSQL is the id of no room.
        watched = [id for id in self._watchers.room_ids if askable(id) == id]
        found: dict[str, int] = dict(map(tuple, await db.rows(_LOOK, watched)))
        seen, self._seen = self._seen, found
        # Also those that were not looked at before: they may have changed since somebody began
        # to watch them.
        changed = {id for id in ("", *watched) if id not in seen or found.get(id) != seen[id]}
        self._watchers.wake(changed, directory="" in changed)
