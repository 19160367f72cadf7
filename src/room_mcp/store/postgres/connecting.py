"""The connections of a node to its database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import asyncpg

from ..interface import StoreBusy, StoreUnavailable
from . import clocks
from .addresses import LIMIT_OF_LENT, Address
from .database import Database, Session
from .files import look_at
from .sessions import SESSION
from .silence import give_up_silent
from .troubles import LOST, Errors, trouble

CONNECT_S = 5.0  # for all hosts of the address together
COMMAND_S = 20.0  # for one statement; then its connection is given up
BORROW_S = 5.0  # that a call waits for a connection of the pool


# Of the server, and of the database: each copy that is put back has another number.
_BEGINNING = """
SELECT (pg_postmaster_start_time(), oid)::text, clock_timestamp(), pg_is_in_recovery()
FROM pg_database WHERE datname = current_database()
"""

# Its types are partly unknown; `Session` names what is used.
_asyncpg: Any = asyncpg


class Connections:
    """The connections of one node: a pool for short reads and writes, and some of their own.

    Args:
        begun_anew: Called when the database is perhaps not the one from before, and before
            anything is asked of it: the server was started again, or another one is the primary.
            It may have been set back, or lack what was committed last.
    """

    def __init__(self, address: Address, *, begun_anew: Callable[[], None] = lambda: None) -> None:
        self.address = address
        self.clocks = clocks.Clocks()
        self._begun_anew = begun_anew
        self._beginning = ""  # of the database that was reached last
        self._hosts = list(address.urls)  # the one that was well last comes first
        self._pool: Any = None

    async def open(self) -> None:
        """Raises StoreError when the database cannot be reached, or must not be used."""
        with self.errors():
            self._pool = await _asyncpg.create_pool(
                connect=self._connect,
                min_size=0,  # else asyncpg fills the log while the database is away
                max_size=self.address.lent,
                reset=_leave_as_it_is,
                max_inactive_connection_lifetime=60,
                command_timeout=COMMAND_S,
                server_settings=SESSION,
            )

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_S)
            except (TimeoutError, *LOST):
                pool.terminate()

    @asynccontextmanager
    async def borrowed(self) -> AsyncGenerator[Database]:
        """A connection of the pool. Raises StoreBusy when none is free for too long."""
        pool = self._pool  # kept: it is closed once all is given back that was borrowed
        if pool is None:
            raise StoreUnavailable("The store is not open.")
        try:
            session = await pool.acquire(timeout=BORROW_S)
        except TimeoutError as error:
            if pool.get_size() < self.address.lent:
                raise trouble(error, self.address) from error
            raise StoreBusy(
                f"All {self.address.lent} connections to {self.address.shown} are in use.",
                advice=f"Try again; if it lasts, raise {LIMIT_OF_LENT} in the store's address.",
            ) from None
        try:
            yield Database(cast(Session, session))
        finally:
            # Whatever is wrong with the connection now: what was committed on it is committed.
            with suppress(Exception):
                await asyncio.shield(pool.release(session))

    async def own(self, **settings: str) -> Session:
        """A connection beside the pool, with more settings for its session."""
        session: Session = await self._connect(
            command_timeout=COMMAND_S, server_settings={**SESSION, **settings}
        )
        return session

    async def patient(self, **settings: str) -> Session:
        """As `own`; its statements may take as long as they need."""
        session: Session = await self._connect(server_settings={**SESSION, **settings})
        return session

    async def _connect(self, *_: object, **options: Any) -> Any:
        """A connection to the first host that takes us, and is no standby.

        Each has a time of its own, which asyncpg does not give them: where the primary is silent,
        nobody would come to the one that has taken its place.
        """
        look_at(self._hosts[0])
        lost: Exception | None = None
        for host in list(self._hosts):
            try:
                async with asyncio.timeout(CONNECT_S / len(self._hosts)):
                    session = await _asyncpg.connect(host, **options)
                    give_up_silent(session)
                    await self._look_at(session)
            except LOST as error:
                lost = error
            except asyncpg.ReadOnlySQLTransactionError as error:
                lost = lost or error
            else:
                self._hosts.sort(key=lambda other: other != host)
                return session
        assert lost is not None
        raise lost

    async def _look_at(self, session: Any) -> None:
        asked_at = clocks.now()
        try:
            beginning, there, is_standby = await session.fetchrow(_BEGINNING)
            if is_standby:  # it may be far behind, and never says so
                raise asyncpg.ReadOnlySQLTransactionError("it is a standby")
        except BaseException:
            session.terminate()
            raise
        self.clocks.compare(asked_at, there)
        if self._beginning not in ("", beginning):
            self._begun_anew()
        self._beginning = beginning

    def errors(self) -> Errors:
        """Lets errors of the database rise as those of a store."""
        return Errors(self.address)


async def _leave_as_it_is(session: Session) -> None:
    """No statement of ours leaves anything behind in a session, so nothing is to be reset; but
    whoever is cancelled twice may not have come to roll back."""
    if session.is_in_transaction():
        await session.execute("ROLLBACK")
