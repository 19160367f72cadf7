"""What a store holds, in the form that both engines can tell: rows of plain values.

Names and columns are those of PostgreSQL, where a message is known by its room's number and its
seq. Booleans are booleans, texts are as they were kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

Row = tuple[Any, ...]
Rows = AsyncIterator[Sequence[Row]]  # some at a time

PAGE_ROWS = 2_000  # that are in memory together, from one side
EVERYTHING = -1  # below every seq


class Table(NamedTuple):
    """`order` is what its rows are sorted by, within a room where they belong to one."""

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    booleans: frozenset[str] = frozenset()
    grows: bool = False
    """Rows are only added, with seqs above all that were there; but a room that was erased or
    deleted is another one."""

    @property
    def seq_at(self) -> int:
        """Which column is the seq."""
        return self.columns.index("seq")


def _table(
    name: str, columns: str, order: str = "", booleans: str = "", *, grows: bool = False
) -> Table:
    return Table(
        name, tuple(columns.split()), tuple(order.split()), frozenset(booleans.split()), grows
    )


ROOMS = _table(
    "rooms",
    "no id rev lifecycle listed last_seq updated_at archived_at name_key searchable creator owner"
    " state",
    "no",
    "listed",
)
NO, REV, LAST_SEQ, STATE = (
    ROOMS.columns.index(name) for name in ("no", "rev", "last_seq", "state")
)

OF_ROOMS = (  # the first column is the room's number
    _table(
        "messages",
        "room_no seq id at sender sender_type type content addressees reply_to mentions wakes"
        " chain",
        "seq",
        grows=True,
    ),
    _table("keys", "room_no sender key fingerprint seq", "sender key", grows=True),
    _table("members", "room_no skeleton name active principal", "skeleton", "active"),
    _table("contracts", "room_no source"),
    _table("features", "room_no seq scored data", "seq", "scored"),
    _table("memories", "room_no seq data"),
)

READINGS = _table(
    "readings",
    "room_no skeleton shown_to read_to seen_at waiting_until",
    "room_no skeleton",
)
SERVER_KEYS = _table(
    "server_keys",
    "id hash name kind admin created_at expires_at revoked_at used_at",
    "id",
    "admin",
)
INVITATIONS = _table("invitations", "hash name kind created_at expires_at", "hash")
AUDIT = _table(
    "audit", "no at act outcome room_id name key_id subject request detail link", "no", grows=True
)
WHOLE = (READINGS, SERVER_KEYS, INVITATIONS)  # copied once, when nobody writes any more

TIMES = ("restored_at", "retention_at", "retention_suspect_since")  # in `meta`


class Head(NamedTuple):
    """A room, as far as it must be known to see whether it was changed."""

    no: int
    rev: int
    last_seq: int


class Facts(NamedTuple):
    """What a store is told by, and its counters.

    `secret` never leaves the two stores. `times` are rows of `meta`; `directory` counts the
    changes of the directory, `audit_no` the entries that the audit was ever given.
    """

    epoch: str
    secret: str
    times: Mapping[str, str]
    directory: int
    audit_no: int
    audit_link: str


class Incoming(NamedTuple):
    """Rooms that are copied together.

    `after` says for each the last message that is there already; those of `anew` lose what is
    there, and texts of theirs may have been removed.
    """

    rooms: Sequence[Row]
    after: Mapping[int, int]
    anew: Collection[int]


class End(Protocol):
    """One of the two stores between which rooms are moved."""

    @property
    def where(self) -> str:
        """The store, as a person may be told."""
        ...

    async def facts(self) -> Facts: ...

    async def heads(self, above: int, upto: int | None, limit: int) -> list[Head]:
        """Rooms by number, deleted ones too; those numbered above the first, up to the second."""
        ...

    async def rooms(self, nos: Sequence[int]) -> list[Row]:
        """In the order of `ROOMS`, by number."""
        ...

    def rows(self, table: Table, after: Mapping[int, int]) -> Rows:
        """What belongs to these rooms, by their numbers; of a table that grows, what is above
        the seq."""
        ...

    def whole(self, table: Table, above: int = 0) -> Rows:
        """All rows of a table that belongs to no room; of the audit those numbered above."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """The rows of every table."""
        ...


class Source(End, Protocol):
    """The store that is left."""

    async def open(self) -> None:
        """Bring it up to date. Raises StoreUnavailable, StoreBusy."""
        ...

    async def aclose(self) -> None:
        """Also after `open` has failed."""
        ...

    async def left(self) -> str:
        """Its epoch with the note where its rooms are; empty when they are here. While `seen`."""
        ...

    def seen(self) -> AbstractAsyncContextManager[None]:
        """It is read as it is at one moment, while others go on writing."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Nobody else writes. Raises StoreBusy when somebody does not let go."""
        ...

    async def leave(self, where: str, at: datetime) -> None:
        """Let nobody write ever again, and tell everybody where the rooms are; the last in `held`,
        and done when that ends."""
        ...


class Target(End, Protocol):
    """The store that the rooms are moved to; of no use to anybody else until `finish`."""

    async def is_filled_from(self, identity: str, where: str) -> bool:
        """Whether `note_left` was told this `where` when all rooms of that store were in it."""
        ...

    async def open(self, identity: str) -> None:
        """Make what is needed, or go on with what was begun.

        Args:
            identity: Of the store that the rooms come from.

        Raises:
            StoreUnavailable, StoreBusy: Something else is there, or somebody uses it.
        """
        ...

    async def aclose(self) -> None:
        """Also after `open` has failed."""
        ...

    async def put(self, incoming: Incoming, read: Callable[[Table], Rows]) -> None:
        """Keep rooms as they are read, all of them or none."""
        ...

    async def put_whole(self, table: Table, rows: Rows) -> None:
        """Keep these rows in place of all that are there; entries of the audit behind them."""
        ...

    async def put_facts(self, facts: Facts) -> None: ...

    async def note_left(self, where: str) -> None:
        """Remember where the source is about to say that its rooms are: the target may be named
        otherwise when it has to be finished by a later run."""
        ...

    async def finish(self, at: datetime) -> None:
        """Let it be used; safe to call again."""
        ...
