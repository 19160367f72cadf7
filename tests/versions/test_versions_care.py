"""What only the newer version can do to a file, while a released version has it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peers import Pair, Peer

from room_mcp.store.sqlite.care.backup import back_up
from room_mcp.store.sqlite.care.restore import restore
from room_mcp.store.sqlite.care.vacuum import vacuum


def texts(peer: Peer, room_id: str) -> list[Any]:
    return [one["content"] for one in peer.ask("messages", room_id, after=0)["messages"]]


def found(peer: Peer, room_id: str, word: str) -> list[int]:
    return [hit["message"]["seq"] for hit in peer.ask("search", word, room_id=room_id)["hits"]]


def test_the_older_goes_on_with_a_backup_that_was_put_in_place(pair: Pair, tmp_path: Path):
    room_id = pair.old.ask("create_room", "restored")["roomId"]
    pair.old.ask("post", room_id, "ann", "kept", idempotency_key="k1")
    back_up(pair.path, tmp_path / "backup.db")
    pair.old.ask("join", room_id, "lost")
    restore(pair.path, tmp_path / "backup.db")

    seen = [texts(peer, room_id) for peer in pair[:2]]
    posted = [pair.new.ask("post", room_id, "bob", "walrus", idempotency_key="k2")]
    posted += [pair.old.ask("post", room_id, "bob", "walrus", idempotency_key="k2")]
    posted += [pair.old.ask("post", room_id, "ann", "kept", idempotency_key="k1")]
    posted += [pair.old.ask("post", room_id, "ann", "more")]

    assert seen == [["kept"]] * 2
    assert [(one["seq"], one["idempotent"]) for one in posted] == [
        (2, False),
        (2, True),
        (1, True),
        (3, False),
    ]
    assert [texts(peer, room_id) for peer in pair[:2]] == [["kept", "walrus", "more"]] * 2
    assert [found(peer, room_id, "walrus") for peer in pair[:2]] == [[2], [2]]
    members = [one["name"] for one in pair.old.ask("info", room_id)["members"]]
    assert members == ["ann", "bob"]


def test_the_older_goes_on_after_the_file_was_written_anew(pair: Pair):
    room_id = pair.old.ask("create_room", "vacuumed")["roomId"]
    pair.old.ask("post", room_id, "ann", "before")
    vacuum(pair.path)

    posted = [peer.ask("post", room_id, "bob", "after", idempotency_key="k1") for peer in pair[:2]]

    assert [(one["seq"], one["idempotent"]) for one in posted] == [(2, False), (2, True)]
    assert [texts(peer, room_id) for peer in pair[:2]] == [["before", "after"]] * 2
    assert [found(peer, room_id, "after") for peer in pair[:2]] == [[2], [2]]


def test_the_older_finds_no_text_of_a_room_that_was_purged(pair: Pair):
    room_id = pair.old.ask("create_room", "purged")["roomId"]
    pair.old.ask("post", room_id, "ann", "a secret walrus")
    pair.old.ask("close_room", room_id, sender="ann", conclusion="done")

    purged = pair.new.ask("purge_room", room_id)

    assert "refused" not in (purged or {})
    assert [texts(peer, room_id)[0] for peer in pair[:2]] == [None] * 2
    assert [found(peer, room_id, "walrus") for peer in pair[:2]] == [[], []]
    assert pair.old.ask("info", room_id)["lifecycle"] == "closed"
