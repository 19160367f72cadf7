"""Rooms over REST that are kept for long, or not: names, the archive, purging, retention."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import anyio
import apsw
import httpx2
import pytest
from rest_desk import BASE_URL, Checked, Desk, must_be_problem

from room_mcp.backend import keeping as keeping_module
from room_mcp.backend.app import create_app
from room_mcp.backend.callers import trust
from room_mcp.backend.finding import Finder
from room_mcp.backend.retention import Retention
from room_mcp.backend.service import RoomService
from room_mcp.rooms import Past, Proof, Room, Stamp, Step
from room_mcp.settings import Settings
from room_mcp.store.interface import Decide, Listed, Store
from room_mcp.store.memory import MemoryStore
from room_mcp.store.memory.place import Place
from room_mcp.store.opening import open_store
from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.restore import restore
from room_mcp.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def later() -> datetime:
    """A clock that goes ten days before the store's."""
    return datetime.now(UTC) + timedelta(days=10)


@asynccontextmanager
async def keeping(
    folder: Path, clock: Callable[[], datetime] = later, **limits: Any
) -> AsyncGenerator[Desk]:
    """A backend, and whoever runs it."""
    settings = Settings(home=folder, store=str(folder / "rooms.db"), **limits)
    app = create_app(open_store(settings.store), settings, clock=clock)

    async def trusted(scope: Any, receive: Any, send: Any) -> None:
        trust(scope)
        await app(scope, receive, send)

    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(trusted),
            base_url=BASE_URL,
            event_hooks={"response": [Checked(app)]},
        ) as http,
    ):
        yield Desk(app, http)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with keeping(tmp_path) as own:
        yield own


async def owned(desk: Desk, name: str = "review", **fields: Any) -> tuple[str, dict[str, str]]:
    """The id of a new room, and the body that shows its owner's key."""
    made = await desk.room(name, **fields)
    return made["id"], {"ownerKey": made["ownerKey"]}


async def ended(desk: Desk, name: str = "review") -> str:
    room_id, key = await owned(desk, name)
    await desk.say(room_id, "ann", f"a word in {name}")
    closed = await desk.http.post(f"/agent/rooms/{room_id}/close", json=key)
    assert closed.status_code == 200, closed.text
    return room_id


async def do(desk: Desk, room_id: str, act: str, **body: Any) -> httpx2.Response:
    return await desk.http.post(f"/agent/rooms/{room_id}/{act}", json=body)


async def names(desk: Desk, **query: Any) -> list[str]:
    told = await desk.http.get("/agent/rooms", params=query)
    return [one["name"] for one in told.json()["rooms"]]


async def acts(desk: Desk) -> list[tuple[str, str | None]]:
    told = await desk.http.get("/agent/audit", params={"limit": 500})
    return [(one["act"], one["detail"]) for one in told.json()["entries"]]


# ---- another name -------------------------------------------------------------------------------


async def test_the_owner_renames_a_room(desk: Desk):
    room_id, key = await owned(desk, "draft")

    told = await do(desk, room_id, "rename", name="final", **key)

    page = await desk.read(room_id)
    assert (told.status_code, told.json()["name"]) == (200, "final")
    assert await names(desk, query="final") == ["final"]
    assert [(one["type"], one["content"]["to"]) for one in page["messages"]] == [
        ("room.renamed", "final")
    ]


async def test_the_audit_tells_of_a_new_name_and_holds_none(own: Desk):
    room_id, _ = await owned(own, "draft")
    await do(own, room_id, "rename", name="final")

    assert ("rename", None) in await acts(own)


async def test_others_rename_nothing(desk: Desk):
    room_id, _ = await owned(desk)

    refused = await do(desk, room_id, "rename", name="mine")

    assert must_be_problem(refused)["code"] == "not_the_owner"


async def test_a_name_that_is_none_is_refused(desk: Desk):
    room_id, key = await owned(desk)

    refused = await do(desk, room_id, "rename", name="two\nlines", **key)

    assert must_be_problem(refused)["code"] == "malformed"


