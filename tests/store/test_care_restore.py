"""A restored store is the backup for everybody, and nothing revoked or remembered comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from damaging import damage, smudge
from store_talk import NOON, contents, joins, new_room, says

from room_mcp.rooms.guard import Memory
from room_mcp.store.callers import Invitation, ServerKey
from room_mcp.store.interface import Reading, Store, StoreError, StoreUnavailable
from room_mcp.store.memories import Memories, Remembered
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.backup import back_up, contents_of
from room_mcp.store.sqlite.care.check import check
from room_mcp.store.sqlite.care.places import SLACK_BYTES
from room_mcp.store.sqlite.care.restore import Restored, restore
from room_mcp.store.sqlite.care.vacuum import vacuum

HERE = Path(__file__).parent


@pytest.fixture
async def one(path: Path):
    store = open_store(path)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
async def two(path: Path, one: Store):
    """Another process' store on the file, as far as one process can have two."""
    store = open_store(path)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup.db"


def spoil(file: Path, what: str) -> None:
    match what:
        case "missing":
            file.unlink()
        case "no database":
            file.write_bytes(b"garbage" * 1_000)
        case "another program's":
            file.unlink()
            damage(file, "CREATE TABLE notes (text)")
        case "gap":
            damage(file, "DELETE FROM messages WHERE key & 0xff = 2")
        case "smudged":
            smudge(file, "rooms")
        case _:
            file.write_bytes(b"")


async def restored(path: Path, backup: Path) -> Restored:
    with anyio.fail_after(20):
        return await asyncio.to_thread(restore, path, backup)


@pytest.mark.anyio
async def test_everybody_sees_the_rooms_of_the_backup(
    one: Store, two: Store, path: Path, backup: Path
):
    room_id = await new_room(one, "kept")
    back_up(path, backup)
    before = one.epoch
    await one.act(room_id, says("lost"))
    assert await contents(two, room_id) == ["kept", "lost"]

    told = await restored(path, backup)

    assert await contents(one, room_id) == await contents(two, room_id) == ["kept"]
    assert one.epoch == two.epoch == told.epoch != before
    assert (await two.act(room_id, says("new"))).messages[0].seq == 2
    assert await contents(one, room_id) == ["kept", "new"]
    assert list(check(path, files=False)) == []


@pytest.mark.anyio
async def test_what_processes_remember_of_a_room_is_not_taken_for_what_is_restored(
    one: Store, path: Path, backup: Path
):
    room_id = await new_room(one, "a")
    back_up(path, backup)
    await one.act(room_id, says("b"))
    await restored(path, backup)

    # As many commits as there were before: their numbers must not be given twice.
    other = open_store(path)
    await other.open()
    await other.act(room_id, says("c"))
    await other.aclose()

    assert (await one.room(room_id)).last_at == NOON
    assert await contents(one, room_id) == ["a", "c"]
    assert [hit.message.content for hit in await one.search("c", room_ids=[room_id])] == ["c"]


@pytest.mark.anyio
async def test_whoever_waits_is_woken_also_in_a_room_that_is_gone(
    one: Store, path: Path, backup: Path
):
    kept = await new_room(one, "a")
    back_up(path, backup)
    gone = await new_room(one, "b", name="later")
    directory = await one.directory_version()

    with anyio.fail_after(20):
        async with (
            one.watch([kept]) as of_kept,
            one.watch([gone]) as of_gone,
            one.watch(directory=True) as of_directory,
        ):
            await restored(path, backup)
            woken = [await watch.wait(10) for watch in (of_kept, of_gone, of_directory)]

    assert woken == [True, True, True]
    assert (await one.heads([gone]))[gone].room is None
    assert await one.directory_version() > directory


@pytest.mark.anyio
async def test_the_epoch_is_known_before_the_first_answer(
    one: Store, two: Store, path: Path, backup: Path
):
    back_up(path, backup)  # without any room

    told = await restored(path, backup)
    await new_room(one)
    await two.directory_version()

    assert one.epoch == two.epoch == told.epoch


@pytest.mark.anyio
async def test_marks_of_messages_that_are_gone_are_dropped(one: Store, path: Path, backup: Path):
    room_id = await new_room(one, "1", "2")
    await one.act(room_id, joins("rex"))
    back_up(path, backup)
    await one.act(room_id, says("3"))
    await restored(path, backup)

    one.mark_read(room_id, "rex", Reading(shown_to=3, read_to=3))  # told before, written after
    await one.act(room_id, says("another 3"))

    assert (await one.readings(room_id))["rex"] == Reading()


def test_the_guard_forgets_what_it_heard_under_another_epoch():
    memories = Memories()
    memories.belong_to("before")
    memories.put_back("room", Remembered(Memory(), 2, 0, 0))

    assert not memories.belong_to("before")
    assert memories.belong_to("after")
    assert memories.take_out("room", 0) is None
    assert memories.size_bytes == 0


