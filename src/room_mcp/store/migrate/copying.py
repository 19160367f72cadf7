"""Passes over two stores: each copies what was changed since the one before, and reads it back.

A room is in the target as it was at some moment in the source, or not at all: whatever ends a pass,
the next one goes on behind it. What was read of a room on both sides is compared by SHA-256; of
what only grows, the part that was not compared yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..auditing import FIRST_LINK, Entry, link
from ..codec import moment
from ..interface import StoreError
from .tables import (
    AUDIT,
    EVERYTHING,
    LAST_SEQ,
    NO,
    OF_ROOMS,
    ROOMS,
    STATE,
    WHOLE,
    End,
    Head,
    Incoming,
    Row,
    Rows,
    Source,
    Table,
    Target,
)

TOGETHER_ROOMS = 500  # in one transaction of the target, at most
TOGETHER_MESSAGES = 20_000  # then no further room is added

Progress = Callable[[int, int], None]
"""Told how many messages are done, and of how many."""


@dataclass
class Copied:
    """How much was copied."""

    rooms: int = 0
    messages: int = 0


@dataclass
class Copying:
    """The passes of one run."""

    source: Source
    target: Target
    progress: Progress
    _compared: dict[int, int] = field(default_factory=dict[int, int])  # rooms: up to which seq
    _deleted: set[int] = field(default_factory=set[int])  # of these, those that are tombstones
    _audited: tuple[int, str] = (0, FIRST_LINK)  # the last entry that was compared, and its link

    async def go(self) -> Copied:
        """Make the target what the source is, for as long as this pass sees it."""
        copied = Copied()
        total = sum([head.last_seq async for heads in _all_heads(self.source) for head in heads])
        done = 0
        async for heads in _all_heads(self.source):
            there = await self.target.heads(heads[0].no - 1, heads[-1].no, TOGETHER_ROOMS)
            known = {head.no: head for head in there}
            for some in _together(heads):
                await self._room_batch(some, known, copied)
                done += sum(head.last_seq for head in some)
                self.progress(done, total)
        await self._audit()
        return copied

    @property
    def total(self) -> Copied:
        """What both sides hold, as far as they were compared."""
        return Copied(len(self._compared) - len(self._deleted), sum(self._compared.values()))

    async def end(self) -> None:
        """After a last pass, while nobody writes to the source: copy the rest, and compare all.

        Raises:
            StoreError: The two are not the same.
        """
        for table in WHOLE:
            await self.target.put_whole(table, self.source.whole(table))
            if await _hash_of(self.source.whole(table)) != await _hash_of(self.target.whole(table)):
                raise _differs(f"the table {table.name}")
        facts = await self.source.facts()
        await self.target.put_facts(facts)
        if await self.target.facts() != facts:
            raise _differs("its counters")
        ours, theirs = await self.source.counts(), await self.target.counts()
        for name, count in ours.items():
            if theirs[name] != count:
                raise _differs(f"{name}: {count:,} rows there, {theirs[name]:,} here")

    # ---- rooms ----------------------------------------------------------------------------------

    async def _room_batch(
        self, heads: Sequence[Head], known: Mapping[int, Head], copied: Copied
    ) -> None:
        changed = [head.no for head in heads if head != known.get(head.no)]
        compared = [head.no for head in heads if head.no not in self._compared]
        nos = sorted({*changed, *compared})
        if not nos:
            return
        rooms = await self.source.rooms(nos)
        before = {
            row[NO]: row for row in await self.target.rooms([no for no in changed if no in known])
        }
        anew = {row[NO] for row in rooms if row[NO] in before and _is_anew(row, before[row[NO]])}
        for no in anew:
            self._compared.pop(no, None)
        after = {
            no: EVERYTHING if no in anew or no not in known else known[no].last_seq for no in nos
        }
        # What was compared once in this run stays so: nobody else writes to the target.
        since = {no: min(self._compared.get(no, EVERYTHING), after[no]) for no in nos}
        ours = _Hashes(rooms)
        if changed:
            incoming = Incoming([row for row in rooms if row[NO] in {*changed}], after, anew)
            await self._put(incoming, since, ours)
            copied.rooms += len(changed)
        equal = [no for no in nos if no not in {*changed}]
        for table in OF_ROOMS if equal else ():
            await _read(ours.reading(table, self.source.rows(table, _of(since, equal))))
        for row in rooms:
            copied.messages += (
                row[LAST_SEQ] - max(after[row[NO]], 0) if row[NO] in {*changed} else 0
            )
        theirs = _Hashes(await self.target.rooms(nos))
        for table in OF_ROOMS:
            await _read(theirs.reading(table, self.target.rows(table, since)))
        if (other := ours.first_other(theirs)) is not None:
            raise _differs(f"the room {other}")
        self._compared |= {row[NO]: row[LAST_SEQ] for row in rooms}
        self._deleted |= {row[NO] for row in rooms if row[STATE] is None}

    async def _put(self, incoming: Incoming, since: Mapping[int, int], hashes: _Hashes) -> None:
        nos = [row[NO] for row in incoming.rooms]

        def read(table: Table) -> Rows:
            rows = hashes.reading(table, self.source.rows(table, _of(since, nos)))
            return _above(rows, table, incoming.after) if table.grows else rows

        await self.target.put(incoming, read)

    # ---- the audit ------------------------------------------------------------------------------

    async def _audit(self) -> None:
        """Copy the entries that are new, and compare them; each must follow from the one before."""
        last = await _last_no(self.target, self._audited[0])
        await self.target.put_whole(AUDIT, self.source.whole(AUDIT, last))
        no, before = self._audited
        theirs = _one_by_one(self.target.whole(AUDIT, no))
        async for ours in _one_by_one(self.source.whole(AUDIT, no)):
            if await anext(theirs, None) != ours:
                raise _differs(f"entry #{ours[0]} of the audit")
            no, at, *fields, kept = ours
            if kept != link(before, no, Entry(moment(at), *fields)):
                raise StoreError(
                    f"Entry #{no} of the audit of {self.source.where} was changed after it was "
                    "written; nothing was moved.",
                    advice="`room-mcp audit` shows it, and `room-mcp check` what else is wrong.",
                )
            before = kept
        if await anext(theirs, None) is not None:
            raise _differs(f"entry #{no + 1} of the audit")
        self._audited = (no, before)


class _Hashes:
    """One SHA-256 for each room, over all that was read of it, from one side."""

    def __init__(self, rooms: Sequence[Row]) -> None:
        self._ids = {row[NO]: str(row[ROOMS.columns.index("id")]) for row in rooms}
        self._hashes = {row[NO]: hashlib.sha256(repr(row).encode()) for row in rooms}

    async def reading(self, table: Table, rows: Rows) -> Rows:
        """The rows, as they go by."""
        hashes, name = self._hashes, table.name.encode()
        async for page in rows:
            for row in page:
                hashes[row[0]].update(name + repr(row).encode())
            yield page

    def first_other(self, others: _Hashes) -> str | None:
        """The id of a room that is not the same there; None when all are."""
        for no, one in self._hashes.items():
            other = others._hashes.get(no)
            if other is None or other.digest() != one.digest():
                return self._ids[no]
        return None


def _is_anew(row: Row, before: Row) -> bool:
    """Whether what is there of a room is not the beginning of what it is now."""
    return row[LAST_SEQ] < before[LAST_SEQ] or _erasures(row) != _erasures(before)


def _erasures(row: Row) -> Any:
    """How often its texts were removed; None when it was deleted."""
    return None if row[STATE] is None else json.loads(row[STATE])["erasures"]


async def _all_heads(end: End) -> AsyncIterator[list[Head]]:
    above = EVERYTHING
    while heads := await end.heads(above, None, TOGETHER_ROOMS):
        yield heads
        above = heads[-1].no


def _together(heads: Sequence[Head]) -> Iterator[Sequence[Head]]:
    some: list[Head] = []
    messages = 0
    for head in heads:
        some.append(head)
        messages += head.last_seq
        if messages >= TOGETHER_MESSAGES:
            yield some
            some, messages = [], 0
    if some:
        yield some


def _of(after: Mapping[int, int], nos: Sequence[int]) -> dict[int, int]:
    return {no: after[no] for no in nos}


async def _above(rows: Rows, table: Table, after: Mapping[int, int]) -> Rows:
    at = table.seq_at
    async for page in rows:
        yield [row for row in page if row[at] > after[row[0]]]


async def _read(rows: Rows) -> None:
    async for _ in rows:
        pass


async def _one_by_one(rows: Rows) -> AsyncIterator[Row]:
    async for page in rows:
        for row in page:
            yield row


async def _last_no(end: End, above: int) -> int:
    async for page in end.whole(AUDIT, above):
        above = page[-1][0]
    return above


async def _hash_of(rows: Rows) -> bytes:
    found = hashlib.sha256()
    async for page in rows:
        for row in page:
            found.update(repr(row).encode())
    return found.digest()


def _differs(what: str) -> StoreError:
    return StoreError(
        f"What was copied is not what was there: {what}. Nothing was moved.",
        advice="Check the source (room-mcp check, pg_amcheck), empty the target, and begin anew.",
    )