# ---- the archive --------------------------------------------------------------------------------


async def test_an_archived_room_is_left_out_and_read_by_its_id(own: Desk):
    away, _ = await ended(own, "away"), await ended(own, "kept")

    told = await do(own, away, "archive")

    found = (await own.http.get("/agent/search", params={"q": "word"})).json()["hits"]
    by_id = (await own.http.get(f"/api/rooms/{away}")).json()
    assert told.status_code == 200
    assert (await names(own), await names(own, archived=1)) == (["kept"], ["away"])
    assert [hit["room"] for hit in found] == ["kept"]
    assert by_id["archivedAt"] is not None
    assert len((await own.read(away))["messages"]) == 2
    assert ("archive", None) in await acts(own)


async def test_an_archived_room_comes_back(own: Desk):
    room_id = await ended(own)
    await do(own, room_id, "archive")

    await do(own, room_id, "archive", archived=False)

    by_id = (await own.http.get(f"/api/rooms/{room_id}")).json()
    assert (await names(own), by_id["archivedAt"]) == (["review"], None)


async def test_a_room_that_goes_on_is_not_archived(own: Desk):
    room_id, _ = await owned(own)

    refused = must_be_problem(await do(own, room_id, "archive"))

    assert (refused["status"], refused["code"]) == (409, "room_open")
    assert "close" in refused["advice"]


def left(folder: Path, *words: str) -> list[str]:
    """Which of these words are in the files of the store."""
    files = b"".join(one.read_bytes() for one in folder.glob("rooms.db*"))
    return [word for word in words if word.encode() in files]


# ---- texts that are removed ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/rooms/{}/messages", "/api/rooms/{}"])
async def test_what_was_removed_is_in_no_file_once_the_round_is_over(
    own: Desk, tmp_path: Path, path: str
):
    room_id, _ = await owned(own, purpose="to hear the zither")
    await own.say(room_id, "ann", "the xylophone", idempotencyKey="k1")
    await do(own, room_id, "close", conclusion="with bassoons")

    removed = await own.http.delete(path.format(room_id))
    await expired(own, remove=True)

    assert removed.status_code in (200, 204)
    assert left(tmp_path, "xylophone", "zither", "bassoon") == []


async def test_purging_answers_when_the_texts_are_in_no_file(own: Desk, tmp_path: Path):
    room_id, _ = await owned(own)
    await own.say(room_id, "ann", "the xylophone")
    await do(own, room_id, "close", conclusion="with bassoons")

    removed = await own.http.delete(f"/api/rooms/{room_id}/messages")

    assert removed.status_code == 200
    assert left(tmp_path, "xylophone", "bassoon") == []


async def test_a_large_store_is_not_written_anew_at_the_wish_of_any_owner(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping_module, "SCRUBBED_BYTES", 0)
    room_id, key = await owned(desk)
    await desk.say(room_id, "ann", "the xylophone")

    asked = await desk.http.delete(
        f"/api/rooms/{room_id}/messages", headers={"Room-Key": key["ownerKey"]}
    )

    page = await desk.read(room_id)
    assert must_be_problem(asked)["code"] == "text_left"
    assert [one["content"] for one in page["messages"]] == [None]


async def erased(desk: Desk, room_id: str, key: dict[str, str]) -> str:
    """What becomes of an owner's wish to erase: its code, or nothing."""
    answer = await desk.http.delete(
        f"/api/rooms/{room_id}/messages", headers={"Room-Key": key["ownerKey"]}
    )
    return "" if answer.status_code == 200 else must_be_problem(answer)["code"]


