"""Connections to the database, and what its errors mean to a person."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from room_mcp.store_address import shown

from ..interface import OutcomeUnknown, StoreBusy, StoreError, StoreUnavailable
from .database import CommitFailed, Database, Session

CONNECT_S = 5.0  # for all hosts of the address together
COMMAND_S = 20.0  # for one statement; then its connection is given up
BORROW_S = 5.0  # that a call waits for a connection of the pool
LENT = 10  # connections of the pool, unless the address says otherwise
MAX_LENT = 1_000
MAX_PORT = 65_535
LIMIT_OF_LENT = "connection_limit"  # in the address, as other tools call it

# Who holds a row longer than this while the others wait has died in the middle: a transaction
# here never waits for anything but the database.
IDLE_IN_TRANSACTION_MS = 5_000
LOCK_WAIT_MS = 8_000  # longer than that, so that waiting behind a dead node ends well

SESSION = {
    "application_name": "room-mcp",
    "jit": "off",  # statements here are short; to compile one takes longer than to run it
    # Which room is asked for makes no difference to the plan: to plan anew each time costs a third
    # of what the server does for a post.
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": str(LOCK_WAIT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
    # Before a commit, time-outs come from this side, by giving up the connection: cancelled by
    # the server, a commit that waits for a standby would be told as done.
    "statement_timeout": "0",
    "timezone": "UTC",
}

MOVED = "RM001"  # of whatever would be written to a store whose rooms were moved away

LOST = (
    *(OSError, EOFError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError),
)
"""The connection is gone, or no use any more; also while the server starts or ends."""

PASSES = (
    *(*LOST, asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError),
    *(asyncpg.OutOfMemoryError, asyncpg.TooManyConnectionsError, asyncpg.QueryCanceledError),
    # A pooled connection to a primary that is a standby now.
    asyncpg.ReadOnlySQLTransactionError,
)
"""What may be otherwise a moment later; all but disks that are full."""


# Of the server, and of the database: each copy that is put back has another number.
_BEGINNING = """
SELECT (pg_postmaster_start_time(), oid)::text FROM pg_database WHERE datname = current_database()
"""

# Its types are partly unknown; `Session` names what is used.
_asyncpg: Any = asyncpg


class Address(NamedTuple):
    """Where the database is: `urls` for asyncpg, one for each host, `shown` without what is
    secret."""

    urls: tuple[str, ...]
    shown: str
    lent: int


def address_in(url: str) -> Address:
    """The parts of `postgresql://…`.

    Raises:
        StoreUnavailable: It is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # which would tell the login
        raise _no_address("its host is none") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=False))
    limit = query.pop(LIMIT_OF_LENT, str(LENT))
    lent = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else 0
    if not 2 <= lent <= MAX_LENT:
        raise _no_address(f"{LIMIT_OF_LENT} is 2 to {MAX_LENT:,}")
    if _is_cut_in_login(parts):
        raise _no_address("in a login write / as %2F, ? as %3F, # as %23 and % as %25")
    user, at, hosts = parts.netloc.rpartition("@")
    if not all(map(_has_right_port, hosts.split(","))):
        raise _no_address("a port is 1 to 65,535")
    name = unquote(parts.path.lstrip("/"))
    seen = shown(url) if "@" in parts.query else f"postgresql://{hosts}/{name}"
    urls = (
        urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=urlencode(query)))
        for host in hosts.split(",")
    )
    return Address(tuple(urls), seen, lent)


def _has_right_port(host: str) -> bool:
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= MAX_PORT)


def _is_cut_in_login(parts: SplitResult) -> bool:
    """Whether a password holds what ends a host, so that a piece of it would be taken for one."""
    names = [one.partition("=")[0] for one in parts.query.split("&")]
    is_cut = any("@" in part for part in (parts.path, parts.fragment, *names))
    return is_cut and "@" not in parts.netloc


def _no_address(why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The address of the database cannot be read: {why}.",
        advice="Write postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    )


class Connections:
    """The connections of one node: a pool for short reads and writes, and some of their own.

    Args:
        begun_anew: Called when the database is perhaps not the one from before, and before
            anything is asked of it: the server was started again, or another one is the primary.
            It may have been set back, or lack what was committed last.
    """

    def __init__(self, address: Address, *, begun_anew: Callable[[], None] = lambda: None) -> None:
        self.address = address
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
        """A connection to the first host that takes us.

        Each has a time of its own, which asyncpg does not give them: where the primary is silent,
        nobody would come to the one that has taken its place.
        """
        lost: Exception | None = None
        for host in list(self._hosts):
            try:
                session = await _asyncpg.connect(
                    host, timeout=CONNECT_S / len(self._hosts), **options
                )
                await self._look_at(session)
            except LOST as error:
                lost = error
            else:
                self._hosts.sort(key=lambda other: other != host)
                return session
        assert lost is not None
        raise lost

    async def _look_at(self, session: Any) -> None:
        try:
            beginning = str(
                await session.fetchval(_BEGINNING, timeout=CONNECT_S / len(self._hosts))
            )
        except BaseException:
            session.terminate()
            raise
        if self._beginning not in ("", beginning):
            self._begun_anew()
        self._beginning = beginning

    def errors(self) -> _Errors:
        """Lets errors of the database rise as those of a store."""
        return _Errors(self.address)


async def _leave_as_it_is(session: Session) -> None:
    """No statement of ours leaves anything behind in a session, so nothing is to be reset; but
    whoever is cancelled twice may not have come to roll back."""
    if session.is_in_transaction():
        await session.execute("ROLLBACK")


class _Errors:
    def __init__(self, address: Address) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError, CommitFailed, *LOST)):
            raise trouble(error, self._address) from error


