"""What was removed is in no file of the store: not in free pages, not between others' rows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import apsw
import pytest
from damaging import damage
from store_talk import OWNER, Decide, closes, joins, new_room, nothing, says, stamp

from room_mcp.rooms import contract_from
from room_mcp.rooms.message import Draft
from room_mcp.store.interface import Act, IdempotencyKey, Store, TextLeft
from room_mcp.store.opening import open_store
from room_mcp.store.tokens import content_tokens

pytestmark = pytest.mark.anyio

ENDING = {
    "roles": {"judge": {}},
    "terminal": [
        {"type": "verdict", "by": ["judge"], "need": "all_of_role", "outcome_from": "outcome"}
    ],
}
# Each stands in one field that holds what somebody said; none is a part of another.
SECRETS = (
    "Xylophon",
    "quarks",
    "zither",
    "oboé",
    "fagott",
    "bratsche",
    "cembalo",
    "laute",
    "gambe",
)


def files(path: Path) -> bytes:
    """All bytes of the store, but for the shared memory, which knows numbers of pages alone."""
    kept = [one for one in path.parent.iterdir() if not one.name.endswith("-shm")]
    return b"".join(one.read_bytes() for one in kept)


def left(path: Path, *secrets: str) -> list[str]:
    """Which of these are in the files: as they are, folded, as in JSON or in UTF-16."""
    found = files(path)
    return [one for one in secrets if any(form in found for form in _forms(one))]


def _forms(secret: str) -> set[bytes]:
    texts = {secret, secret.lower(), json.dumps(secret)[1:-1], *content_tokens(secret)}
    return {text.encode(kind) for text in texts for kind in ("utf-8", "utf-16-le", "utf-16-be")}


def concludes(text: str) -> Decide:
    ids = stamp()
    return lambda room, _: room.close("ann", text, proof=OWNER, stamp=ids, kind="human")


def judged(content: object, sender: str) -> Decide:
    """As the rules decide it, with the guard."""
    ids = stamp()
    draft = Draft(sender, content, type="verdict")  # type: ignore[arg-type]
    return lambda room, past: room.post(draft, proof=OWNER, stamp=ids, past=past)


async def told(store: Store) -> str:
    """A room in which every field holds a secret."""
    room_id = await new_room(store, purpose="for the zither", name="a name that stays")
    for name in ("ann", "bob"):
        await store.act(room_id, joins(name))
    await store.act(room_id, says("a Xylophon, once"))
    await store.act(room_id, says({"deep": [{"quarks": 1}, "oboé"]}))
    await store.act(room_id, says("fagott " * 15_000))  # over many pages
    await store.act(room_id, concludes("with a bratsche"))
    return room_id


async def busy(store: Store, rounds: int = 150) -> list[str]:
    """Rooms whose rows lie side by side in pages, and were moved from one to another.

    With this seed, copies of what is erased stay in pages that go on being used.
    """
    chosen = random.Random(0)
    rooms = [await new_room(store, name=f"room{n}", purpose=f"cembalo{n}x") for n in range(6)]
    for _ in range(rounds):
        n = chosen.randrange(6)
        await store.act_all(rooms[n], [Act(says(f"laute{n}x " * chosen.choice((3, 10, 40, 80))))])
    return rooms


@pytest.mark.parametrize("removal", ["erase", "delete"])
async def test_no_field_of_a_removed_room_is_left(store: Store, path: Path, removal: str):
    room_id = await told(store)
    before = left(path, *SECRETS[:6])

    await getattr(store, removal)(room_id, nothing)
    await store.scrub()

    assert before == list(SECRETS[:6])
    assert left(path, *SECRETS) == []


@pytest.mark.parametrize("removal", ["erase", "delete"])
async def test_rows_that_sqlite_moved_are_left_nowhere(store: Store, path: Path, removal: str):
    rooms = await busy(store)
    for room_id in rooms:
        await store.act(room_id, closes())
    removed, kept = ("laute1x", "laute4x", "cembalo1x", "cembalo4x"), ("laute2x", "cembalo2x")

    for n in (1, 4):
        await getattr(store, removal)(rooms[n], nothing)
    await store.scrub()

    assert left(path, *removed) == []
    assert left(path, *kept) == list(kept)


async def test_the_words_of_a_large_index_go_as_well(store: Store, path: Path):
    room_id = await new_room(store)
    words = [" ".join(f"w{n * m}" for m in range(1, 60)) for n in range(300)]
    for start in range(0, 300, 50):
        await store.act_all(room_id, [Act(says(text)) for text in words[start : start + 50]])
    secret = await new_room(store, "Xylophon")
    await store.act_all(room_id, [Act(says(text)) for text in words])

    await store.erase(secret, nothing)
    await store.scrub()

    assert left(path, "Xylophon") == []


async def test_texts_in_pages_that_were_free_already_go_as_well(store: Store, path: Path):
    room_id = await told(store)
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE lost (text TEXT)")
    db.execute("INSERT INTO lost VALUES (?)", ("gambe " * 20_000,))
    db.execute("DROP TABLE lost")
    db.close()
    before = left(path, "gambe")

    await store.delete(room_id, nothing)
    await store.scrub()

    assert (before, left(path, "gambe")) == (["gambe"], [])


async def test_old_states_of_a_room_are_left_nowhere(store: Store, path: Path):
    contract = contract_from(ENDING)
    room_id = await new_room(store, contract=contract, purpose="zither " * 100)
    for name in ("ann", "bob", *(f"member{n}" for n in range(60))):
        await store.act(room_id, joins(name))
    await store.act(room_id, judged({"outcome": "bratsche", "summary": "cembalo " * 9}, "ann"))
    await store.act(room_id, judged({"outcome": "gambe", "summary": "laute " * 50}, "ann"))
    await store.act(room_id, concludes("oboé " * 100))
    before = left(path, "zither", "bratsche", "cembalo", "gambe", "laute", "oboé")

    room = await store.erase(room_id, nothing)
    await store.scrub()

    assert len(before) == 6
    assert left(path, *before) == []
    assert {one.outcome for one in room.verdicts} <= {"erased"}


async def test_no_hash_of_a_text_is_left(store: Store, path: Path):
    room_id = await new_room(store)
    mark = b"the-hash-of-what-was-said-before"
    await store.act(room_id, says("hi"), key=IdempotencyKey("ann", "k1", mark))
    await store.act(room_id, closes())
    before = mark in files(path)

    await store.erase(room_id, nothing)
    await store.scrub()

    assert (before, mark in files(path)) == (True, False)


async def test_who_reads_on_an_old_state_is_told_of_and_does_not_stop_the_rest(
    store: Store, path: Path
):
    room_id = await told(store)
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rooms").fetchall()

    await store.erase(room_id, nothing)
    with pytest.raises(TextLeft, match="another program"):
        await store.scrub()

    shown = await store.read(room_id, after=0)
    assert {one.content for one in shown.messages} == {None}
    assert left(path, "Xylophon") == ["Xylophon"]
    reader.close()
    await store.scrub()
    assert left(path, *SECRETS) == []


async def test_there_is_nothing_to_take_out_where_nothing_was_erased(store: Store):
    full, empty = await told(store), await new_room(store, purpose="to stay")
    await store.erase(full, nothing)
    first = await store.scrub()

    for room_id in (full, empty, empty):
        await store.erase(room_id, nothing)

    assert (first, await store.scrub()) == (True, False)


@pytest.mark.parametrize("key", [None, IdempotencyKey("ann", "k1", b"a hash")])
async def test_what_an_earlier_version_erased_is_taken_out_by_erasing_it_again(
    store: Store, path: Path, key: IdempotencyKey | None
):
    room_id = await new_room(store, purpose="" if key else "to hear the zither")
    await store.act(room_id, says("hi"), key=key)
    if key is None:
        await store.act(room_id, closes())
    damage(path, "UPDATE messages SET content = NULL")

    await store.erase(room_id, nothing)

    assert await store.scrub()


async def test_another_process_goes_on_where_one_ended(store: Store, path: Path):
    room_id = await told(store)
    await store.delete(room_id, nothing)
    await store.aclose()

    other = open_store(path)
    await other.open()
    await other.scrub()

    assert left(path, *SECRETS) == []
    await other.aclose()


async def test_what_stays_is_whole_and_found(store: Store, path: Path):
    rooms = await busy(store, rounds=20)
    before = [await store.read(room_id, after=0, limit=500) for room_id in rooms[1:]]

    await store.delete(rooms[0], nothing)
    await store.scrub()

    assert [await store.read(room_id, after=0, limit=500) for room_id in rooms[1:]] == before
    assert len(await store.search("laute3x", room_ids=rooms[1:], limit=5)) == 5
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    db.close()