async def test_owners_have_the_store_written_anew_once_a_minute_at_most(tmp_path: Path):
    now = [later()]
    settings = Settings(home=tmp_path, store=str(tmp_path / "rooms.db"))
    app = create_app(open_store(settings.store), settings, clock=lambda: now[0])
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=BASE_URL) as http,
    ):
        desk = Desk(app, http)
        rooms = [await owned(desk, name) for name in ("first", "second", "third")]
        for room_id, _ in rooms:
            await desk.say(room_id, "ann", "the xylophone")

        told = [await erased(desk, *rooms[0]), await erased(desk, *rooms[1])]
        now[0] += timedelta(minutes=1)
        told.append(await erased(desk, *rooms[2]))

    assert told == ["", "text_left", ""]
    assert left(tmp_path, "xylophone") == []


async def test_to_erase_an_empty_room_again_and_again_keeps_nobody_else_waiting(desk: Desk):
    empty, full = await owned(desk, "empty"), await owned(desk, "full")
    await desk.say(full[0], "ann", "the xylophone")

    told = [await erased(desk, *empty) for _ in range(3)]

    assert [*told, await erased(desk, *full)] == ["", "", "", ""]


async def test_the_answer_says_when_something_is_left(own: Desk, tmp_path: Path):
    room_id = await ended(own)
    reader = apsw.Connection(str(tmp_path / "rooms.db"))
    reader.execute("BEGIN; SELECT count(*) FROM rooms").fetchall()

    left = must_be_problem(await own.http.delete(f"/api/rooms/{room_id}/messages"))

    page = await own.read(room_id)
    assert (left["status"], left["code"]) == (409, "text_left")
    assert [one["content"] for one in page["messages"]] == [None, None]
    reader.close()
    again = await own.http.delete(f"/api/rooms/{room_id}/messages")
    assert again.status_code == 200


# ---- retention ----------------------------------------------------------------------------------


async def expired(desk: Desk, *, remove: bool = False) -> list[str]:
    told = await desk.http.request("DELETE" if remove else "GET", "/agent/expired")
    assert told.status_code == 200, told.text
    return [one["name"] for one in told.json()["rooms"]]


async def test_without_a_setting_every_room_is_kept(own: Desk):
    await ended(own)

    assert await expired(own, remove=True) == []


async def test_rooms_that_ended_long_ago_are_removed_at_the_start(own: Desk, tmp_path: Path):
    gone = await ended(own, "old")
    await owned(own, "open")
    await own.store.note_round(later())

    async with keeping(tmp_path, retention_days=9) as desk:
        with anyio.fail_after(20):
            while (await desk.http.get(f"/api/rooms/{gone}")).status_code != 404:
                await anyio.lowlevel.checkpoint()

        assert await names(desk) == ["open"]
        assert ("retention", None) in await acts(desk)


async def test_rooms_that_changed_since_are_kept(own: Desk, tmp_path: Path):
    await ended(own)

    async with keeping(tmp_path, retention_days=11) as desk:
        assert await expired(desk, remove=True) == []
        assert await names(desk) == ["review"]


async def test_a_number_of_rooms_is_kept_the_latest_changed(own: Desk, tmp_path: Path):
    async with keeping(tmp_path, retention_rooms=1) as desk:
        for name in ("first", "second", "third"):
            await ended(desk, name)
        await owned(desk, "open")

        assert await expired(desk) == ["first", "second"]
        assert await expired(desk, remove=True) == ["first", "second"]
        assert await expired(desk, remove=True) == []
        assert await names(desk) == ["open", "third"]


async def test_rooms_that_go_on_are_removed_only_where_that_is_set(own: Desk, tmp_path: Path):
    await owned(own, "open")

    async with keeping(tmp_path, retention_days=1, retention_of="all") as desk:
        await expired(desk, remove=True)

        assert await names(desk) == []


# ---- clocks that may be wrong -------------------------------------------------------------------


