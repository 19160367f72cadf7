"""The power goes: what was acknowledged is there when the store is opened again.

    python -m faults.power [--cuts 300] [--posts 4000] [--seed N]

The real store works on a disk that remembers each write and each sync. For each cut the files are
made again as a disk may hold them at that moment, and the real store opens them. Some cuts hit a
store that was killed before, between a write and its sync, and opened and asked again. The same
with `synchronous=NORMAL` must lose messages, or else this proof is blind.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

from room_mcp.rooms.refusals import RoomNotFound
from room_mcp.store.interface import Store, StoreError
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.connection import Database

from .ground import SHOWN_FINDINGS, integrity, kept, kept_keys
from .history import History, Kept, Posting
from .power_load import STORE, Outside, record_life, record_second_life
from .recorded_disk import Disk, Event, Made, Synced, Written, let_threads_end, write_files
from .recording import Call, NotKnown, Recording, StoreDoor, post

CUTS = 300
POSTS = 4_000
KILLED_PART = 10  # one cut of so many hits a store that was killed and opened again
WAL = STORE + "-wal"
FRAME_HEADER_BYTES = 24  # sqlite.org/fileformat2.html, 4.1
ASK_FOR_S = 1.0  # in which a store that fails may get well again
RETRIED = 40  # acknowledged messages that are asked for again after a cut


class Cut(NamedTuple):
    """`lost` counts acknowledged messages that are not there."""

    lost: int
    findings: list[str]


class Commits(NamedTuple):
    """`unsynced` were left to the sync of a later one; `checkpoints` synced the database file."""

    all: int
    unsynced: int
    checkpoints: int


class Summary(NamedTuple):
    acknowledged: int
    commits: Commits
    cuts: list[Cut]

    @property
    def lost(self) -> list[int]:
        """How many messages each cut lost that lost any."""
        return [cut.lost for cut in self.cuts if cut.lost]

    @property
    def findings(self) -> list[str]:
        return [finding for cut in self.cuts for finding in cut.findings]


# ---- the store after a cut ----------------------------------------------------------------------


def examine(files: dict[str, bytes], outside: Outside, chance: random.Random) -> Cut:
    """Open what a cut left, and see whether it is what was promised."""
    with tempfile.TemporaryDirectory(prefix="room-mcp-power-") as folder:
        write_files(Path(folder), files)
        path = Path(folder) / STORE
        try:
            cut = asyncio.run(_examine(path, outside, chance))
            return Cut(cut.lost, cut.findings + integrity(path))
        except (StoreError, NotKnown, apsw.Error) as error:
            return Cut(0, [f"what is left cannot be read: {error!r}"])
        finally:
            let_threads_end()


async def _examine(path: Path, outside: Outside, chance: random.Random) -> Cut:
    store = open_store(path)
    await store.open()
    try:
        found = await _kept(store, path, outside)
        findings = _missing(outside, found)
        findings += _history(outside.recording, found).findings()
        lost = _lost(outside.recording.history().postings, found)
        if not findings:
            findings += await _ask_again(store, outside.recording, found, chance)
            found = await _kept(store, path, outside)
            findings += _history(outside.recording, found).findings()
        return Cut(lost, findings)
    finally:
        await store.aclose()


async def _kept(store: Store, path: Path, outside: Outside) -> list[Kept]:
    """The rooms that are there."""
    authors = {posting.author for posting in outside.recording.history().postings}
    found: list[Kept] = []
    for room in outside.begun:
        try:
            await store.room(room)
        except RoomNotFound:
            continue
        found.append(await kept(store, room, kept_keys(path, room, authors)))
    return found


def _missing(outside: Outside, found: Sequence[Kept]) -> list[str]:
    there = {one.room for one in found}
    lost = outside.opened - outside.deleting - there
    back = outside.deleted & there
    return [f"room {room} is lost" for room in lost] + [f"room {room} is back" for room in back]


def _history(recording: Recording, found: Sequence[Kept]) -> History:
    """Of the rooms that are there; that one is lost is said once."""
    history = recording.history(found)
    rooms = {one.room for one in found}
    return History([one for one in history.postings if one.room in rooms], [], list(found))


def _lost(postings: Iterable[Posting], found: Sequence[Kept]) -> int:
    there = {(one.room, *message) for one in found for message in one.messages}
    return sum(
        posting.seq is not None and (posting.room, posting.seq, posting.text) not in there
        for posting in postings
    )


async def _ask_again(
    store: Store, recording: Recording, found: Sequence[Kept], chance: random.Random
) -> list[str]:
    """Post again what nobody knows the outcome of, and some of what was acknowledged."""
    rooms = {one.room for one in found}
    told = [one for one in recording.history().postings if one.seq is not None]
    asked = chance.sample(told, min(RETRIED, len(told)))
    door = StoreDoor(store)
    unknown = [call for call in recording.unknown() if call.room in rooms]
    await asyncio.gather(*(post(door, recording, call, give_up_s=ASK_FOR_S) for call in unknown))
    answers = await asyncio.gather(
        *(post(door, Recording(), _call(one), give_up_s=ASK_FOR_S) for one in asked)
    )
    return [
        f"{one} was acknowledged as #{one.seq}, and now as {answer}"
        for one, answer in zip(asked, answers, strict=True)
        if answer.seq != one.seq
    ]


def _call(posting: Posting) -> Call:
    return Call(posting.room, posting.author, posting.key, posting.text, posting.ends)


# ---- the cuts -----------------------------------------------------------------------------------


def cut_often(posts: int, cuts: int, seed: int) -> Summary:
    """One life of a store, cut at so many moments."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="room-mcp-power-") as folder:
        events = record_life(Path(folder), posts, chance)
    killed = cuts // KILLED_PART
    found = [
        *_cut(events, sorted(chance.choices(range(len(events)), k=cuts - killed)), chance),
        *(_cut_after_kill(events, chance) for _ in range(killed)),
    ]
    postings = Outside.until(events).recording.history().postings
    acknowledged = sum(posting.seq is not None for posting in postings)
    return Summary(acknowledged, commits_in(events), found)


