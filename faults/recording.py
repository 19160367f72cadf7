"""Turns calls on rooms into a `History`: what was tried, what was told and what was read.

A poster tries again under the same key until he knows the outcome; a reader goes on from his
cursor. What a process records it can also write down line by line, before a call goes out and
after its answer came, so that what it knew outlives it.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import anyio

from room_mcp.failures import BackendError, BackendRefused
from room_mcp.rooms import Checked, Draft, Past, Proof, Refusal, Room, Stamp, Step
from room_mcp.store.interface import IdempotencyKey, Store, StoreError

from .history import NOTICE, History, Kept, Posting, Reading

if TYPE_CHECKING:  # it takes long to import, and many processes that are killed do without it
    from room_mcp.client import RoomsClient

RETRY_S = 0.02  # between two tries
GIVE_UP_S = 60.0  # of trying; far beyond any pause that a fault is meant to make
PAGE_MESSAGES = 100
BUSY = (429, 503)  # HTTP: nothing was done, try again
ENDING_TYPE = "decision"  # a message of this type ends a room that everybody may end

Messages = Sequence[tuple[int, str]]
"""seq and text, as they were read."""


class Call(NamedTuple):
    """What somebody wants to have appended; the same on every try."""

    room: str
    author: str
    key: str
    text: str
    ends: bool = False


class Told(NamedTuple):
    """How a call ended: with a number, with the code of a refusal, or with neither."""

    seq: int | None = None
    refused: str = ""


# ---- what is recorded ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Outcome:
    call: Call
    invoked: float
    tries: int = 1
    acknowledged: dict[int, float] = field(default_factory=dict[int, float])  # seq → first time
    refused: dict[str, float] = field(default_factory=dict[str, float])  # code → first time


class Recording:
    """What the posters and readers of one process, or of many, saw.

    Args:
        write: Takes each line as well; it must have it out of the process when it returns.
    """

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write
        self._outcomes: dict[tuple[str, str, str], _Outcome] = {}
        self._readings: list[Reading] = []

    # ---- from the inside ------------------------------------------------------------------------

    def tried(self, call: Call) -> None:
        """Before each try."""
        self._take(["try", time.monotonic(), *call])

    def acknowledged(self, call: Call, seq: int) -> None:
        self._take(["ack", time.monotonic(), call.room, call.author, call.key, seq])

    def refused(self, call: Call, code: str) -> None:
        self._take(["no", time.monotonic(), call.room, call.author, call.key, code])

    def read(self, room: str, reader: str, after: int, invoked: float, messages: Messages) -> None:
        """After an answer; `invoked` is when it was asked for."""
        seqs, texts = [seq for seq, _ in messages], [text for _, text in messages]
        self._take(["read", invoked, time.monotonic(), room, reader, after, seqs, texts])

    def _take(self, event: list[Any]) -> None:
        if self._write is not None:
            self._write(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._add(event)

    # ---- from other processes -------------------------------------------------------------------

    def add_line(self, line: str | bytes) -> str:
        """Take a line that another process wrote down; its kind: try, ack, no or read."""
        event = json.loads(line)
        self._add(event)
        return str(event[0])

    def _add(self, event: list[Any]) -> None:
        match event:
            case ["try", at, *call]:
                call = Call(*call)
                outcome = self._outcomes.setdefault(call[:3], _Outcome(call, at, tries=0))
                outcome.invoked = min(outcome.invoked, at)
                outcome.tries += 1
            case ["ack", at, room, author, key, seq]:
                self._outcomes[room, author, key].acknowledged.setdefault(seq, at)
            case ["no", at, room, author, key, code]:
                self._outcomes[room, author, key].refused.setdefault(code, at)
            case ["read", invoked, answered, room, reader, after, seqs, texts]:
                self._readings.append(
                    Reading(room, reader, after, invoked, answered, tuple(seqs), tuple(texts))
                )
            case _:
                raise ValueError(f"not a line of a recording: {event}")

    # ---- what came of it ------------------------------------------------------------------------

    def unknown(self) -> list[Call]:
        """Calls whose outcome nobody was told, oldest first."""
        return [
            outcome.call
            for outcome in self._outcomes.values()
            if not outcome.acknowledged and not outcome.refused
        ]

    @property
    def retried(self) -> int:
        """How many calls were tried more than once."""
        return sum(outcome.tries > 1 for outcome in self._outcomes.values())

    def history(self, kept: Sequence[Kept] = ()) -> History:
        postings = [one for outcome in self._outcomes.values() for one in _postings(outcome)]
        return History(postings, list(self._readings), list(kept))


def _postings(outcome: _Outcome) -> Iterator[Posting]:
    """One, unless the same key was answered in different ways."""
    call = outcome.call
    told = [Told(seq) for seq in outcome.acknowledged]
    told += [Told(None, code) for code in outcome.refused]
    times = [*outcome.acknowledged.values(), *outcome.refused.values()]
    for (seq, refused), at in zip(told or [Told()], times or [None], strict=True):
        yield Posting(
            room=call.room,
            author=call.author,
            key=call.key,
            text=call.text,
            invoked=outcome.invoked,
            answered=at,
            seq=seq,
            refused=refused,
            ends=call.ends,
        )


# ---- doors: the ways to a room ------------------------------------------------------------------


class Refused(Exception):
    """The rules said no."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotKnown(Exception):
    """It was too busy, or the answer was lost: ask the same again."""


