"""What the backend needs from a store, and the words in which the two talk.

Every engine keeps these promises: a message that `act` returned is on disk; the messages of a
room are numbered 1, 2, 3 … without gaps; an idempotency key stands for one message as long as the
room exists; whoever opens a `watch` before he reads misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from room_mcp.rooms import Message, Past, Refusal, Room, Step

from .auditing import AuditStore, Entry
from .callers import CallerStore
from .limiting import LimitStore, Quota
from .measuring import StoreMeasures

MAX_PAGE_MESSAGES = 500
MAX_PAGE_BYTES = 1024 * 1024
MAX_SCANNED = 5_000  # messages that a filtered read looks at before it answers with a cursor
MAX_AHEAD = timedelta(days=1)  # of a change's time; one that is further came from a wrong clock

Decide = Callable[[Room, Past], Step]
"""A pure, quick function; it may run more than once."""


class StoreError(Exception):
    """The store cannot do its work; `advice` says what a person can do about it."""

    def __init__(self, detail: str, *, advice: str = "") -> None:
        super().__init__(f"{detail} {advice}".strip())
        self.detail = detail
        self.advice = advice


class StoreUnavailable(StoreError):
    """The store cannot be opened or written at all: wrong path, full disk, newer schema."""


class StoreBusy(StoreError):
    """The deadline passed before the act began. Nothing was committed; try again."""


class StoreSilent(StoreBusy):
    """The database does not answer. Nothing was committed; try again, perhaps much later."""


class OutcomeUnknown(StoreError):
    """The act may have been committed. Retry with the same idempotency key."""


class TextLeft(StoreError):
    """Texts were removed, and nobody is shown them any more; but the files still hold some."""


class IdempotencyKey(NamedTuple):
    """`fingerprint` tells a retry from another message under the same key."""

    sender: str
    key: str
    fingerprint: bytes


class Act(NamedTuple):
    """`entry` is what stands in the audit if the act changes the room."""

    decide: Decide
    key: IdempotencyKey | None = None
    entry: Entry | None = None


class Done(NamedTuple):
    """What an act left: the room after it and its messages; or those of the first time.

    `notices` are the step's own, for whoever acted.
    """

    room: Room
    messages: tuple[Message, ...]
    replayed: bool = False
    notices: tuple[str, ...] = ()


class Page(NamedTuple):
    """A stretch of a room, oldest first.

    `first_seq` and `last_seq` bound what was looked at, which for a filtered read is more than
    what was found; both are None when nothing was there. `has_more`: in the direction of reading.
    """

    messages: tuple[Message, ...]
    first_seq: int | None
    last_seq: int | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a member has got: seqs, and until when he sits in a wait (None: he does not)."""

    shown_to: int = 0
    read_to: int = 0
    seen_at: datetime | None = None
    waiting_until: datetime | None = None

    def then(self, later: Reading) -> Reading:
        """The later one; seqs never go back."""
        return replace(
            later,
            shown_to=max(self.shown_to, later.shown_to),
            read_to=max(self.read_to, later.read_to),
            seen_at=later.seen_at or self.seen_at,
        )


class Head(NamedTuple):
    """A room's newest number; `room` is None when the room is gone."""

    last_seq: int
    room: Room | None


class Listed(NamedTuple):
    """A row of the directory."""

    room: Room
    updated_at: datetime


class Listing(NamedTuple):
    """The arguments of `Store.directory`."""

    query: str
    member: str | None
    include_closed: bool
    listed_only: bool
    principal: str
    before: datetime | None
    limit: int
    archived: bool


class Times(NamedTuple):
    """What retention goes by; None: there is no such time.

    `changed_at` is of the room that was changed last, deleted ones too; `restored_at` of the last
    restore. `round_at` and `suspect_since` are those of `Store.note_round`.
    """

    changed_at: datetime | None = None
    restored_at: datetime | None = None
    round_at: datetime | None = None
    suspect_since: datetime | None = None


class Hit(NamedTuple):
    room: Room
    message: Message


class Watch(Protocol):
    """Wakes when a watched room, or the directory, may have changed.

    Register first, then read, then `wait`: a change after the registration is never missed. A
    wake-up carries nothing and may come for nothing.
    """

    async def wait(self, timeout_s: float) -> bool:
        """True after a change (since the last `wait`), False when the time ran out."""
        ...

    def wake(self) -> None:
        """End the wait from outside, as a change would."""
        ...