def commits_in(events: Iterable[Event]) -> Commits:
    """What the store did, as its files tell."""
    files: dict[str, int] = {}
    commits, unsynced, checkpoints = 0, 0, 0
    is_open = False  # a commit that is not synced
    for event in events:
        match event:
            case Made(name, file):
                files[name] = file
            case Synced(file) if file == files.get(STORE):
                checkpoints += 1
            case Synced(file) if file == files.get(WAL):
                is_open = False
            case Written(file, _, frame) if file == files.get(WAL) and _commits(frame):
                commits += 1
                unsynced += is_open
                is_open = True
            case _:
                pass
    return Commits(commits, unsynced, checkpoints)


def _commits(frame: bytes) -> bool:
    """Whether this is the header of a transaction's last frame: it tells the database's size."""
    return len(frame) == FRAME_HEADER_BYTES and any(frame[4:8])


def _cut(events: Sequence[Event], moments: Iterable[int], chance: random.Random) -> Iterator[Cut]:
    """Moments in order: before the event of this number."""
    disk, at = Disk(), 0
    for moment in moments:
        for event in events[at:moment]:
            disk.take(event)
        at = moment
        yield _named(moment, disk, Outside.until(events[:moment]), chance)


def _cut_after_kill(events: Sequence[Event], chance: random.Random) -> Cut:
    """The kill hits a commit that is written but not synced."""
    moments = [at for at, event in enumerate(events) if isinstance(event, Synced)]
    at = chance.choice(moments)
    with tempfile.TemporaryDirectory(prefix="room-mcp-power-") as folder:
        life = record_second_life(Path(folder), list(events[:at]))
    return _named(at, Disk(life), Outside.until(life), chance)


def _named(moment: int, disk: Disk, outside: Outside, chance: random.Random) -> Cut:
    cut = examine(disk.after_cut(chance), outside, chance)
    return Cut(cut.lost, [f"cut at {moment}: {finding}" for finding in cut.findings])


# ---- the run ------------------------------------------------------------------------------------


@contextmanager
def synchronous_normal() -> Generator[None]:
    """Stores opened meanwhile do not wait for the disk when they commit."""
    pragma = Database.pragma

    def weaker(self: Database, name: str, value: str | int | None = None) -> object:
        return pragma(self, name, "NORMAL" if (name, value) == ("synchronous", "FULL") else value)

    Database.pragma = weaker
    try:
        yield
    finally:
        Database.pragma = pragma


def cut_power(posts: int, cuts: int, seed: int) -> int:
    """As it is, and with NORMAL; the exit code."""
    full = cut_often(posts, cuts, seed)
    for finding in full.findings[:SHOWN_FINDINGS]:
        print(f"FAILED   {finding}")
    _say("FULL", full, is_well=not full.findings)
    with synchronous_normal():
        normal = cut_often(posts, cuts, seed)
    _say("NORMAL, which must lose some", normal, is_well=bool(normal.lost))
    if not normal.lost:
        print("FAILED   NORMAL lost nothing: these cuts would not have shown what FULL loses")
    return int(bool(full.findings) or not normal.lost)


def _say(title: str, summary: Summary, *, is_well: bool) -> None:
    commits, lost = summary.commits, summary.lost
    print(
        f"{'ok' if is_well else 'FAILED':<8} {title}: acknowledged {summary.acknowledged:,}, "
        f"commits {commits.all:,}, of them not synced by themselves {commits.unsynced:,}, "
        f"checkpoints {commits.checkpoints:,}, cuts {len(summary.cuts):,}, "
        f"of them lost messages {len(lost):,}"
        + (f" (median {statistics.median(lost):g}, at most {max(lost):,})" if lost else ""),
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.power", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--posts", type=int, default=POSTS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    print(f"== power: {args.cuts} cuts in {args.posts:,} posts; --seed {args.seed}", flush=True)
    return cut_power(args.posts, args.cuts, args.seed)


if __name__ == "__main__":
    sys.exit(main())
