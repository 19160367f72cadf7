"""Any acts in any order come out the same in two processes on a file, and in two nodes on a
database, as in the model."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

from engines import InTurn
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from postgres_databases import empty, kept_database
from store_talk import NOON, OWNER, a_room, by_ann, key, nothing, stamp

from room_mcp.rooms import Draft, Past, Refusal, Room, Step, contract_from
from room_mcp.store.auditing import CLOSE, JOIN, POST
from room_mcp.store.interface import Act, IdempotencyKey, Listed, Reading, Store
from room_mcp.store.memory import MemoryStore
from room_mcp.store.memory.place import Place
from room_mcp.store.postgres import PostgresStore
from room_mcp.store.sqlite import SqliteStore

MEMORY_DISK = Path("/dev/shm")  # where there is one: this is about answers, not about disks
MAX_ROOMS = 4
NAMES = st.sampled_from(["ann", "ANN", "bob", "Ёжик", "eve/bot"])
WORDS = ("the token expires", "Größe: 10 mm", "東京都", "@bob look", "well, that is done", "")
BEGINNING = (*WORDS, {"a": [{"b": "TOKEN expires"}]})
CONTENTS = st.sampled_from(
    [*WORDS, {"a": ["token", None, 2**70]}, {"n": -0.0, "x": "\0"}, "long " * 50]
)
TYPES = st.sampled_from(["note", "note", "question", "answer", "ack", "decision", "propose"])
KEYS = st.none() | st.sampled_from(["k1", "k2", "k3"])
PLACES = st.integers(0, MAX_ROOMS)
SEQS = st.none() | st.integers(-1, 12)
DRAFTS = st.builds(
    Draft,
    NAMES,
    CONTENTS,
    TYPES,
    to=st.lists(NAMES, max_size=2).map(tuple),
    reply_to=st.sampled_from([*[None] * 6, 1, 2, 9]),
    sender_type=st.sampled_from(["agent", "agent", "agent", "human"]),
    if_last_seq=st.sampled_from([*[None] * 9, 3]),
)
SMALL = contract_from({"terminal": [{"type": "decision"}], "budget": {"messages": 6}})

Call = Callable[[Store], Awaitable[Any]]


class Said(NamedTuple):
    """A message that may be sent again."""

    act: Act
    draft: Draft


class AnyUse(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.loop = asyncio.Runner()
        self.place = Place(self.clock)
        self.versions = (0, 0)
        self.ids: list[str] = []
        self.gone = ["nowhere"]
        self.touched: set[str] = set()  # since everything was found to be the same
        self.said: dict[str, list[Said]] = {}
        self.open()

    def clock(self) -> datetime:
        return self.now

    @abstractmethod
    def one(self) -> Store:
        """A store on the place of this run; to be opened."""

    def open(self) -> None:
        self.model = cast(Store, MemoryStore(self.place))
        self.store = cast(Store, InTurn(self.one(), self.one()))
        self.loop.run(self.model.open())
        self.loop.run(self.store.open())

    def teardown(self) -> None:
        self.restart()
        self.everything_is_the_same()
        self.same(lambda one: one.audit())
        self.loop.run(self.model.aclose())
        self.loop.run(self.store.aclose())
        self.loop.close()

    def same(self, call: Call) -> Any:
        """What both answer; a second later than whatever was asked before."""
        self.now += timedelta(seconds=1)
        expected, found = (self.loop.run(outcome(call, one)) for one in (self.model, self.store))
        assert found == expected
        return found

    def id(self, place: int) -> str:
        """One of the rooms that were made; now and then none, or one that is gone."""
        here = [id for id in self.ids if id not in self.gone]
        id = self.gone[-1] if place == MAX_ROOMS or not here else here[place % len(here)]
        self.touched.add(id)
        return id

    # ---- acts -----------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.create("Review", listed=True, reuse=False, chain=None, max_bytes=None, small=False)
        drafts = [Draft("bob", content) for content in BEGINNING]
        self.say(self.ids[0], [posting(draft, None, self.now) for draft in drafts])

    @rule(
        name=st.sampled_from(["Review", "review", "арі"]),
        listed=st.booleans(),
        reuse=st.booleans(),
        chain=st.sampled_from([None, ""]),
        max_bytes=st.sampled_from([None, 300]),
        small=st.booleans(),
    )
    def create(
        self,
        name: str,
        listed: bool,
        reuse: bool,
        chain: str | None,
        max_bytes: int | None,
        small: bool,
    ) -> None:
        room = a_room(name, listed=listed, chain=chain, max_bytes=max_bytes, purpose="Größe")
        if small:
            room = replace(room, contract=SMALL)
        if len(self.ids) == MAX_ROOMS:
            return
        entry = by_ann("create")
        made = self.same(lambda one: one.create(room, reuse=reuse, entry=entry))
        self.touched.add(made[0].id)
        if made[1]:
            self.ids.append(room.id)

    @rule(at=PLACES, name=NAMES, leaves=st.booleans())
    def come_or_go(self, at: int, name: str, leaves: bool) -> None:
        ids = stamp()

        def decide(room: Room, past: Past) -> Step:
            go = room.leave if leaves else room.join
            return go(name, proof=OWNER, stamp=ids)

        entry = replace(by_ann("leave" if leaves else JOIN), name=name)
        self.same(lambda one: one.act(self.id(at), decide, entry=entry))

    @rule(
        at=PLACES,
        drafts=st.lists(DRAFTS, min_size=1, max_size=4),
        under=KEYS,
        seconds=st.integers(-90, 90),
    )
    def post(self, at: int, drafts: list[Draft], under: str | None, seconds: int) -> None:
        then = self.now + timedelta(seconds=seconds)
        self.say(self.id(at), [posting(draft, under, then) for draft in drafts])

    def say(self, room_id: str, said: Sequence[Said]) -> None:
        self.touched.add(room_id)
        acts = [one.act for one in said]
        # The last goes to the other one, which has seen nothing of those before it.
        for part in filter(None, (acts[:-1], acts[-1:])):
            self.same(lambda one, part=part: one.act_all(room_id, part))
        self.said.setdefault(room_id, []).extend(one for one in said if one.act.key)

    @precondition(lambda self: any(self.said.values()))
    @rule(data=st.data(), changed=st.booleans())
    def say_again(self, data: st.DataObject, changed: bool) -> None:
        room_id = data.draw(st.sampled_from([id for id, said in self.said.items() if said]))
        before = data.draw(st.sampled_from(self.said[room_id]))
        assert before.act.key is not None
        draft = before.draft._replace(content="another one") if changed else before.draft
        self.say(room_id, [posting(draft, before.act.key.key, self.now)])

    @rule(at=PLACES, what=st.sampled_from(["pause", "resume", "close", "reopen"]))
    def rule_it(self, at: int, what: str) -> None:
        ids = stamp(self.now)

        def decide(room: Room, past: Past) -> Step:
            match what:
                case "close":
                    return room.close("owner", "Enough.", proof=OWNER, stamp=ids)
                case "reopen":
                    return room.reopen("owner", proof=OWNER, stamp=ids, past=past, kind="human")
                case "pause":
                    return room.pause("owner", proof=OWNER, stamp=ids)
                case _:
                    return room.resume("owner", proof=OWNER, stamp=ids)

        entry = by_ann(CLOSE if what == "close" else what)
        self.same(lambda one: one.act(self.id(at), decide, entry=entry))

    @rule(at=PLACES, says_so=st.booleans())
    def erase(self, at: int, says_so: bool) -> None:
        ids = stamp(self.now)

        def decide(room: Room, past: Past) -> Step:
            draft = Draft("bob", "all gone")
            return room.post(draft, proof=OWNER, stamp=ids, past=past) if says_so else Step(room)

        self.same(lambda one: one.erase(self.id(at), decide, entry=by_ann("erase")))

    @precondition(lambda self: len(self.ids) == MAX_ROOMS)
    @rule(at=PLACES)
    def delete(self, at: int) -> None:
        id = self.id(at)
        self.same(lambda one: one.delete(id, nothing, entry=by_ann("delete")))
        self.gone.append(id)

    @rule(
        at=PLACES, name=NAMES, shown=st.integers(0, 9), read=st.integers(0, 9), waits=st.booleans()
    )
    def mark_read(self, at: int, name: str, shown: int, read: int, waits: bool) -> None:
        until = self.now + timedelta(seconds=50) if waits else None
        reading = Reading(shown, read, self.now, until)

        async def mark(one: Store) -> Any:
            one.mark_read(self.id(at), name, reading)
            await one.act(self.id(at), nothing)  # takes it along: the other process knows it, too
            return await one.readings(self.id(at))

        self.same(mark)

    @rule()
    def restart(self) -> None:
        self.loop.run(self.model.aclose())
        self.loop.run(self.store.aclose())
        self.open()
        self.touched.update(self.ids)

    # ---- questions ------------------------------------------------------------------------------

    @rule(
        at=PLACES,
        after=SEQS,
        before=SEQS,
        limit=st.sampled_from([0, 1, 2, 500]),
        max_bytes=st.sampled_from([1, 60, 1_000_000]),
        sender=st.none() | NAMES,
        type=st.none() | TYPES,
        seconds=st.integers(-100, 100),
    )
    def read(self, at: int, seconds: int, **wanted: Any) -> None:
        then = self.now + timedelta(seconds=seconds)
        self.same(lambda one: one.read(self.id(at), **wanted))
        self.same(lambda one: one.seq_at(self.id(at), at=then, message_id=None))

    @rule(
        query=st.sampled_from(["token", "TOKEN expires", "京", "größe", "done", "no such", ""]),
        limit=st.integers(1, 3),
        name=st.sampled_from(["", "REV", "api", "größe"]),
        member=st.none() | NAMES,
        include_closed=st.booleans(),
        listed_only=st.booleans(),
        seconds=st.none() | st.integers(0, 30),
    )
    def find(self, query: str, limit: int, name: str, seconds: int | None, **wanted: Any) -> None:
        before = None if seconds is None else self.now - timedelta(seconds=seconds)
        self.same(lambda one: one.search(query, room_ids=self.ids, limit=limit))
        self.same(lambda one: one.directory(query=name, before=before, limit=limit, **wanted))

    # ---- what holds after each ------------------------------------------------------------------

    @invariant()
    def everything_is_the_same(self) -> None:
        if not self.touched:
            return
        self.same(lambda one: one.heads(self.ids))
        self.same(lambda one: one.directory(listed_only=False))
        for id in self.touched:
            self.same(lambda one, id=id: one.read(id, after=0, limit=500))
            self.same(lambda one, id=id: one.readings(id))
        self.touched.clear()

    @invariant()
    def the_directory_has_a_new_version_for_both_or_none(self) -> None:
        before = self.versions
        stores = (self.model, self.store)
        after = [self.loop.run(one.directory_version()) for one in stores]
        assert (after[0] > before[0]) == (after[1] > before[1])
        self.versions = (after[0], after[1])


async def outcome(call: Call, one: Store) -> Any:
    """The answer, or what it was refused with."""
    try:
        return plain(await call(one))
    except Refusal as refusal:
        return plain(refusal)


def plain(answer: Any) -> Any:
    """Refusals as values that can be compared, and times without the digits that only tell two
    changes apart."""
    if isinstance(answer, Listed):
        at = answer.updated_at
        return answer._replace(updated_at=at.replace(microsecond=at.microsecond // 1_000 * 1_000))
    if isinstance(answer, Refusal):
        return (answer.code, answer.detail, answer.advice, dict(answer.facts))
    return [plain(one) for one in answer] if type(answer) is list else answer


def posting(draft: Draft, under: str | None, at: datetime) -> Said:
    ids = stamp(at)

    def decide(room: Room, past: Past) -> Step:
        return room.post(draft, proof=OWNER, stamp=ids, past=past)

    used: IdempotencyKey | None = None
    if under is not None:
        used = key(under, sender=draft.sender, fingerprint=repr(draft.content).encode())
    return Said(Act(decide, used, replace(by_ann(POST), name=draft.sender)), draft)


class AnyUseOfSqlite(AnyUse):
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None))
        super().__init__()

    def one(self) -> Store:
        return cast(Store, SqliteStore(self.folder / "rooms.db", clock=self.clock))

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class AnyUseOfPostgres(AnyUse):
    url = ""

    def __init__(self) -> None:
        AnyUseOfPostgres.url = self.url or kept_database()
        empty(self.url)
        super().__init__()

    def one(self) -> Store:
        return cast(Store, PostgresStore(self.url, clock=self.clock))


TestAnyUseOfSqlite = AnyUseOfSqlite.TestCase
TestAnyUseOfSqlite.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnyUseOfPostgres = AnyUseOfPostgres.TestCase
TestAnyUseOfPostgres.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None, derandomize=True
)
