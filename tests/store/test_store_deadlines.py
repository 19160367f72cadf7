"""A store that another process keeps locked: callers get away, and nothing happens later."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from store_talk import a_room, contents, new_room, says

from room_mcp.store.interface import Act, Reading, Store, StoreBusy
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite import store as store_module

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process has the lock."""
    command = [sys.executable, str(HERE / "lock_holder.py"), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield


async def until_blocked(store: Store) -> None:
    """Until the writer waits for the lock."""
    with anyio.fail_after(20):
        while not store._writer.is_blocked:  # pyright: ignore -- nothing outside tells
            await anyio.lowlevel.checkpoint()


async def test_an_act_gives_up_at_its_deadline_and_is_not_done_later(store: Store, path: Path):
    room_id = await new_room(store)

    with held(path), anyio.fail_after(20), pytest.raises(StoreBusy, match="nothing was committed"):
        await store.act(room_id, says("too late"), timeout_s=0.05)

    await store.act(room_id, says("in time"))
    assert await contents(store, room_id) == ["in time"]


async def test_a_batch_gives_up_at_its_deadline(store: Store, path: Path):
    room_id = await new_room(store)

    with held(path), anyio.fail_after(20), pytest.raises(StoreBusy):
        await store.act_all(room_id, [Act(says("too late"))], timeout_s=0.05)

    assert await contents(store, room_id) == []


async def test_creating_gives_up_at_the_default_deadline(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "DEFAULT_TIMEOUT_S", 0.05)

    with held(path), anyio.fail_after(20), pytest.raises(StoreBusy):
        await store.create(a_room())

    assert await store.directory() == []


async def test_an_act_that_waits_is_done_when_the_lock_comes_free(store: Store, path: Path):
    room_id = await new_room(store)

    with held(path):
        act = asyncio.ensure_future(store.act(room_id, says("patient")))
        await until_blocked(store)

    with anyio.fail_after(20):
        await act
    assert await contents(store, room_id) == ["patient"]


async def test_a_cancelled_caller_takes_a_waiting_act_back(store: Store, path: Path):
    room_id = await new_room(store)

    with held(path), anyio.fail_after(20):
        with anyio.move_on_after(0.05) as scope:
            await store.act(room_id, says("cancelled"))
        assert scope.cancelled_caught

    await store.act(room_id, says("next"))
    assert await contents(store, room_id) == ["next"]


async def test_reading_does_not_wait_for_the_lock(store: Store, path: Path):
    room_id = await new_room(store, "hello")

    with held(path), anyio.fail_after(20):
        store.mark_read(room_id, "ann", Reading(1, 1))

        assert await contents(store, room_id) == ["hello"]
        assert (await store.readings(room_id))["ann"].read_to == 1


async def test_closing_does_not_wait_for_the_lock(path: Path):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store)

    with held(path):
        act = asyncio.ensure_future(store.act(room_id, says("too late")))
        await until_blocked(store)
        with anyio.fail_after(1):
            await store.aclose()
        with pytest.raises(StoreBusy):
            await act

    await store.open()
    assert await contents(store, room_id) == []
    await store.aclose()


def test_a_process_ends_while_another_one_holds_the_lock(path: Path):
    command = [sys.executable, str(HERE / "opener.py"), str(path), "acting"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert [len(child.stdout.readline()) for _ in range(2)] == [len("ready\n"), 9]
        with held(path):
            child.communicate(b"\n", timeout=5)

    assert child.returncode == 0


async def test_opening_gives_up_at_its_deadline_and_can_be_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "DEFAULT_TIMEOUT_S", 0.05)
    store = open_store(path)

    with held(path), anyio.fail_after(20), pytest.raises(StoreBusy, match="holds the lock"):
        await store.open()

    monkeypatch.setattr(store_module, "DEFAULT_TIMEOUT_S", 5)
    await store.open()
    assert await store.directory() == []
    await store.aclose()