class Store(CallerStore, AuditStore, LimitStore, Protocol):
    @property
    def epoch(self) -> str:
        """Changes when the store was restored from an older copy."""
        ...

    @property
    def measures(self) -> StoreMeasures:
        """What this process counts of the store."""
        ...

    async def open(self) -> None:
        """Be ready; safe to call again.

        Raises:
            StoreUnavailable: With advice on what a person can do.
        """
        ...

    async def aclose(self) -> None: ...

    async def create(
        self,
        room: Room,
        *,
        reuse: bool = False,
        quota: Quota | None = None,
        entry: Entry | None = None,
    ) -> tuple[Room, bool]:
        """Keep a new room. With `reuse`, an open room of that name is taken instead, if it is
        listed or belongs to the same server key.

        Args:
            quota: Whom a new room counts for.

        Returns:
            The room, and whether it is new.

        Raises:
            QuotaExceeded: He has as many as he may; counted in the same transaction.
        """
        ...

    async def act(
        self,
        room_id: str,
        decide: Decide,
        *,
        key: IdempotencyKey | None = None,
        entry: Entry | None = None,
        timeout_s: float | None = None,
    ) -> Done:
        """Run one decision in a transaction of its own or together with others.

        Raises:
            Refusal: What `decide` raised; `RoomNotFound`; `KeyReused`.
            StoreBusy, OutcomeUnknown, StoreUnavailable: As they say.
        """
        ...

    async def act_all(
        self, room_id: str, acts: Sequence[Act], *, timeout_s: float | None = None
    ) -> list[Done | Refusal]:
        """Run decisions in order in one transaction; a refusal does not stop the rest."""
        ...

    async def room(self, room_id: str) -> Room:
        """Raises RoomNotFound."""
        ...

    async def read(
        self,
        room_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 50,
        max_bytes: int = MAX_PAGE_BYTES,
        sender: str | None = None,
        type: str | None = None,
    ) -> Page:
        """A page of messages, oldest first.

        With `after`: the oldest above it. Otherwise the newest, below `before` when given; both
        bounds exclude. At least one message is returned if there is one, whatever its size.
        """
        ...

    async def seq_at(self, room_id: str, *, at: datetime | None, message_id: str | None) -> int:
        """The seq of the message with this id, or of the last one not later than `at`.

        Returns:
            0 when there is none.
        """
        ...

    async def heads(self, room_ids: Collection[str]) -> Mapping[str, Head]:
        """The present state of many rooms; unknown ids get `Head(0, None)`."""
        ...

    async def directory(
        self,
        *,
        query: str = "",
        member: str | None = None,
        include_closed: bool = True,
        listed_only: bool = True,
        principal: str = "",
        before: datetime | None = None,
        limit: int = 100,
        archived: bool = False,
    ) -> list[Listed]:
        """Rooms, the most recently changed first.

        Args:
            query: A part of the name or purpose, or of the id's beginning; case does not matter.
            member: Only rooms in which this name is an active member (without a principal also
                the unlisted).
            principal: Unlisted rooms, too, that this server key opened or is a member of.
            before: Only rooms last changed before; to turn pages.
            archived: Only rooms that are archived (`Room.is_archived`); else only others.
        """
        ...

    async def stale(
        self,
        *,
        before: datetime | None = None,
        beyond: int | None = None,
        ended_only: bool = True,
        limit: int = 100,
    ) -> list[Listed]:
        """Rooms that nobody changed for long, the longest unchanged first; archived ones, too.

        Args:
            before: Those last changed before.
            beyond: All but so many of the latest changed ones; with `before`, either is enough.
            ended_only: Rooms that are not closed neither count nor are found.
        """
        ...

    async def times(self) -> Times: ...

    async def note_round(
        self, round_at: datetime | None, suspect_since: datetime | None = None
    ) -> None:
        """Remember when stale rooms were last removed, and since when a clock is not believed."""
        ...

    async def search(self, query: str, *, room_ids: Collection[str], limit: int = 20) -> list[Hit]:
        """Messages that hold every word of the query, newest first, in these rooms only."""
        ...

    async def readings(self, room_id: str) -> Mapping[str, Reading]:
        """How far each member has got, by name."""
        ...

    def mark_read(self, room_id: str, name: str, reading: Reading) -> None:
        """Remember how far a member has got.

        Seen at once by this process; written with the next commit or within a second. Seqs never
        go back, except after the room was erased.
        """
        ...

    async def erase(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> Room:
        """Remove all texts, keep the numbers; `decide` may refuse.

        Idempotency keys stay, but no longer tell what they stood for: whatever comes under one is
        answered with the message of then. `scrub` takes the texts out of the files as well.
        """
        ...

    async def delete(self, room_id: str, decide: Decide, *, entry: Entry | None = None) -> None:
        """Remove the room; whoever waits in it is woken. `decide` may refuse."""
        ...

    async def scrub(self, *, max_bytes: int | None = None, pause: timedelta = timedelta(0)) -> bool:
        """Leave nothing in the files of what was erased or deleted, by anybody.

        Nothing happens when there is nothing to do. Else it takes about as long as to copy the
        store, and all who write wait.

        Args:
            max_bytes: A larger store is left to somebody who gives no limit.
            pause: Where nodes share a database, it is left to a later one if any of them has
                begun one with a pause less than that ago.

        Returns:
            Whether there was anything to do.

        Raises:
            TextLeft: Something is in the way; the next `scrub` goes on.
        """
        ...

    async def directory_version(self) -> int:
        """A number that grows when a room is opened, paused, resumed, closed or deleted."""
        ...

    def watch(
        self, room_ids: Collection[str] = (), *, directory: bool = False
    ) -> AbstractAsyncContextManager[Watch]: ...
