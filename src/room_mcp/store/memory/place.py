"""What a store in memory keeps: rooms, messages and keys, as plain Python objects."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from room_mcp.rooms import Message, Room
from room_mcp.rooms.guard import Memory
from room_mcp.rooms.refusals import RoomNotFound

from ..auditing import FIRST_LINK, Entry, Recorded, Refusals, keepable, link
from ..callers import Invitation, ServerKey
from ..codec import to_json
from ..interface import MAX_AHEAD, Reading, StoreUnavailable
from ..memories import Heard
from ..tokens import content_tokens
from ..watching import Watchers

SECRET_BYTES = 32
_INSTANT = timedelta(microseconds=1)  # the shortest time that is told

KeyName = tuple[str, str]  # skeleton of the sender, key


class KeptMessage(NamedTuple):
    """A message without its content, which is JSON here: nobody can change what was said."""

    bare: Message
    text: str | None
    size_bytes: int
    words: frozenset[str]

    @property
    def message(self) -> Message:
        """The message as it was sent; without content once that is erased."""
        content = None if self.text is None else json.loads(self.text)
        return self.bare._replace(content=content)

    def without_text(self) -> KeptMessage:
        return KeptMessage(self.bare._replace(chain=None), None, 0, frozenset())


def kept(message: Message) -> KeptMessage:
    """The message as it is kept.

    Raises:
        ValueError: It holds something that is no JSON or no UTF-8, such as half a surrogate pair.
    """
    bare = message._replace(content=None)
    text = None if message.content is None else to_json(message.content)
    fields = (bare.id, bare.sender, bare.type, bare.to, bare.mentions, bare.wakes)
    to_json(fields).encode()
    return KeptMessage(
        bare,
        text,
        0 if text is None else len(text.encode()),
        frozenset(content_tokens(message.content)),
    )


class KeyUse(NamedTuple):
    """What an idempotency key stands for; without a fingerprint whatever comes under it."""

    fingerprint: bytes | None
    seq: int


@dataclass
class KeptRoom:
    """One room and all that belongs to it; `no` counts the rooms that were ever made."""

    no: int
    room: Room
    creator: str
    updated_at: datetime
    messages: list[KeptMessage] = field(default_factory=list[KeptMessage])
    keys: dict[KeyName, KeyUse] = field(default_factory=dict[KeyName, KeyUse])
    marks: dict[str, Reading] = field(default_factory=dict[str, Reading])  # by skeleton
    heard: list[Heard] = field(default_factory=list[Heard])
    memory: Memory | None = None  # the guard's, once it is needed: it has heard all of `heard`

    def message(self, seq: int) -> Message | None:
        return self.messages[seq - 1].message if 1 <= seq <= len(self.messages) else None


def _now() -> datetime:
    return datetime.now(UTC)


class Place:
    """Everything that stores share which were opened on it; all in one event loop."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self.epoch = secrets.token_hex(4)
        self.secret = secrets.token_bytes(SECRET_BYTES)
        self.rooms: dict[str, KeptRoom] = {}
        self.gone: set[str] = set()  # ids of deleted rooms: nobody gets them again
        self.directory_version = 0
        self.audit: list[Recorded] = []
        self.refusals = Refusals()
        self.keys: dict[str, ServerKey] = {}
        self.invitations: dict[str, Invitation] = {}
        self.rates: dict[tuple[str, str], datetime] = {}  # subject, kind: all is earned again
        self.slots: dict[tuple[str, str, str], tuple[int, datetime]] = {}  # and holder: until
        self.watchers = Watchers()
        self.changed_at: datetime | None = None  # the latest that was ever told
        self.round_at: datetime | None = None
        self.suspect_since: datetime | None = None
        self._last_change = datetime.min.replace(tzinfo=UTC)

    def kept(self, room_id: str) -> KeptRoom:
        """Raises RoomNotFound."""
        found = self.rooms.get(room_id)
        if found is None:
            raise RoomNotFound("No room has this id.")
        return found

    def add(self, room: Room, creator: str) -> KeptRoom:
        """Keep a new room.

        Raises:
            ValueError: The id was given before.
        """
        if room.id in self.rooms or room.id in self.gone:
            raise ValueError("A room of this id exists already.")
        to_json((room.id, room.name, room.purpose)).encode()  # what cannot be kept fails here
        new = KeptRoom(
            no=len(self.rooms) + len(self.gone) + 1,
            room=room,
            creator=creator,
            updated_at=self._change_at(),
        )
        self.rooms[room.id] = new
        self._tell(room.id, directory=True)
        return new

    def change(self, kept: KeptRoom, room: Room, messages: Sequence[KeptMessage]) -> None:
        """The room is another one now, with more messages."""
        before, kept.room = kept.room, room
        kept.messages += messages
        if room is before:
            return
        kept.marks = {key: one for key, one in kept.marks.items() if key in room.members}
        kept.updated_at = self._change_at()
        self._tell(room.id, directory=_shown(before) != _shown(room))

    def remove(self, room_id: str) -> None:
        """Take a room away; its id stays known."""
        del self.rooms[room_id]
        self.gone.add(room_id)
        self._tell(room_id, directory=True)

    def record(self, entries: Iterable[Entry]) -> None:
        """Put entries at the end of the audit."""
        for entry in entries:
            no = len(self.audit) + 1
            previous = self.audit[-1].link if self.audit else FIRST_LINK
            one = keepable(entry)
            self.audit.append(Recorded(no, one, previous, link(previous, no, one)))

    def record_refusals(self) -> None:
        """Put the refusals that were noted into the audit."""
        pending = self.refusals.pending()
        self.record(pending)
        self.refusals.written(pending)

    def _tell(self, room_id: str, *, directory: bool) -> None:
        """Wake whom a change concerns: after it, so that they find it."""
        if directory:
            self.directory_version += 1
        self.watchers.wake((room_id,), directory=directory)

    def _change_at(self) -> datetime:
        """Now, and never twice the same: so a page of the directory can end between two rooms."""
        now = self._clock()
        if self._last_change > now + MAX_AHEAD:
            self._last_change = now  # a clock far ahead told that one
        else:
            self._last_change = max(now, self._last_change + _INSTANT)
        self.changed_at = max(self.changed_at or now, self._last_change)
        return self._last_change


def _shown(room: Room) -> tuple[object, ...]:
    """What the directory shows of a room, or is turned by."""
    return room.lifecycle, room.listed, room.name, room.purpose, room.archived_at


class PlaceUser:
    """What is open on a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._is_open = False

    def _opened(self) -> Place:
        """Raises StoreUnavailable."""
        if not self._is_open:
            raise StoreUnavailable("The store is not open.")
        return self._place

    async def _turn(self) -> Place:
        """The place, once others had their turn: an act that nobody waits for any more by then
        does not happen, and one that does is done at once."""
        self._opened()
        await asyncio.sleep(0)
        return self._opened()