class Door(Protocol):
    """A way to rooms; what fails is `Refused` or `NotKnown`."""

    async def post(self, call: Call) -> int:
        """The number of the message."""
        ...

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        """A page; an empty one when the wait ran out."""
        ...


class StoreDoor:
    """Rooms of a store that this process has open."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def post(self, call: Call) -> int:
        key = IdempotencyKey(call.author, call.key, hashlib.sha256(call.text.encode()).digest())
        try:
            done = await self._store.act(call.room, deciding(call), key=key)
        except Refusal as refusal:
            raise Refused(refusal.code) from None
        except StoreError as error:
            raise NotKnown(str(error)) from None
        return done.messages[0].seq

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        try:
            async with self._store.watch([room]) as watch:
                messages = await self._page(room, after)
                if not messages and wait_s and await watch.wait(wait_s):
                    messages = await self._page(room, after)
        except Refusal as refusal:
            raise Refused(refusal.code) from None
        except StoreError as error:
            raise NotKnown(str(error)) from None
        return messages

    async def _page(self, room: str, after: int) -> Messages:
        page = await self._store.read(room, after=after, limit=PAGE_MESSAGES)
        return [(one.seq, text_of(one.sender_type, one.content)) for one in page.messages]


def deciding(call: Call) -> Callable[[Room, Past], Step]:
    """What a store is asked to do with a room."""
    draft = Draft(call.author, call.text, type=ENDING_TYPE if call.ends else "note")
    stamp = Stamp(datetime.now(UTC), (str(uuid.uuid4()), str(uuid.uuid4())))
    proof = Proof(trusted=True)

    def decide(room: Room, past: Past) -> Step:
        terminal = enumerate(room.contract.terminal)
        endings = tuple(at for at, rule in terminal if rule.type == draft.type)
        prepared = Checked(room.contract, endings)
        return room.post(draft, proof=proof, stamp=stamp, past=past, prepared=prepared)

    return decide


class ClientDoor:
    """Rooms of a server, over HTTP."""

    def __init__(self, client: RoomsClient) -> None:
        self._client = client

    async def post(self, call: Call) -> int:
        type = ENDING_TYPE if call.ends else None
        try:
            posted = await self._client.post(
                call.room, call.author, call.text, type=type, idempotency_key=call.key
            )
        except BackendError as error:
            raise _failure(error) from None
        return posted.seq

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Messages:
        try:
            page = await self._client.messages(
                room, after=after, limit=PAGE_MESSAGES, wait_s=wait_s
            )
        except BackendError as error:
            raise _failure(error) from None
        return [(one.seq, text_of(one.sender_type, one.content)) for one in page.messages]


def _failure(error: BackendError) -> Refused | NotKnown:
    if isinstance(error, BackendRefused) and error.status not in BUSY:
        return Refused(error.code)
    return NotKnown(str(error))


def text_of(sender_type: str, content: Any) -> str:
    """What a history knows of a message."""
    if sender_type == "system":
        return NOTICE + json.dumps(content, ensure_ascii=False, sort_keys=True)
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True)


# ---- posters and readers ------------------------------------------------------------------------


async def post(
    door: Door, recording: Recording, call: Call, *, give_up_s: float = GIVE_UP_S
) -> Told:
    """Try until the outcome is known, or `give_up_s` seconds have passed."""
    deadline = time.monotonic() + give_up_s
    while True:
        recording.tried(call)
        try:
            seq = await door.post(call)
        except Refused as refused:
            recording.refused(call, refused.code)
            return Told(refused=refused.code)
        except NotKnown:
            if time.monotonic() > deadline:
                return Told()
            await anyio.sleep(RETRY_S)
            continue
        recording.acknowledged(call, seq)
        return Told(seq)


async def read(
    door: Door, recording: Recording, room: str, reader: str, after: int, *, wait_s: float = 0
) -> Messages:
    """One page after a cursor, asked for until an answer comes.

    Raises:
        Refused: There is no such room, for example.
    """
    while True:
        invoked = time.monotonic()
        try:
            messages = await door.read(room, after, wait_s=wait_s)
        except NotKnown:
            await anyio.sleep(RETRY_S)
            continue
        recording.read(room, reader, after, invoked, messages)
        return messages


async def read_to_the_end(
    door: Door, recording: Recording, room: str, reader: str, *, after: int = 0, wait_s: float
) -> int:
    """Follow a room until it has ended; the last seq."""
    while True:
        messages = await read(door, recording, room, reader, after, wait_s=wait_s)
        if messages:
            after, last = messages[-1]
            if last.startswith(NOTICE):
                return after
