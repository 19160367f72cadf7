"""The guard remembers a room the same way in every process, and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from engines import ALL, Engine, only
from store_talk import OWNER, a_room, key, stamp

from room_mcp.rooms import Draft, Past, Refusal, Room, Step
from room_mcp.rooms.guard import Memory
from room_mcp.store.hearing import Hearing
from room_mcp.store.interface import Act, Store
from room_mcp.store.memories import SNAPSHOT_MESSAGES, Memories, Remembered

pytestmark = pytest.mark.anyio
ENGINES = ALL

POLITE = "Perfect. Whenever you are ready!"


def speaks(text: str, sender: str = "ann") -> Any:
    """An act that posts, with the guard listening."""
    draft, ids = Draft(sender, text), stamp()

    def decide(room: Room, past: Past) -> Step:
        return room.post(draft, proof=OWNER, stamp=ids, past=past)

    return decide


async def scores(store: Store, id: str, texts: Sequence[str]) -> list[float]:
    """The sender's score after each of these."""
    found: list[float] = []
    for text in texts:
        done = await store.act(id, speaks(text))
        found.append(done.room.must_be_member("ann").standing.score)
    return found


async def a_talk(store: Store, **fields: Any) -> str:
    return (await store.create(a_room(**fields)))[0].id


async def test_two_processes_that_take_turns_score_as_one_does(store: Store, other: Store):
    alone, shared = await a_talk(store), await a_talk(store)
    expected = await scores(store, alone, [POLITE] * 6)
    found = [(await scores(one, shared, [POLITE]))[0] for one in (store, other) * 3]

    assert found == expected
    assert expected[-1] > 4


async def test_a_restart_forgets_nothing(engine: Engine):
    found: list[float] = []
    for _ in range(6):
        store = engine.store()
        await store.open()
        id = (await store.directory())[0].room.id if found else await a_talk(store)
        found += await scores(store, id, [POLITE])
        await store.aclose()

    assert found == sorted(found)
    assert found[-1] > 4


async def test_a_snapshot_stands_for_all_that_was_said_before(engine: Engine, store: Store):
    id = await a_talk(store)
    words = [f"thing{n} costs {n}7 euro in shop{n}" for n in range(SNAPSHOT_MESSAGES + 20)]
    await store.act_all(id, [Act(speaks(word)) for word in words[:200]])
    await store.act_all(id, [Act(speaks(word)) for word in words[200:]])
    here = await scores(store, id, [words[3]])
    later = engine.store()
    await later.open()
    there = await scores(later, id, [words[5]])
    await later.aclose()

    assert here[0] > 0  # a word of before the snapshot is no news
    assert there[0] > here[0]


async def test_a_refused_message_is_not_remembered(store: Store):
    id = await a_talk(store)

    def refused(room: Room, past: Past) -> Step:
        speaks(POLITE)(room, past)
        raise Refusal("No.")

    for _ in range(6):
        with pytest.raises(Refusal):
            await store.act(id, refused)

    assert await scores(store, id, [POLITE]) == [0.0]


async def test_work_that_fails_takes_back_what_the_guard_heard_of_it(store: Store):
    id, same = await a_talk(store), await a_talk(store)

    def broken(room: Room, past: Past) -> Step:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError):
        await store.act_all(id, [Act(speaks(POLITE)), Act(speaks(POLITE)), Act(broken)])

    assert await scores(store, id, [POLITE] * 5) == await scores(store, same, [POLITE] * 5)


@only("memory", "sqlite", "postgres")
async def test_a_replay_takes_nothing_from_what_the_guard_remembers(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    id, rebuilt = await a_talk(store), 0
    caught_up = Hearing._caught_up

    def counted(self: Hearing, *args: Any) -> Remembered:
        nonlocal rebuilt
        rebuilt += 1
        return caught_up(self, *args)

    await store.act(id, speaks(POLITE), key=key("1"))
    monkeypatch.setattr(Hearing, "_caught_up", counted)
    again = store.act(id, speaks(POLITE), key=key("1"))
    await asyncio.gather(store.act(id, speaks(POLITE), key=key("2")), again)
    await store.act(id, speaks(POLITE), key=key("3"))

    assert rebuilt == 0


async def test_erased_texts_are_forgotten(store: Store):
    id, fresh = await a_talk(store), await a_talk(store)
    await scores(store, id, [POLITE] * 5)
    await store.erase(id, lambda room, _: Step(room))

    assert await scores(store, id, [POLITE] * 3) == await scores(store, fresh, [POLITE] * 3)


async def test_a_guard_that_fails_holds_nothing_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    id = await a_talk(store)

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the guard is broken")

    monkeypatch.setattr("room_mcp.rooms.guard.Memory.judge", fails)
    found = await scores(store, id, [POLITE] * 12)

    assert found == [0.0] * 12
    assert "guard" in caplog.text


async def test_a_guard_that_cannot_remember_holds_nothing_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    id = await a_talk(store)

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the guard is broken")

    monkeypatch.setattr("room_mcp.rooms.guard.Memory.take", fails)
    await scores(store, id, [POLITE] * 3)
    monkeypatch.undo()

    assert await scores(store, id, [POLITE]) == [0.0]
    assert "remember" in caplog.text


async def test_a_snapshot_that_cannot_be_made_holds_nothing_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    id = await a_talk(store)

    def fails(*_: Any) -> None:
        raise RuntimeError("the guard is broken")

    monkeypatch.setattr("room_mcp.rooms.guard.Memory.snapshot", fails)
    words = [f"thing{n} costs {n}7 euro in shop{n}" for n in range(SNAPSHOT_MESSAGES + 2)]
    await store.act_all(id, [Act(speaks(word)) for word in words])

    assert len(await scores(store, id, ["one more, 3 euro"])) == 1


def test_the_memories_of_many_rooms_stay_within_their_bound():
    memories = Memories(max_bytes=20_000)
    for number in range(50):
        memories.put_back(f"room {number}", Remembered(Memory(), 0, 0, 0))

    assert memories.size_bytes <= 20_000
    assert memories.take_out("room 49", 0) is not None
    assert memories.take_out("room 0", 0) is None
