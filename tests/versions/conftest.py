from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from earlier_files import meta_of
from peers import WAIT_S, Pair, Peer
from released import COMMITS, NoHistory, is_here, source_of

from room_mcp.store.sqlite import migrating


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the history lacks a release, one test says so for all that need it."""
    told: set[str] = set()
    silent: list[pytest.Item] = []
    for item in items:
        version = item.callspec.params.get("release") if hasattr(item, "callspec") else None
        if version is None or is_here(version):
            continue
        if version in told:
            silent.append(item)
        told.add(version)
    if silent:
        config.hook.pytest_deselected(items=silent)
        items[:] = [item for item in items if item not in silent]


@pytest.fixture(scope="session", params=COMMITS)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package of a released version."""
    try:
        return source_of(request.param, tmp_path_factory.mktemp("releases"))
    except NoHistory as reason:
        pytest.skip(f"No version is tried beside this one: {reason}")


@pytest.fixture(scope="session")
def pair(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A release that has a file open, and this version, which came later."""
    folder = tmp_path_factory.mktemp("beside")
    path = folder / "rooms.db"
    old = Peer(path, folder / "old", release)
    room_id = old.ask("create_room", "of before", sender="ann")["roomId"]
    old.ask("post", room_id, "ann", "before", idempotency_key="k1")
    before = meta_of(path)
    waiting = old.begin("messages", room_id, after=1, wait_s=WAIT_S)
    new = Peer(path, folder / "new")
    new.ask("post", room_id, "bob", "after", idempotency_key="k1")
    assert before["schema"] == str(migrating.LAST_BREAKING)
    assert int(before.get("expanded", "0")) <= max(migrating.scripts())
    yield Pair(old, new, path, room_id, old.woken(waiting))
    assert old.end() == new.end() == 0


@pytest.fixture(params=["old first", "new first"])
def two(pair: Pair, request: pytest.FixtureRequest) -> tuple[Peer, Peer]:
    return (pair.old, pair.new) if request.param == "old first" else (pair.new, pair.old)
