"""A move that is ended by a later run, which may name the same places in another way."""

from __future__ import annotations

from pathlib import Path

import pytest
from database_talk import connected
from moves import BACK, UP, ends, left_but_not_ended, moved, opened
from postgres_databases import empty_database
from store_talk import contents, new_room

from room_mcp.store.interface import StoreUnavailable
from room_mcp.store.migrate.moving import identity_of, source_at, target_at

pytestmark = pytest.mark.anyio

BOTH_WAYS = pytest.mark.parametrize("direction", [UP, BACK])


def spelt_otherwise(target: str) -> str:
    if "://" in target:
        return target.replace("127.0.0.1", "localhost")
    path = Path(target)
    link = path.with_name("link")
    link.symlink_to(path.parent)
    return str(link / path.name)


async def begun(source: str, target: str) -> None:
    """What is left of a move that was killed when all was copied, just before the old store was to
    be left; and somebody has spoken since."""
    from_, to = source_at(source), target_at(target)
    await from_.open()
    async with from_.seen():
        facts = await from_.facts()
    await to.open(identity_of(facts))
    await to.put_facts(facts)
    await to.note_left(to.where)
    await to.aclose()
    await from_.aclose()


@BOTH_WAYS
async def test_a_move_is_ended_under_another_name_of_its_target(direction: str, tmp_path: Path):
    source, target = ends(direction, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
    await left_but_not_ended(source, target)

    assert (await moved(source, spelt_otherwise(target))).rooms is None

    async with opened(target) as store:
        assert await contents(store, room_id) == ["hello"]


@BOTH_WAYS
async def test_a_store_that_was_begun_before_is_not_taken_for_the_one_that_has_the_rooms(
    direction: str, tmp_path: Path
):
    source, target = ends(direction, tmp_path)
    abandoned = empty_database() if direction == UP else str(tmp_path / "abandoned.db")
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
    await begun(source, abandoned)
    await left_but_not_ended(source, target)

    with pytest.raises(StoreUnavailable, match="were moved to"):
        await moved(source, abandoned)

    await moved(source, target)
    async with opened(target) as store:
        assert await contents(store, room_id) == ["hello"]


async def test_a_file_that_lacks_only_its_name_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, target = ends(BACK, tmp_path)
    async with opened(source) as store:
        room_id = await new_room(store, "hello")
    with monkeypatch.context() as killed:
        killed.setattr("room_mcp.store.sqlite.care.places.settle", _dies)
        with pytest.raises(KeyboardInterrupt):
            await moved(source, target)

    assert (await moved(source, target)).rooms is None

    async with opened(target) as store:
        assert await contents(store, room_id) == ["hello"]


def files(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


async def test_a_user_who_may_not_close_the_old_store_is_told_before_anything_is_copied(
    tmp_path: Path,
):
    source, target = ends(BACK, tmp_path)
    async with opened(source) as store:
        await new_room(store, "hello")
    async with connected(source) as master:
        if await master.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            pytest.skip("this user may do everything")
        await master.execute("REVOKE TRIGGER ON messages FROM CURRENT_USER")

    with pytest.raises(StoreUnavailable, match="may not close the tables") as told:
        await moved(source, target)

    assert "own the database" in told.value.advice
    assert files(tmp_path) == []