@dataclass
class Rounds:
    """Rounds over a store in memory, at times that the test says."""

    store: MemoryStore
    now: datetime = NOON
    kept: dict[str, Any] = field(default_factory=lambda: {"retention_days": 30})

    async def at(self, now: datetime) -> list[str]:
        """A round at this time; the names of the rooms that are left."""
        self.now = now
        settings = Settings(home=Path(), store="", retention_of="all", **self.kept)
        service = RoomService.over(cast(Store, self.store), settings, self.clock)
        await Retention(service).round()
        return sorted(one.room.name for one in await self.store.directory())

    def clock(self) -> datetime:
        return self.now

    async def room(self, name: str, at: datetime) -> None:
        self.now = at
        await self.store.create(Room(id=name, name=name, created_at=at))

    def by_hand(self) -> Retention:
        settings = Settings(home=Path(), store="", retention_of="all", **self.kept)
        return Retention(RoomService.over(cast(Store, self.store), settings, self.clock))


@pytest.fixture
async def rounds() -> Rounds:
    """Two rooms, of which one is older than thirty days since the last round."""
    rounds = Rounds(MemoryStore())
    rounds.store = MemoryStore(Place(rounds.clock))
    await rounds.store.open()
    await rounds.room("old", NOON - timedelta(days=30, hours=1))
    await rounds.store.note_round(NOON - timedelta(days=1))
    await rounds.room("new", NOON - timedelta(days=1))
    return rounds


HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)


async def test_a_clock_that_goes_on_removes_what_is_due(rounds: Rounds):
    assert await rounds.at(NOON) == ["new"]


async def test_a_clock_years_ahead_removes_nothing_and_says_so(
    rounds: Rounds, caplog: pytest.LogCaptureFixture
):
    far = NOON + 20 * YEAR

    assert [await rounds.at(far), await rounds.at(far + HOUR)] == [["new", "old"]] * 2
    assert len(caplog.messages) == 1
    assert "purge --expired --yes" in caplog.text


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_message_by_a_wrong_clock_does_not_make_it_right(rounds: Rounds, is_first: bool):
    far = NOON + 20 * YEAR
    if is_first:
        await rounds.store.note_round(None)
    await rounds.at(far)
    await rounds.room("posted", far)

    assert await rounds.at(far + HOUR) == ["new", "old", "posted"]


async def test_a_wrong_clock_beside_a_right_one_never_removes_anything(rounds: Rounds):
    rounds.kept = {"retention_days": 60}
    for day in range(4):
        assert await rounds.at(NOON + 20 * YEAR + day * DAY) == ["new", "old"]
        assert await rounds.at(NOON + day * DAY + HOUR) == ["new", "old"]


async def test_a_server_that_was_switched_off_for_a_month_goes_on_after_a_day(rounds: Rounds):
    back = NOON + 32 * DAY

    assert await rounds.at(back) == ["new", "old"]
    assert await rounds.at(back + 23 * HOUR) == ["new", "old"]
    assert await rounds.at(back + 24 * HOUR) == []


async def test_the_first_round_of_a_store_goes_by_its_changes(rounds: Rounds):
    await rounds.store.note_round(None)

    assert await rounds.at(NOON + 4 * DAY) == ["new", "old"]
    assert await rounds.at(NOON) == ["new"]


async def test_a_clock_that_was_believed_wrongly_does_not_stay_so(rounds: Rounds):
    rounds.kept = {"retention_rooms": 1}
    await rounds.store.note_round(NOON + 20 * YEAR)

    assert await rounds.at(NOON) == ["new", "old"]
    assert await rounds.at(NOON + DAY) == ["new"]
    await rounds.room("newer", NOON + DAY)
    assert await rounds.at(NOON + 20 * YEAR) == ["new", "newer"]


async def test_who_purges_answers_for_the_clock(rounds: Rounds):
    later = NOON + 29 * DAY - HOUR
    before = await rounds.at(later)
    removed = await rounds.by_hand().remove()

    assert (before, [one.name for one in removed.rooms]) == (["new", "old"], ["old"])
    assert await rounds.at(later + 2 * HOUR) == []


def forty_days_ago() -> datetime:
    return datetime.now(UTC) - 40 * DAY