@pytest.mark.anyio
async def test_a_key_revoked_since_the_backup_stays_revoked(one: Store, path: Path, backup: Path):
    await one.add_key(ServerKey("old", "h1", "ann", "agent", False, NOON))
    await one.add_key(ServerKey("gone", "h2", "bob", "agent", False, NOON))
    await one.revoke_key("gone", NOON)
    back_up(path, backup)
    await one.revoke_key("old", NOON + timedelta(days=1))
    await one.add_key(ServerKey("new", "h3", "cy", "agent", False, NOON))

    told = await restored(path, backup)

    kept = {key.id: key.revoked_at for key in await one.server_keys()}
    assert kept == {"old": NOON + timedelta(days=1), "gone": NOON}
    assert told.lost_keys == 1


@pytest.mark.anyio
async def test_an_invitation_is_not_redeemed_twice(one: Store, path: Path, backup: Path):
    soon = NOON + timedelta(hours=1)
    for code in ("used", "unused"):
        await one.add_invitation(Invitation(code, "ann", "agent", NOON, soon))
    back_up(path, backup)
    key = ServerKey("k", "h", "ann", "agent", False, NOON)
    assert await one.redeem("used", NOON, lambda _: key) is not None

    await restored(path, backup)

    assert await one.redeem("used", NOON, lambda _: key) is None
    assert await one.redeem("unused", NOON, lambda _: key) is not None


@pytest.mark.anyio
async def test_the_audit_is_that_of_the_backup_and_tells_of_the_restore(
    one: Store, path: Path, backup: Path
):
    back_up(path, backup)

    told = await restored(path, backup)

    (entry,) = (await one.audit()).entries
    assert (entry.entry.act, entry.entry.detail) == ("restore", f"epoch {told.epoch}")
    assert entry.is_intact


@pytest.mark.anyio
async def test_the_secret_that_processes_have_in_mind_stays(
    one: Store, path: Path, backup: Path, tmp_path: Path
):
    elsewhere = open_store(tmp_path / "elsewhere.db")
    await elsewhere.open()
    room_id = await new_room(elsewhere, "from there")
    await elsewhere.aclose()
    back_up(tmp_path / "elsewhere.db", backup)

    await restored(path, backup)
    after = open_store(path)
    await after.open()

    assert after.secret == one.secret
    assert await contents(one, room_id) == ["from there"]
    await after.aclose()


@pytest.mark.anyio
async def test_the_store_as_it_was_is_kept_beside(one: Store, path: Path, backup: Path):
    room_id = await new_room(one, "kept")
    back_up(path, backup)
    await one.act(room_id, says("lost"))

    told = await restored(path, backup)

    assert told.saved_to is not None
    assert told.was_readable
    assert told.saved_to.name.startswith("rooms.db.before-restore-")
    assert told.saved_to.stat().st_mode & 0o777 == 0o600
    assert contents_of(told.saved_to).messages == 2
    again = await restored(path, told.saved_to)
    assert again.contents.messages == 2
    assert await contents(one, room_id) == ["kept", "lost"]


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["missing", "no database", "smudged"])
async def test_a_store_that_cannot_be_read_is_replaced(path: Path, backup: Path, what: str):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "kept")
    await store.aclose()
    back_up(path, backup)
    spoil(path, what)

    told = await restored(path, backup)

    await store.open()
    assert await contents(store, room_id) == ["kept"]
    assert store.epoch == told.epoch
    await store.aclose()
    assert list(check(path, files=False)) == []
    assert (told.saved_to is None) == (what == "missing")


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["missing", "no database", "another program's", "gap", "empty"])
async def test_what_is_no_sound_backup_changes_nothing(
    one: Store, path: Path, backup: Path, what: str
):
    room_id = await new_room(one, "1", "2", "3")
    back_up(path, backup)
    spoil(backup, what)

    with pytest.raises((StoreError, StoreUnavailable)):
        await restored(path, backup)

    assert await contents(one, room_id) == ["1", "2", "3"]
    assert not list(path.parent.glob("*before-restore*"))
    assert not list(path.parent.glob(".rooms*"))


@pytest.mark.anyio
async def test_whoever_has_a_deleted_store_open_finds_the_restored_one(
    one: Store, path: Path, backup: Path
):
    room_id = await new_room(one, "kept")
    back_up(path, backup)
    spoil(path, "missing")

    told = await restored(path, backup)

    assert await contents(one, room_id) == ["kept"]
    assert one.epoch == told.epoch
    assert (await one.act(room_id, says("new"))).messages[0].seq == 2


@pytest.mark.anyio
@pytest.mark.parametrize("table", ["server_keys", "slots"])
async def test_commits_are_numbered_above_those_that_cannot_be_read_any_more(
    one: Store, path: Path, backup: Path, table: str
):
    room_id = await new_room(one, "kept")
    back_up(path, backup)
    for number in range(3):
        await new_room(one, "lost", name=f"later {number}")
    before = await one.directory_version()
    smudge(path, table)

    told = await restored(path, backup)

    assert not told.was_readable
    assert await one.directory_version() > before
    assert await contents(one, room_id) == ["kept"]
    assert one.epoch == told.epoch


