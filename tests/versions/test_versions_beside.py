"""A released version and this one on one file, both writing: the older was there first, and has the
file open while the newer migrates it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pytest
from earlier_files import meta_of
from peers import WAIT_S, Pair, Peer

import room_mcp
from faults.history import NOTICE, History, Kept, Posting, Reading
from room_mcp import wire
from room_mcp.cli.auditing import Links
from room_mcp.cli.verifying import messages_in
from room_mcp.rooms.chain import verified
from room_mcp.store.sqlite import migrating

CYRILLIC = "сlaude"  # looks like claude
CALLERS = 4
POSTS = 40
CLOSED_AT = 180  # messages; more are on their way then


def made(peer: Peer, name: str, **fields: Any) -> str:
    return peer.ask("create_room", name, **fields)["roomId"]


def texts(page: dict[str, Any]) -> list[Any]:
    return [one["content"] for one in page["messages"]]


# ---- one migrates while the other is there ------------------------------------------------------


def test_the_two_are_of_different_versions(pair: Pair):
    assert pair.old.version != pair.new.version == room_mcp.__version__


def test_the_file_is_migrated_and_still_one_that_the_older_may_open(pair: Pair):
    meta = meta_of(pair.path)

    assert meta["schema"] == str(migrating.LAST_BREAKING)
    assert meta["expanded"] == str(max(migrating.scripts()))


def test_whoever_waited_meanwhile_is_woken(pair: Pair):
    assert texts(pair.waited) == ["after"]


def test_an_older_version_opens_a_newer_file(pair: Pair, release: Path, tmp_path: Path):
    late = Peer(pair.path, tmp_path, release)

    page = late.ask("messages", pair.room_id, after=0)
    late.ask("post", pair.room_id, "cid", "late")

    assert late.end() == 0
    assert texts(page)[:2] == ["before", "after"]
    assert texts(pair.new.ask("messages", pair.room_id, limit=1)) == ["late"]
    assert meta_of(pair.path)["expanded"] == str(max(migrating.scripts()))


# ---- what one does, the other knows -------------------------------------------------------------


def test_both_wake_each_other(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "waking")
    other.ask("join", room_id, "bob")

    waiting = other.begin("messages", room_id, after=0, reader="bob", wait_s=WAIT_S)
    while not one.ask("info", room_id)["members"][0]["waiting"]:
        pass  # until the one knows that somebody waits at the other
    one.ask("post", room_id, "ann", "wake up")

    assert texts(other.woken(waiting)) == ["wake up"]


def test_a_key_of_the_one_is_replayed_by_the_other(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "keys")
    first = one.ask("post", room_id, CYRILLIC, {"text": "hi", "n": 1}, idempotency_key="k1")
    one.ask("post", room_id, "bob", "between")

    again = other.ask("post", room_id, CYRILLIC, {"text": "hi", "n": 1}, idempotency_key="k1")
    reused = other.ask("post", room_id, CYRILLIC, "else", idempotency_key="k1")

    assert (again["seq"], again["id"], again["idempotent"]) == (first["seq"], first["id"], True)
    assert reused["refused"] == "key_reused"


def test_names_that_look_alike_are_one_in_both(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "арі")  # looks like api
    one.ask("join", room_id, CYRILLIC)

    other.ask("join", room_id, "claude")
    found = [peer.ask("create_room", "api", reuse=True)["roomId"] for peer in two]

    assert [m["name"] for m in other.ask("info", room_id)["members"]] == [CYRILLIC]
    assert found == [room_id] * 2


def test_what_was_read_at_the_one_is_read_at_the_other(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "marks")
    for peer in two:
        peer.ask("join", room_id, "bob")
        peer.ask("post", room_id, "ann", "hello")

    one.ask("messages", room_id, after=0, reader="bob", ack=2)
    one.ask("post", room_id, "ann", "takes the mark along")

    (told,) = other.ask("rooms", member="bob", ids=[room_id])["rooms"]
    assert told["unread"] == 1


def test_the_rules_of_a_contract_hold_in_both(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "review", template="code-review")
    one.ask("join", room_id, "ann", role="author")
    other.ask("join", room_id, "rex", role="reviewer")

    wrong = [peer.ask("post", room_id, "ann", {"x": 1}, type="review_complete") for peer in two]
    contracts = [peer.ask("info", room_id)["contract"] for peer in two]
    roles = [{m["name"]: m["role"] for m in peer.ask("info", room_id)["members"]} for peer in two]

    assert wrong[0]["refused"] == wrong[1]["refused"]
    assert contracts[0] == contracts[1]
    assert roles == [{"ann": "author", "rex": "reviewer"}] * 2


def test_a_chain_goes_on_through_both(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "chained", chain=True)
    for number in range(6):
        two[number % 2].ask("post", room_id, f"p{number % 2}", f"link {number}")

    exports = [peer.ask("export", room_id, "jsonl") for peer in two]
    head = other.ask("info", room_id)["chain"]

    found = verified(messages_in(exports[0], "export"), head)
    assert exports[0] == exports[1]
    assert (found.broken_at, found.count, found.head) == (None, 6, head)


def test_both_find_what_either_said(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "searched")
    one.ask("post", room_id, "ann", "A walrus and a carpenter")
    other.ask("post", room_id, "bob", "Another walrus")

    hits = [peer.ask("search", "walrus", room_id=room_id) for peer in two]

    assert [[hit["message"]["seq"] for hit in found["hits"]] for found in hits] == [[2, 1], [2, 1]]


def test_what_the_one_erases_and_deletes_is_gone_for_the_other(two: tuple[Peer, Peer]):
    one, other = two
    room_id = made(one, "deleted")
    other.ask("post", room_id, "ann", "hello")

    one.ask("delete_room", room_id)

    assert other.ask("messages", room_id)["refused"] == "room_not_found"


TALK = [f"Shall we begin with part {n}?" for n in range(3)] + ["Thank you, goodbye!"] * 12


def judged(peers: tuple[Peer, Peer], room_id: str) -> list[Any]:
    """What the guard told those who said this in turns, each by the process of the turn."""
    told: list[Any] = []
    for number, text in enumerate(TALK):
        posted = peers[number % 2].ask("post", room_id, ("ann", "bob")[number % 2], text)
        told.append(posted.get("refused") or (posted["standing"], posted["notices"]))
    return told


def test_the_guard_remembers_what_was_said_at_the_other(pair: Pair):
    old, new = pair.old, pair.new
    alone = judged((old, old), made(old, "looping alone"))

    together = judged((old, new), made(old, "looping together"))
    the_other_way = judged((new, old), made(new, "looping the other way"))

    assert together == the_other_way == alone
    assert any(isinstance(one, str) for one in alone)


def test_the_audit_is_one_chain(pair: Pair):
    for peer in (pair.old, pair.new) * 2:
        peer.ask("close_room", made(peer, "audited"), sender="ann", conclusion="done")
        peer.ask("post", pair.room_id, "x" * 200, "refused: the name is too long")

    pages = [wire.Audit.model_validate(peer.ask("audit", limit=500)) for peer in pair[:2]]

    links = Links(after=0, all_rooms=True)
    for entry in pages[0].entries:
        links.add(entry)
    links.end(pages[0])
    assert links.broken == ""
    assert not pages[0].has_more
    assert pages[0].entries == pages[1].entries[: len(pages[0].entries)]


# ---- what only the newer knows ------------------------------------------------------------------


def test_what_a_newer_version_keeps_in_a_column_stays_while_the_older_writes(pair: Pair):
    db = apsw.Connection(str(pair.path))
    db.set_busy_timeout(10_000)
    db.execute("ALTER TABLE rooms ADD COLUMN later INTEGER")
    db.execute("UPDATE rooms SET later = 42 WHERE id = ?", (pair.room_id,))

    pair.old.ask("post", pair.room_id, "ann", "more")
    pair.old.ask("join", pair.room_id, "dan")
    pair.old.ask("close_room", pair.room_id, sender="ann", conclusion="done")

    kept = db.execute("SELECT later FROM rooms WHERE id = ?", (pair.room_id,)).fetchall()
    db.close()
    assert kept == [(42,)]


# ---- both at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("closer", ["old", "new"])
def test_nothing_is_lost_while_both_talk_at_once(pair: Pair, closer: str):
    room_id = made(pair.old, "talk", guard=False)
    begun = time.monotonic()
    talks = [
        (peer, peer.begin("talk", room_id, name, CALLERS, POSTS, CLOSED_AT * (name == closer)))
        for name, peer in (("old", pair.old), ("new", pair.new))
    ]

    seen = [peer.answer(number) for peer, number in talks]

    close = Posting(room_id, f"{closer}-reader", "", "(the end)", begun, None, None, ends=True)
    history = History(
        [close, *(Posting(**one) for told in seen for one in told["postings"])],
        [reading(**one) for told in seen for one in told["readings"]],
        [kept(pair, room_id)],
    )
    assert history.findings() == []
    assert CLOSED_AT < len(history.kept[0].messages) < 2 * CALLERS * POSTS
    assert {one.author.split("-")[0] for one in history.postings if one.seq} == {"old", "new"}


def reading(messages: list[tuple[int, str, Any]], **told: Any) -> Reading:
    shown = [(seq, text_of(type, content)) for seq, type, content in messages]
    return Reading(
        **told, seqs=tuple(seq for seq, _ in shown), texts=tuple(text for _, text in shown)
    )


def kept(pair: Pair, room_id: str) -> Kept:
    """The room as it is in the file."""
    page = pair.new.ask("messages", room_id, after=0, limit=500)["messages"]
    messages = tuple((one["seq"], text_of(one["type"], one["content"])) for one in page)
    db = apsw.Connection(str(pair.path))
    keys = db.execute(
        "SELECT sender, key, seq FROM keys WHERE room_no = (SELECT no FROM rooms WHERE id = ?)",
        (room_id,),
    ).fetchall()
    db.close()
    return Kept(room_id, messages, messages[-1][0], {(one, key): seq for one, key, seq in keys})


def text_of(type: str, content: Any) -> str:
    return f"{NOTICE}{content}" if type == "room.closed" else str(content)