async def restored(folder: Path) -> None:
    """A store from the backup of one that was used forty days ago."""
    store = SqliteStore(folder / "rooms.db", clock=forty_days_ago)
    await store.open()
    await store.create(Room(id="precious", name="precious", created_at=forty_days_ago()))
    await store.note_round(forty_days_ago())
    back_up(folder / "rooms.db", folder / "backup.db")
    await store.aclose()
    await anyio.to_thread.run_sync(restore, folder / "rooms.db", folder / "backup.db")


async def test_rooms_of_a_restored_backup_are_kept_as_long_as_new_ones(tmp_path: Path):
    await restored(tmp_path)
    kept = {"retention_days": 30, "retention_of": "all"}

    async with keeping(tmp_path, lambda: datetime.now(UTC), **kept) as desk:
        assert await expired(desk, remove=True) == []
        assert await names(desk) == ["precious"]
    async with keeping(tmp_path, lambda: datetime.now(UTC) + 31 * DAY, **kept) as desk:
        assert await expired(desk, remove=True) == ["precious"]


async def test_a_restore_makes_no_clock_a_wrong_one(tmp_path: Path):
    await restored(tmp_path)
    store = open_store(tmp_path / "rooms.db")
    await store.open()
    settings = Settings(home=tmp_path, store="", retention_days=30)

    await Retention(RoomService.over(store, settings)).round()

    times = await store.times()
    assert times.round_at == pytest.approx(datetime.now(UTC), abs=HOUR)
    assert times.suspect_since is None
    await store.aclose()


class Interrupted:
    """A store in which somebody does something as soon as rooms to remove were found."""

    def __init__(self, store: Store, room_id: str, decide: Decide) -> None:
        self._store, self._room_id, self._decide = store, room_id, decide

    async def stale(self, **wanted: Any) -> list[Listed]:
        found = await self._store.stale(**wanted)
        await self._store.act(self._room_id, self._decide)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_room_that_is_used_at_that_moment_is_kept(own: Desk):
    room_id = await ended(own)
    proof, stamp = Proof(trusted=True), Stamp(later(), ("1", "2"))

    def reopens(room: Room, past: Past) -> Step:
        return room.reopen("ann", proof=proof, stamp=stamp, past=past, kind="human")

    settings = Settings(home=Path(), store="", retention_days=1)
    store = cast(Store, Interrupted(own.store, room_id, reopens))

    removed = await Retention(RoomService.over(store, settings, later)).remove()

    assert (removed.rooms, await names(own)) == ([], ["review"])


async def test_a_list_leaves_out_a_room_that_is_removed_while_it_is_made(own: Desk):
    gone, _ = await ended(own, "gone"), await ended(own, "kept")

    class Removing:
        """A store in which a room is removed as soon as it was listed."""

        async def directory(self, **wanted: Any) -> list[Listed]:
            found = await own.store.directory(**wanted)
            await own.store.delete(gone, lambda room, _: Step(room))
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(own.store, name)

    listed = await Finder(cast(Store, Removing()), later).directory(Proof(trusted=True))

    assert [room.name for room in listed.rooms] == ["kept"]


async def test_several_processes_remove_each_room_once(own: Desk, tmp_path: Path):
    async with (
        keeping(tmp_path, retention_rooms=1) as one,
        keeping(tmp_path, retention_rooms=1) as two,
    ):
        for name in ("first", "second", "third", "fourth"):
            await ended(own, name)
        async with anyio.create_task_group() as tasks:
            for desk in (one, two):
                tasks.start_soon(lambda desk: expired(desk, remove=True), desk)

        assert await names(two) == ["fourth"]
        assert [act for act, _ in await acts(own)].count("retention") == 3


async def test_who_is_no_admin_removes_no_rooms_of_others(desk: Desk):
    refused = await desk.http.delete("/agent/expired")

    assert must_be_problem(refused)["code"] == "admins_only"
