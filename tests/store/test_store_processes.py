"""Several processes on one file: nothing is lost, doubled or reordered, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from engines import WITH_PROCESSES, Sqlite
from store_talk import BUDGET_OF_40, NOON, new_room, says

from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio
ENGINES = WITH_PROCESSES

HERE = Path(__file__).parent
MINUTE = timedelta(minutes=1)


async def start(script: str, *args: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / script),
        *map(str, args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def lines(process: asyncio.subprocess.Process, count: int | None = None) -> list[str]:
    """The next lines of its output; all of them without `count`."""
    assert process.stdout is not None
    found: list[str] = []
    while count is None or len(found) < count:
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            break
        found.append(line.decode().strip())
    return found


async def post_until_done(path: Path, room_id: str, name: str, count: int, kills: int) -> list[str]:
    """Run a poster, kill -9 it some times in mid-work; all that it ever said."""
    said: list[str] = []
    for kill in range(kills):
        poster = await start("poster.py", path, room_id, name, count)
        said += await lines(poster, 5 + 7 * kill)
        poster.kill()
        said += await lines(poster)
        await poster.wait()
    poster = await start("poster.py", path, room_id, name, count)
    said += await lines(poster)
    assert await poster.wait() == 0
    return said


async def test_nothing_is_lost_when_processes_are_killed(engine: Sqlite, store: Store):
    room_id = await new_room(store)

    with anyio.fail_after(60):
        said = await asyncio.gather(
            *(post_until_done(engine.address, room_id, f"p{n}", 25, kills=n % 3) for n in range(8))
        )

    messages = []
    while page := (await store.read(room_id, after=len(messages), limit=500)).messages:
        messages += page
    stored = {message.seq: message.content for message in messages}
    acknowledged = {
        int(seq): text for found in said for seq, _, text in (one.partition(" ") for one in found)
    }
    numbers = defaultdict(list)
    for message in messages:
        sender, _, number = message.content.partition(" ")
        numbers[sender].append(int(number))
    assert list(stored) == list(range(1, 8 * 4 * 25 + 1))
    assert acknowledged == stored
    assert len(numbers) == 32
    assert all(found == list(range(25)) for found in numbers.values())


async def test_processes_that_make_one_new_file_at_once_migrate_it_once(tmp_path: Path):
    path = tmp_path / "deep" / "rooms.db"
    openers = [await start("opener.py", path) for _ in range(4)]
    for opener in openers:
        assert await lines(opener, 1) == ["ready"]

    with anyio.fail_after(20):
        outputs = await asyncio.gather(*(opener.communicate(b"\n") for opener in openers))

    assert [opener.returncode for opener in openers] == [0] * 4
    assert len({epoch for epoch, _ in outputs}) == 1


async def test_a_process_follows_what_another_one_posts(engine: Sqlite, store: Store):
    room_id = await new_room(store)

    with anyio.fail_after(20):
        follower = await start("follower.py", engine.address, room_id, 100)
        assert await lines(follower, 1) == ["watching"]
        for number in range(100):
            await store.act(room_id, says(str(number)))
        seen = await lines(follower)

    assert seen == [str(seq) for seq in range(1, 101)]
    assert await follower.wait() == 0


async def test_a_store_is_whole_after_its_process_was_killed(engine: Sqlite):
    store = engine.store()
    await store.open()
    room_id = await new_room(store, "hello")
    await store.aclose()
    poster = await start("poster.py", engine.address, room_id, "p", 1_000)
    said = await lines(poster, 50)
    poster.kill()
    await poster.wait()

    await store.open()

    page = await store.read(room_id, after=1, limit=500)
    assert [f"{one.seq} {one.content}" for one in page.messages][: len(said)] == said
    assert (await store.act(room_id, says("next"))).messages[0].seq > 50
    await store.aclose()


async def test_a_burst_is_shared_by_processes(engine: Sqlite):
    takers = [await start("rate_taker.py", engine.address, 100) for _ in range(4)]
    for taker in takers:
        assert await lines(taker, 1) == ["ready"]

    with anyio.fail_after(30):
        outputs = await asyncio.gather(*(taker.communicate(b"\n") for taker in takers))

    assert sum(int(output) for output, _ in outputs) == 100


async def test_the_slots_of_a_process_that_was_killed_come_back(engine: Sqlite, store: Store):
    async def slots_at(at: datetime) -> int:
        mine = ("ann", "waits", "mine")
        return await store.take_slots(*mine, limit=30, opened=0, needed=1, at=at, until=at + MINUTE)

    holder = await start("slot_holder.py", engine.address, 30)
    with anyio.fail_after(20):
        assert await lines(holder, 1) == ["30"]
        holder.kill()
        await holder.wait()

    assert await slots_at(NOON + MINUTE - timedelta(seconds=1)) == 0
    assert await slots_at(NOON + MINUTE) == 4


async def test_a_budget_is_used_up_to_the_last_message_by_four_processes(
    engine: Sqlite, store: Store
):
    room_id = await new_room(store, contract=BUDGET_OF_40)
    racers = [await start("racer.py", engine.address, room_id, 25) for _ in range(4)]
    for racer in racers:
        assert await lines(racer, 1) == ["ready"]

    with anyio.fail_after(30):
        outputs = await asyncio.gather(*(racer.communicate(b"\n") for racer in racers))

    stored = [int(seq) for output, _ in outputs for seq in output.split()]
    assert sorted(stored) == list(range(1, 41))
    assert (await store.room(room_id)).last_seq == 40
