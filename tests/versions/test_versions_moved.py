"""A released version that has the file open while its rooms are moved to another store."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import Peer
from postgres_databases import empty_database

from room_mcp.store.migrate.moving import move

pytestmark = pytest.mark.anyio


async def test_an_older_version_writes_no_more_and_is_told_why(release: Path, tmp_path: Path):
    path = tmp_path / "rooms.db"
    old = Peer(path, tmp_path / "old", release)
    room_id = old.ask("create_room", "of before", sender="ann")["roomId"]
    old.ask("post", room_id, "ann", "before")

    await move(path, empty_database(), progress=lambda done, total: None)

    late = Peer(path, tmp_path / "late", release)
    for refused in (
        old.ask("post", room_id, "ann", "lost"),
        old.ask("create_room", "lost", sender="ann"),
    ):
        assert "The rooms of this store were moved to postgresql://" in str(refused)
    assert "newer room-mcp" in str(late.ask("messages", room_id, after=0))
    assert old.end() == late.end() == 0
