"""What was done and what was refused, for whoever has to find out later."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, Protocol

from room_mcp.rooms import Room, Step

from .codec import micros

DONE = "done"
JOIN = "join"
KNOCK = "knock"  # at the door of a room whose owner admits
POST = "post"
CLOSE = "close"
EXPIRE = "expire"
_BESIDES = frozenset({POST, EXPIRE})  # no entries themselves, only what they bring about
FIRST_LINK = ""  # before the first entry
MAX_PAGE_ENTRIES = 500
MAX_REFUSALS = 1_000  # kept one by one of each minute: a flood must not fill the disk
MAX_OF_ONE = 30  # of those, of one caller: nor hide what others were refused
MAX_TEXT_CHARS = 200  # of each field, which may be somebody's words
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `outcome` is "done", or the code with which it was refused.

    `name` is whom it was done as, `key_id` how the server key begins that did it, `subject` the
    caller's address, hashed; `request_id` is what the answer called the request, `detail` what
    else belongs to it, such as whom it was done to. Nothing that anybody said, no key, no address.
    """

    at: datetime
    act: str
    outcome: str = DONE
    room_id: str | None = None
    name: str | None = None
    key_id: str | None = None
    subject: str | None = None
    request_id: str | None = None
    detail: str | None = None


class Recorded(NamedTuple):
    """An entry of the audit: `no` counts 1, 2, 3 …; `previous` is the link of the one before."""

    no: int
    entry: Entry
    previous: str
    link: str

    @property
    def is_intact(self) -> bool:
        """Whether it is what was written after the one before."""
        return self.link == link(self.previous, self.no, self.entry)


class AuditPage(NamedTuple):
    """Entries in order. `last_no` is the last number that was given, `head` the last link."""

    entries: tuple[Recorded, ...]
    has_more: bool
    last_no: int
    head: str


class AuditStore(Protocol):
    """The part of a store that keeps the audit, to which is only added.

    What was done is written in the transaction that does it: by the `entry` of an act. A refusal
    is written with the next commit or within a second; of a flood the most part is only counted.
    """

    @property
    def secret(self) -> bytes:
        """Random, and the same for all processes that share the store; never shown."""
        ...

    def note_refusal(self, entry: Entry) -> None:
        """Put a refusal into the audit soon; lost if the process ends before."""
        ...

    async def audit(
        self, *, room_id: str | None = None, after: int = 0, limit: int = MAX_PAGE_ENTRIES
    ) -> AuditPage:
        """Entries numbered above `after`, of one room or of all; what was noted is among them."""
        ...


def entry_values(entry: Entry) -> tuple[int | str | None, ...]:
    """All of an entry, as it is kept and linked."""
    return (
        micros(entry.at),
        entry.act,
        entry.outcome,
        entry.room_id,
        entry.name,
        entry.key_id,
        entry.subject,
        entry.request_id,
        entry.detail,
    )


def link(previous: str, no: int, entry: Entry) -> str:
    """SHA-256, hexadecimal, over an entry and the link of the one before it."""
    fields = (previous, no, *entry_values(entry))
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def entries_of(entry: Entry | None, before: Room, step: Step) -> Iterable[Entry]:
    """What a step leaves in the audit.

    An act that changed nothing leaves nothing, and a message only what it brings about: that its
    sender is a member now, that the room has ended.
    """
    after = step.room
    if entry is None or after is before:
        return
    if entry.act == JOIN and entry.name and after.member(entry.name) is None:
        yield replace(entry, act=KNOCK)
    elif entry.act not in _BESIDES:
        yield entry
    elif entry.name and before.member(entry.name) is None and after.member(entry.name):
        yield replace(entry, act=JOIN)
    if entry.act != CLOSE and before.closing is None and (end := after.closing) is not None:
        yield replace(entry, act=CLOSE, detail=f"#{end.seq}, {end.reason}")


class Refusals:
    """Refusals that are not written yet."""

    def __init__(self) -> None:
        self._pending: list[Entry] = []
        self._minute = 0
        self._kept = 0  # of this minute
        self._by_caller: Counter[str | None] = Counter()  # of the same
        self._more = 0
        self._latest: datetime | None = None
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        minute = int(entry.at.timestamp()) // _MINUTE_S
        with self._lock:
            if minute != self._minute:
                self._count_rest()
                self._minute, self._kept = minute, 0
                self._by_caller.clear()
            of_his = self._by_caller[entry.subject]
            if self._kept < MAX_REFUSALS and of_his < MAX_OF_ONE:
                self._kept += 1
                self._by_caller[entry.subject] += 1
                self._pending.append(entry)
            else:
                self._more += 1
                self._latest = entry.at

    def pending(self) -> Sequence[Entry]:
        """A copy of what is to be written."""
        with self._lock:
            return tuple(self._pending)

    def written(self, refusals: Sequence[Entry]) -> None:
        """Forget what a commit took along; what came later stays."""
        with self._lock:
            del self._pending[: len(refusals)]

    def settle(self) -> None:
        """Nothing follows: what was only counted becomes an entry."""
        with self._lock:
            self._count_rest()

    def _count_rest(self) -> None:
        if self._latest is not None:
            self._pending.append(
                Entry(self._latest, "more", "refused", detail=f"{self._more} more")
            )
            self._more, self._latest = 0, None


def keepable(entry: Entry) -> Entry:
    """The entry with texts that can be kept: a refusal must not fail what is written with it."""
    return replace(
        entry,
        act=_text(entry.act) or "",
        outcome=_text(entry.outcome) or "",
        room_id=_text(entry.room_id),
        name=_text(entry.name),
        key_id=_text(entry.key_id),
        subject=_text(entry.subject),
        request_id=_text(entry.request_id),
        detail=_text(entry.detail),
    )


def _text(value: str | None) -> str | None:
    if value is None:
        return None
    # Without lone surrogates, and without NUL, which not every engine can keep.
    return value[:MAX_TEXT_CHARS].replace("\0", "?").encode("utf-8", "replace").decode()