@pytest.mark.anyio
async def test_two_processes_that_have_it_open_go_on_with_the_restored_rooms(
    path: Path, backup: Path
):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "kept")
    back_up(path, backup)
    await store.act(room_id, says("lost"))
    await store.aclose()

    with anyio.fail_after(30):
        peers = [await start("restored_peer.py", path, room_id) for _ in range(2)]
        epochs = {await line(peer) for peer in peers}
        told = await restored(path, backup)
        said = [await line(peer) for peer in peers]
        for peer in peers:
            await peer.communicate(b"\n")

    assert len(epochs) == 1
    assert said == [f"cursor_ahead 1 {told.epoch}.0 ['kept']"] * 2
    assert [peer.returncode for peer in peers] == [0, 0]
    await store.open()
    assert sorted((await contents(store, room_id))[1:]) == ["anew", "anew"]
    await store.aclose()


KILLS = 8  # spread over all writes; each takes a process


@pytest.mark.anyio
async def test_a_kill_in_the_middle_leaves_the_store_as_before_or_as_after(
    path: Path, backup: Path, tmp_path: Path
):
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, "kept", "hello " * 5_000)
    back_up(path, backup)
    await store.act(room_id, says("since"))
    await store.aclose()
    with anyio.fail_after(60):
        whole = await killed(path, tmp_path / "whole", backup, at=0)
        writes = int(await line(whole))
        points = sorted({1, writes, *range(2, writes, max(1, writes // KILLS))})
        peers = [await killed(path, tmp_path / str(at), backup, at=at) for at in points]
        for peer in [whole, *peers]:
            await peer.communicate()

    found = {await last_text(tmp_path / str(at) / "rooms.db", room_id) for at in points}
    faults = [one for at in points for one in check(tmp_path / str(at) / "rooms.db")]
    assert [peer.returncode for peer in peers] == [-signal.SIGKILL] * len(points)
    assert faults == []
    assert found == {"since", "hello " * 5_000}
    assert await last_text(tmp_path / "whole" / "rooms.db", room_id) == "hello " * 5_000


async def killed(store: Path, folder: Path, backup: Path, *, at: int) -> asyncio.subprocess.Process:
    """A restore of a copy of this store, which ends itself before this write; 0: before none."""
    copied(store, folder)
    return await start("restore_dying.py", folder / "rooms.db", backup, at)


def copied(store: Path, folder: Path) -> None:
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(store.with_name(f"rooms.db{end}"), folder / f"rooms.db{end}")
        (folder / f"rooms.db{end}").chmod(0o600)


async def last_text(path: Path, room_id: str) -> str:
    store = open_store(path)
    await store.open()
    found = await contents(store, room_id)
    await store.aclose()
    return found[-1]


def test_without_space_for_all_of_it_nothing_is_begun(
    path: Path, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    room_id = anyio.run(large, path)
    size = path.stat().st_size
    back_up(path, backup)
    free = 3 * size  # and not the slack
    monkeypatch.setattr("room_mcp.store.sqlite.care.places.free_bytes", lambda _: free)

    with pytest.raises(StoreUnavailable, match="Free some space") as refused:
        restore(path, backup)

    assert refused.value.detail.startswith(f"The disk with {tmp_path} has")
    assert not list(tmp_path.glob("*before*"))
    assert anyio.run(last_text, path, room_id).startswith("hello")


def test_three_times_the_size_of_a_store_is_space_enough(
    path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
):
    room_id = anyio.run(large, path)
    size = path.stat().st_size
    back_up(path, backup)
    enough = int(3.05 * size) + SLACK_BYTES
    monkeypatch.setattr("room_mcp.store.sqlite.care.places.free_bytes", lambda _: enough)

    told = restore(path, backup)

    assert told.contents.messages == 20
    assert anyio.run(last_text, path, room_id).startswith("hello")


async def large(path: Path) -> str:
    """A store of some MiB, all of it in one file; its room."""
    store = open_store(path)
    await store.open()
    room_id = await new_room(store, *(f"hello {number} " * 5_000 for number in range(20)))
    await store.aclose()
    vacuum(path)
    return room_id


@pytest.mark.anyio
async def test_the_database_of_another_program_is_no_backup(one: Store, path: Path, backup: Path):
    room_id = await new_room(one, "kept")
    tables = ("meta (name, value)", "rooms (a)", "messages (b)")
    damage(backup, *(f"CREATE TABLE {table}" for table in tables))

    with pytest.raises(StoreUnavailable, match="not a room-mcp store") as refused:
        await restored(path, backup)

    assert refused.value.advice
    assert await contents(one, room_id) == ["kept"]


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