def trouble(error: Exception, address: Address) -> StoreError:
    """What an error of the database means, and what to do about it."""
    shown = address.shown
    if isinstance(error, StoreError):
        return error
    if isinstance(error, CommitFailed):
        return OutcomeUnknown(
            f"The connection to {shown} was lost while committing.",
            advice="Retry with the same idempotency key.",
        )
    if getattr(error, "sqlstate", None) == MOVED:
        parts = (str(getattr(error, name, "") or "") for name in ("message", "hint"))
        return StoreUnavailable(next(parts), advice=next(parts))
    for kinds, told in _TROUBLES:
        if isinstance(error, kinds):
            return told(shown, error)
    if isinstance(error, ConnectionError) and NO_TLS in str(error):
        return _NO_TLS(shown, error)
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return StoreBusy(
            f"Nobody answers at {shown} ({_reason(error)}); nothing was stored.",
            advice="See that the server runs, that its port or socket and the files of TLS are the "
            "ones in the store's address, and try again.",
        )
    if isinstance(error, PASSES):
        return StoreBusy(
            f"The database {shown} cannot be reached or is busy ({_reason(error)}); nothing was "
            "stored.",
            advice="Try again.",
        )
    return StoreUnavailable(
        f"The database {shown} failed ({_reason(error)}); nothing was stored.",
        advice="Look into the log of the database server.",
    )


def misfit(error: Exception) -> Exception:
    """Why a value cannot be sent, where that is what an error is about; else the error."""
    is_about_value = isinstance(error, asyncpg.DataError) and error.__cause__ is not None
    return error.__cause__ if is_about_value and isinstance(error.__cause__, Exception) else error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


NO_TLS = "rejected SSL upgrade"  # as asyncpg tells that the server has no TLS


def _unavailable(detail: str, advice: str) -> Callable[[str, Exception], StoreError]:
    def told(shown: str, error: Exception) -> StoreError:
        return StoreUnavailable(
            detail.format(shown=shown, reason=_reason(error)), advice=advice.format(shown=shown)
        )

    return told


_NO_TLS = _unavailable(
    "{shown} does not speak TLS ({reason}).",
    "Turn it on there (ssl = on); or, on a network that nobody else reads, write sslmode=disable "
    "into the store's address.",
)

_TROUBLES: tuple[
    tuple[tuple[type[Exception], ...], Callable[[str, Exception], StoreError]], ...
] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        _unavailable(
            "The database {shown} does not let this user in ({reason}).",
            "Check user and password in the store's address (or PGPASSWORD, ~/.pgpass), and "
            "pg_hba.conf of the server.",
        ),
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        _unavailable(
            "There is no such database: {shown}.",
            "Make it: CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0;",
        ),
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        _unavailable(
            "The user may not do what a store needs in {shown} ({reason}).",
            "Let the user own the database: ALTER DATABASE name OWNER TO user;",
        ),
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        _unavailable(
            "{shown} can only be read: it is a standby, or set to read only.",
            "Name the primary. Of several hosts it is found by itself: "
            "postgresql://HOST1,HOST2/DATABASE?target_session_attrs=primary",
        ),
    ),
    (
        (asyncpg.DiskFullError,),
        _unavailable("The disk of {shown} is full; nothing was stored.", "Make room on it."),
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        _unavailable(
            "{shown} takes no more connections; nothing was stored.",
            f"Raise max_connections of the server, or lower {LIMIT_OF_LENT} in the store's "
            "address: each node takes so many, and two.",
        ),
    ),
    (
        (socket.gaierror,),
        _unavailable("The host of {shown} is not known ({reason}).", "Check the store's address."),
    ),
    (
        (ssl.SSLError,),
        _unavailable(
            "{shown} and this node do not agree on TLS ({reason}).",
            "Check sslmode and sslrootcert in the store's address.",
        ),
    ),
    (
        (asyncpg.ClientConfigurationError,),
        _unavailable(
            "The address of the database cannot be read: {reason}.",
            "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE",
        ),
    ),
)


async def closed(session: Session | None) -> None:
    """Close a connection, however it is."""
    if session is None or session.is_closed():
        return
    with suppress(Exception):
        await session.close(timeout=1)
        return
    session.terminate()
