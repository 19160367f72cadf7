"""A connection to PostgreSQL, with the types that asyncpg does not have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import anyio

COMMIT_S = 20.0  # then its connection is given up, and nobody knows what has become of it
ROLLBACK_WAIT_S = 5.0  # then the connection is given up, and the server rolls back by itself

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LASTING = "BEGIN"
# Nobody waits for the disk: a crash may undo what was committed last, which does no harm to counts.
PASSING = "BEGIN; SET LOCAL synchronous_commit TO off"


logger = logging.getLogger(__name__)


class CommitFailed(Exception):
    """COMMIT was sent and not answered, or with an error: it may have happened."""


@contextmanager
def after_commit(failed: str) -> Generator[None]:
    """Around what follows a commit: it must not look like a failure, nor be done again."""
    try:
        yield
    except Exception:
        logger.exception("It is committed; only %s", failed)


class Record(Protocol):
    """A row: its values in order, each also by its column's name or number."""

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, column: str | int) -> Any: ...

    def __len__(self) -> int: ...


class Session(Protocol):
    """What is used of an asyncpg connection, or of what its pool lends for one."""

    async def fetch(self, query: str, *args: Any) -> list[Record]: ...

    async def fetchrow(self, query: str, *args: Any) -> Record | None: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...

    async def add_listener(self, channel: str, callback: Callable[..., object]) -> None: ...

    async def close(self, *, timeout: float) -> None: ...

    def is_in_transaction(self) -> bool: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...


class Database:
    """Runs statements on one connection, one after the other.

    Outside a transaction every statement has a snapshot of its own, and commits by itself.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def rows(self, sql: str, *values: object) -> Sequence[Record]:
        return await self._session.fetch(sql, *values)

    async def row(self, sql: str, *values: object) -> Record | None:
        return await self._session.fetchrow(sql, *values)

    async def value(self, sql: str, *values: object) -> Any:
        """The first value of the first row; None when there is none."""
        return await self._session.fetchval(sql, *values)

    async def run(self, sql: str, *values: object) -> int:
        """How many rows were changed; without values, several statements may be run."""
        status = await self._session.execute(sql, *values)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @asynccontextmanager
    async def transaction(self, begin: str = LASTING) -> AsyncGenerator[None]:
        """A transaction for the length of an `async with`.

        Args:
            begin: LASTING, PASSING or SNAPSHOT.
        """
        try:
            await self._session.execute(begin)
            yield
        except BaseException:
            await self.roll_back()
            raise
        if begin == SNAPSHOT:  # nothing is to be kept, so there is no outcome to be lost
            await self.roll_back()
        else:
            await self.commit()

    async def commit(self) -> None:
        """Raises CommitFailed."""
        # What takes too long, or whose caller is cancelled, asyncpg has the server cancel. A commit
        # that waits for a standby is done then without it: others see what may yet be lost.
        committing = asyncio.ensure_future(self._session.execute("COMMIT", timeout=2 * COMMIT_S))
        try:
            await asyncio.wait([committing], timeout=COMMIT_S)
        finally:
            if not committing.done():
                self._session.terminate()
                committing.add_done_callback(_is_seen)
        if not committing.done():
            raise CommitFailed(f"no answer within {COMMIT_S:g} s")
        try:
            status = committing.result()
        except Exception as error:
            raise CommitFailed from error
        if status != "COMMIT":  # something had failed before, and was passed over
            raise CommitFailed(status)

    async def roll_back(self) -> None:
        """Also where the caller was cancelled: nobody else may find the transaction open."""
        if self._session.is_closed():
            return
        with anyio.move_on_after(ROLLBACK_WAIT_S, shield=True) as waiting:
            try:
                await self._session.execute("ROLLBACK")
            except Exception:
                # What led here is told; a connection that cannot even do this is of no use.
                self._session.terminate()
        if waiting.cancelled_caught:
            self._session.terminate()


def _is_seen(ended: asyncio.Future[str]) -> None:
    """Nobody waits for it any more, so nobody is to be told of its error."""
    if not ended.cancelled():
        ended.exception()
