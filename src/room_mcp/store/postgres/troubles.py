"""Which errors of the database pass, and what each means to a person."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import asyncpg

from ..interface import OutcomeUnknown, StoreBusy, StoreError, StoreSilent, StoreUnavailable
from .addresses import LIMIT_OF_LENT, Address
from .database import CommitFailed
from .sessions import SESSION

_KNOWN_TO_POOLERS = ("application_name", "timezone")
_SENT_AT_START = tuple(name for name in SESSION if name not in _KNOWN_TO_POOLERS)

MOVED = "RM001"  # of whatever would be written to a store whose rooms were moved away

LOST = (
    *(OSError, EOFError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError),
)
"""The connection is gone, or no use any more; also while the server starts or ends."""

PASSES = (
    *(*LOST, asyncpg.TransactionRollbackError, asyncpg.LockNotAvailableError),
    *(asyncpg.OutOfMemoryError, asyncpg.TooManyConnectionsError, asyncpg.QueryCanceledError),
    # It is a standby, and may be the primary soon, or another one is.
    asyncpg.ReadOnlySQLTransactionError,
    # Another node has changed the tables since; asyncpg prepares the statement anew the next time.
    asyncpg.InvalidCachedStatementError,
)
"""What may be otherwise a moment later; all but disks that are full."""


class Errors:
    """Lets errors of the database rise as those of a store."""

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
    for kind, words, told in _TROUBLES_BY_WORDS:
        if isinstance(error, kind) and words in str(error):
            return told(shown, error)
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return StoreSilent(
            f"Nobody answers at {shown} ({reason(error)}); nothing was stored.",
            advice="See that the server runs, that its port or socket is the one in the store's "
            "address, and try again.",
        )
    if isinstance(error, LOST):
        return StoreSilent(
            f"The database {shown} does not answer ({reason(error)}); nothing was stored.",
            advice="See that it runs, and try again.",
        )
    if isinstance(error, PASSES):
        return StoreBusy(
            f"The database {shown} is busy ({reason(error)}); nothing was stored.",
            advice="Try again.",
        )
    return StoreUnavailable(
        f"The database {shown} failed ({reason(error)}); nothing was stored.",
        advice="Look into the log of the database server.",
    )


def misfit(error: Exception) -> Exception:
    """Why a value cannot be sent, where that is what an error is about; else the error."""
    is_about_value = isinstance(error, asyncpg.DataError) and error.__cause__ is not None
    return error.__cause__ if is_about_value and isinstance(error.__cause__, Exception) else error


def reason(error: Exception) -> str:
    """An error in its own words, without what holds values such as names and keys: the DETAIL of
    the server, and the argument of asyncpg."""
    about = misfit(error)
    told = getattr(about, "message", None) or str(about)
    return " ".join(told.split()).rstrip(".") or type(error).__name__


def _unavailable(detail: str, advice: str) -> Callable[[str, Exception], StoreError]:
    def told(shown: str, error: Exception) -> StoreError:
        return StoreUnavailable(
            detail.format(shown=shown, reason=reason(error)), advice=advice.format(shown=shown)
        )

    return told


def _no_database(shown: str, error: Exception) -> StoreError:
    if urlsplit(shown).path not in ("", "/"):
        return StoreUnavailable(f"There is no such database: {shown}.", advice=_MAKE_DATABASE)
    return StoreUnavailable(
        f"The store's address names no database, and PostgreSQL took the one that is named as the "
        f"user is ({reason(error)}).",
        advice="Write postgresql://USER@HOST:5432/DATABASE",
    )


_MAKE_DATABASE = "Make it: CREATE DATABASE name OWNER user ENCODING 'UTF8' TEMPLATE template0;"

_WRONG_OPTION = "Correct or remove the option in the store's address, behind the question mark."

# As asyncpg tells that the server has no TLS, and PgBouncer that it passes a setting on to nobody.
# What asyncpg does not know in an address goes to the server as a setting.
_TROUBLES_BY_WORDS = (
    (
        asyncpg.UndefinedObjectError,
        "unrecognized configuration parameter",
        _unavailable(
            "The store's address has an option that nobody knows ({reason}).", _WRONG_OPTION
        ),
    ),
    (
        asyncpg.InvalidParameterValueError,
        "for parameter",
        _unavailable(
            "The store's address has an option of a wrong value ({reason}).", _WRONG_OPTION
        ),
    ),
    (
        asyncpg.CantChangeRuntimeParamError,
        "cannot be",
        _unavailable("The store's address has an option that is none ({reason}).", _WRONG_OPTION),
    ),
    (
        ConnectionError,
        "rejected SSL upgrade",
        _unavailable(
            "{shown} does not speak TLS ({reason}).",
            "Turn it on there (ssl = on); or, on a network that nobody else reads, write "
            "sslmode=disable into the store's address.",
        ),
    ),
    (
        asyncpg.ProtocolViolationError,
        "startup parameter",
        _unavailable(
            "A pooler at {shown} refuses the settings of a node ({reason}).",
            "Name PostgreSQL itself in the store's address; or set pool_mode = session and "
            f"ignore_startup_parameters = {','.join(_SENT_AT_START)} in PgBouncer, and give the "
            "settings to the user, as the page about deploying says.",
        ),
    ),
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
        _no_database,
    ),
    (
        (asyncpg.InvalidSchemaNameError,),
        _unavailable(
            "search_path in the store's address names no schema that is there ({reason}).",
            "Make it: CREATE SCHEMA name AUTHORIZATION user;",
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
            "postgresql://HOST1,HOST2/DATABASE",
        ),
    ),
    (
        (asyncpg.InvalidSQLStatementNameError,),
        _unavailable(
            "What stands before {shown} gives each transaction another connection ({reason}).",
            "Set the pooler up to keep one for each connection: pool_mode = session",
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
            "address: each node takes so many, two more, and up to another four when needed.",
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
