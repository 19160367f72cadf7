"""Rubbish on every page of a store's file, before it is opened and while it is in use.

    python -m faults.damage [--every 1] [--seed N]

Whoever meets the damage is told that the file is damaged, and the way to restore it; what is sound
goes on. Nobody is shown a text that was never stored, and no process fails in another way. An index
that leads nowhere looks to SQLite like a room that is not there: `room-mcp check` has to see that.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from room_mcp.rooms import Draft, Past, Proof, Room, Stamp, Step
from room_mcp.rooms.checking import Checked
from room_mcp.rooms.refusals import RoomNotFound
from room_mcp.store.interface import Store, StoreError, StoreUnavailable
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.check import check

from .ground import RULES

PAGE_BYTES = 4_096
TAIL_BYTES = 1_000  # of a page, where its newest rows are not
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MESSAGES = 60  # in each of two rooms
FILL = "x" * 200  # so that the messages take some pages
HANGS_S = 60.0
EVERY = 1
WAY_OUT = "room-mcp restore"

SPOILT: Mapping[str, Callable[[random.Random], tuple[int, bytes]]] = {
    "noise": lambda chance: (0, chance.randbytes(PAGE_BYTES)),
    "zeros": lambda _: (0, bytes(PAGE_BYTES)),
    "a spoilt end": lambda chance: (PAGE_BYTES - TAIL_BYTES, chance.randbytes(TAIL_BYTES)),
}
"""What a page becomes: from which byte on, and the bytes."""


def text_of(room: int, number: int) -> str:
    return f"room {room} number {number} {FILL}"


def says(text: str) -> Callable[[Room, Past], Step]:
    draft = Draft("ann", text)

    def decide(room: Room, past: Past) -> Step:
        at = room.last_at or room.created_at
        stamp = Stamp(at, (f"{room.last_seq + 1}", f"{room.last_seq + 2}"))
        prepared = Checked(room.contract)
        return room.post(
            draft, proof=Proof(trusted=True), stamp=stamp, past=past, prepared=prepared
        )

    return decide


class Ground:
    """A sound store, of which each trial spoils a copy."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sound.db"
        self.rooms: list[str] = []

    async def make(self) -> None:
        store = open_store(self.path)
        await store.open()
        for room in range(2):
            made = Room(id=f"room-{room}", name=f"room {room}", created_at=NOON, contract=RULES)
            await store.create(made)
            self.rooms.append(made.id)
            for number in range(MESSAGES):
                await store.act(self.rooms[room], says(text_of(room, number)))
        await store.aclose()

    @property
    def pages(self) -> int:
        return self.path.stat().st_size // PAGE_BYTES


class Trial:
    """One page spoilt, and everything asked of the store."""

    def __init__(self, ground: Ground, path: Path) -> None:
        self.seen: Counter[str] = Counter()
        self.findings: list[str] = []
        self._ground = ground
        self._path = path

    async def run(self, spoil: Callable[[], None], *, in_use: bool) -> None:
        store = open_store(self._path)
        if not in_use:
            spoil()
        if await self._tried("opening", store.open()):
            if in_use:
                spoil()
            await self._ask(store)
        await store.aclose()
        if self.seen["not found"] and next(check(self._path, files=False), None) is None:
            self.findings.append("a room was not found, and `room-mcp check` finds no fault")

    async def _ask(self, store: Store) -> None:
        for number, room_id in enumerate(self._ground.rooms):
            expected = [text_of(number, one) for one in range(MESSAGES)]
            await self._read(store, room_id, expected)
            text = f"room {number} afterwards"
            if await self._tried("posting", store.act(room_id, says(text))):
                await self._read(store, room_id, [*expected, text])
            await self._tried("searching", store.search("number", room_ids=[room_id]))
        await self._tried("listing", store.directory())
        await self._tried("the readings", store.readings(self._ground.rooms[0]))
        await self._tried("the audit", store.audit())

    async def _read(self, store: Store, room_id: str, expected: list[str]) -> None:
        texts: list[object] = []

        async def read() -> None:
            page = await store.read(room_id, after=0, limit=500)
            texts.extend(message.content for message in page.messages)

        if await self._tried("reading", read()) and texts != expected:
            self.findings.append("other texts were read than were stored")

    async def _tried(self, what: str, call: Awaitable[object]) -> bool:
        """Whether it was done; a refusal has to say what is wrong and what to do."""
        try:
            async with asyncio.timeout(HANGS_S):
                await call
        except StoreUnavailable as error:
            self.seen["refused"] += 1
            if self._path.name not in str(error) or not error.advice:
                self.findings.append(f"{what} was refused without a way out: {error}")
            elif "damaged" in str(error) and WAY_OUT not in error.advice:
                self.findings.append(f"{what} was refused without the way to restore: {error}")
            return False
        except RoomNotFound:
            self.seen["not found"] += 1
            return False
        except StoreError as error:
            self.findings.append(f"{what} was refused as if it would pass: {error!r}")
            return False
        except Exception as error:
            self.findings.append(f"{what} failed with {error!r}")
            return False
        self.seen["done"] += 1
        return True


def sweep(folder: Path, *, every: int, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """Spoil each page in turn, or one of so many; what was seen, and the findings."""
    ground = Ground(folder)
    asyncio.run(ground.make())
    seen: Counter[str] = Counter()
    findings: list[str] = []
    cases = [
        (page, how, in_use)
        for page in range(ground.pages)
        for how in SPOILT
        for in_use in (False, True)
    ]
    for page, how, in_use in cases[::every]:
        path = folder / "spoilt.db"
        shutil.copy(ground.path, path)

        def spoil(path: Path = path, page: int = page, how: str = how) -> None:
            start, rubbish = SPOILT[how](chance)
            with path.open("r+b") as file:
                file.seek(PAGE_BYTES * page + start)
                file.write(rubbish)

        trial = Trial(ground, path)
        asyncio.run(trial.run(spoil, in_use=in_use))
        seen["pages spoilt"] += 1
        seen.update(trial.seen)
        when = "in use" if in_use else "closed"
        findings += [f"page {page}, {how}, {when}: {one}" for one in trial.findings]
        for left in folder.glob("spoilt.db*"):
            left.unlink()
    return seen, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = parser.parse_args()
    print(f"== damaged pages: one of {args.every}; --seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        chance = random.Random(args.seed)
        seen, findings = sweep(Path(folder), every=args.every, chance=chance)
    for finding in findings:
        print(f"FAILED   {finding}")
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(seen.items()))
    print(f"{'FAILED' if findings else 'ok':<8} damaged pages: {told}, findings {len(findings)}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
