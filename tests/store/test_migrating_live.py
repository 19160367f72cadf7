"""Rooms move while processes write to them, and while whoever moves them is killed."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from moves import BACK, UP, ends, moved, opened
from postgres_databases import empty_database
from store_talk import contents, new_room, nothing, says

from room_mcp.store.interface import StoreError, StoreUnavailable
from room_mcp.store.migrate.moving import move
from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.restore import restore

pytestmark = pytest.mark.anyio

BOTH_WAYS = pytest.mark.parametrize("direction", [UP, BACK])
HERE = Path(__file__).parent
WRITERS = 3


async def start(script: str, *args: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / script),
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def rest(process: asyncio.subprocess.Process) -> list[str]:
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().splitlines()


@BOTH_WAYS
async def test_what_was_acknowledged_while_the_rooms_moved_is_there(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_ids = [await new_room(store, name=str(number)) for number in range(WRITERS)]
    writers = [await start("steady_poster.py", source, id, f"w{id}") for id in room_ids]
    said = {
        id: [await line(one) for _ in range(20)] for id, one in zip(room_ids, writers, strict=True)
    }

    with anyio.fail_after(60):
        await moved(source, target)
        for id, writer in zip(room_ids, writers, strict=True):
            said[id] += await rest(writer)

    async with opened(target) as store:
        stored = {id: (await store.room(id)).last_seq for id in room_ids}
        for id in room_ids:
            *acknowledged, refused = said[id]
            page = await store.read(id, after=max(0, stored[id] - 500), limit=500)
            assert f"{page.messages[-1].seq} {page.messages[-1].content}" == acknowledged[-1]
            assert stored[id] == len(acknowledged)
            assert refused.startswith("The rooms of this store were moved to ")
            assert "postgres:" not in refused  # of USER:PASSWORD


@BOTH_WAYS
async def test_whoever_has_the_old_store_open_is_told_where_the_rooms_are(
    direction: str, tmp_path: Path
):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
        async with store.watch([room_id]) as watch, asyncio.TaskGroup() as group:
            waiting = group.create_task(watch.wait(30))

            await moved(source, target)

            assert await waiting
        for ask in (
            lambda: store.act(room_id, says("more")),
            lambda: store.read(room_id, after=0),
            lambda: store.heads([room_id]),
            lambda: store.readings(room_id),
            lambda: store.directory(),
            lambda: store.directory_version(),
            lambda: store.delete(room_id, nothing),
            lambda: new_room(store),
        ):
            with pytest.raises(StoreUnavailable, match="were moved to") as told:
                await ask()
            assert "ROOM_MCP_STORE" in told.value.advice


@pytest.mark.parametrize("in_pass", [1, 2])
@BOTH_WAYS
async def test_a_move_that_was_killed_is_done_by_the_next(
    direction: str, in_pass: int, tmp_path: Path
):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "before")
        mover = await start("mover.py", source, target, in_pass)
        with anyio.fail_after(30):
            assert await line(mover) == "here"
            mover.kill()
            await mover.wait()
            await store.act(room_id, says("after"))

    await moved(source, target)

    async with opened(target) as store:
        assert await contents(store, room_id) == ["before", "after"]


async def test_of_two_moves_at_once_the_first_to_end_has_the_rooms(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    quicker = empty_database()
    async with opened(source) as store:
        await new_room(store, "hello")

    def move_elsewhere(done: int, total: int) -> None:
        with ThreadPoolExecutor(1) as beside_this_loop:
            beside_this_loop.submit(asyncio.run, moved(source, quicker)).result()

    with pytest.raises(StoreUnavailable, match="were moved to"):
        await move(source, target, progress=move_elsewhere)

    async with opened(quicker) as store:
        assert len(await store.directory()) == 1


async def test_a_backup_that_is_restored_meanwhile_ends_the_move(tmp_path: Path):
    source, target = ends(UP, tmp_path)
    async with opened(source) as store:
        await new_room(store, "hello")
    copy = tmp_path / "copy.db"
    back_up(Path(source), copy)

    def put_back(done: int, total: int) -> None:
        restore(Path(source), copy)

    with pytest.raises(StoreError, match="restored from a backup meanwhile"):
        await move(source, target, progress=put_back)

    async with opened(source) as store:
        await new_room(store)
