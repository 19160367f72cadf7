"""How SQLite's writer thread treats callers who are cancelled, and a wake-up file that fails."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from store_talk import contents, new_room, says

from room_mcp.rooms import Past, Room, Step
from room_mcp.store.interface import Store
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite import readers
from room_mcp.store.sqlite.signals import NotifyFile
from room_mcp.store.sqlite.work import Work

pytestmark = pytest.mark.anyio


async def test_an_act_goes_on_when_its_caller_is_cancelled_after_it_began(store: Store):
    room_id = await new_room(store)
    began, may_end = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def decide(room: Room, past: Past) -> Step:
        loop.call_soon_threadsafe(began.set)
        may_end.wait(5)
        return says("hello")(room, past)

    with anyio.fail_after(20):
        task = asyncio.ensure_future(store.act(room_id, decide))
        await began.wait()
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        waits = not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert waits

    assert await contents(store, room_id) == ["hello"]


async def test_a_caller_cancelled_in_the_moment_of_the_answer_is_let_go(store: Store):
    room_id = await new_room(store)
    tasks: list[asyncio.Task[object]] = []
    finish = Work.finish

    def cancelled_first(work: Work[object]) -> None:
        for task in tasks:
            task.cancel()
        finish(work)

    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(20):
        patch.setattr(Work, "finish", cancelled_first)
        tasks.append(asyncio.ensure_future(store.act(room_id, says("hello"))))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    assert await contents(store, room_id) == ["hello"]


async def test_a_wake_up_file_that_cannot_be_written_doubles_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    room_id = await new_room(store)

    def full_disk(_: NotifyFile) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(NotifyFile, "touch", full_disk)
    await asyncio.gather(*(store.act(room_id, says(text)) for text in ("a", "b", "c")))

    assert await contents(store, room_id) == ["a", "b", "c"]


async def test_nothing_has_the_file_open_once_the_store_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    connect, may_open = readers.connect_reader, threading.Event()

    def late(*args: Any, **options: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            may_open.wait(20)
        return connect(*args, **options)

    monkeypatch.setattr(readers, "connect_reader", late)
    store = open_store(path)
    await store.open()
    closing = asyncio.ensure_future(store.aclose())
    closed_before, _ = await asyncio.wait([closing], timeout=0.3)
    may_open.set()
    await closing

    assert not closed_before
