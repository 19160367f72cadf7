"""A clock that was set back: what was kept by its times harms nobody for long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from engines import ALL
from store_talk import NOON, new_room, says

from room_mcp.store.interface import Store, Times
from room_mcp.store.memory import MemoryStore
from room_mcp.store.memory.place import Place
from room_mcp.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
ENGINES = ALL

HELD_FOR = timedelta(minutes=2)
HOUR = timedelta(hours=1)


async def take(store: Store, holder: str, needed: int, at, *, opened: int = 0) -> int:
    return await store.take_slots(
        "ann",
        "waits",
        holder,
        limit=10,
        opened=opened,
        needed=needed,
        at=at,
        until=at + HELD_FOR,
    )


async def test_slots_of_a_dead_process_are_free_soon_after_the_clock_was_set_back(store: Store):
    await take(store, "dead", 10, NOON + HOUR)

    assert await take(store, "alive", 10, NOON) == 10


async def test_slots_of_a_process_whose_clock_is_a_little_ahead_stay_its_own(store: Store):
    await take(store, "ahead", 4, NOON + timedelta(seconds=1))

    assert await take(store, "alive", 10, NOON) == 6


# ---- when rooms were changed ---------------------------------------------------------------------


class Clock:
    """It says what the test says."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def opened(kind: str, folder: Path, clock: Callable[[], datetime]) -> Store:
    store: Store = (
        MemoryStore(Place(clock))
        if kind == "memory"
        else SqliteStore(folder / "clocked.db", clock=clock)
    )
    await store.open()
    return store


async def changes(store: Store) -> dict[str, datetime]:
    return {one.room.name: one.updated_at for one in await store.directory()}


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_clock_years_ahead_spoils_the_time_of_what_it_changed_alone(
    kind: str, tmp_path: Path, clock: Clock
):
    store = await opened(kind, tmp_path, clock)
    spoilt, later = await new_room(store, name="spoilt"), await new_room(store, name="later")
    clock.now = NOON + timedelta(days=3650)
    await store.act(spoilt, says("too early"))

    clock.now = NOON + HOUR
    await store.act(later, says("in time"))
    await new_room(store, name="new")

    told = await changes(store)
    assert told["later"] == NOON + HOUR
    assert timedelta(0) < told["new"] - told["later"] < timedelta(seconds=1)
    assert told["spoilt"] == NOON + timedelta(days=3650)
    await store.aclose()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_clock_that_was_a_little_ahead_turns_no_list_around(
    kind: str, tmp_path: Path, clock: Clock
):
    store = await opened(kind, tmp_path, clock)
    clock.now = NOON + HOUR
    await new_room(store, name="first")
    clock.now = NOON
    await new_room(store, name="second")

    assert list(await changes(store)) == ["second", "first"]
    await store.aclose()


# ---- the times of retention ----------------------------------------------------------------------


async def test_a_store_tells_all_of_its_rounds(store: Store, other: Store):
    before = await store.times()
    await store.note_round(NOON, suspect_since=NOON + HOUR)
    noted = await other.times()
    await other.note_round(NOON + HOUR)

    assert before == Times()
    assert noted == Times(round_at=NOON, suspect_since=NOON + HOUR)
    assert await store.times() == Times(round_at=NOON + HOUR)


async def test_a_store_tells_when_it_was_changed_last(store: Store, other: Store):
    await new_room(store, name="one")
    await new_room(store, name="two")

    assert (await other.times()).changed_at == max((await changes(store)).values())
