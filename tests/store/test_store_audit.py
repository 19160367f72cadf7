"""What a store promises about the audit: nothing that was done is missing, changed or invented."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import anyio.lowlevel
import pytest
from engines import ALL, Engine
from store_talk import (
    NOON,
    a_room,
    all_entries,
    by_ann,
    closes,
    joins,
    leaves,
    new_room,
    nothing,
    pauses,
    says,
)

from room_mcp.rooms import Step
from room_mcp.rooms.refusals import RoomClosed
from room_mcp.store.auditing import (
    CLOSE,
    JOIN,
    MAX_OF_ONE,
    MAX_REFUSALS,
    MAX_TEXT_CHARS,
    POST,
    Entry,
)
from room_mcp.store.callers import Invitation, ServerKey
from room_mcp.store.interface import Act, Store

pytestmark = pytest.mark.anyio
ENGINES = ALL

REFUSAL = Entry(NOON, "join", "name_taken", name="rex")


def a_key(id: str = "rks_1", name: str = "ann") -> ServerKey:
    return ServerKey(id, f"hash of {id}", name, "agent", admin=False, created_at=NOON)


async def acts(store: Store) -> list[tuple[str, str | None]]:
    return [(one.entry.act, one.entry.detail) for one in await all_entries(store)]


# ---- what was done ------------------------------------------------------------------------------


async def test_what_was_done_stands_in_the_audit_as_it_was_told(store: Store, other: Store):
    room = a_room()
    told = Entry(
        NOON + timedelta(microseconds=1),
        JOIN,
        room_id=room.id,
        name="ann",
        key_id="rks_1",
        subject="addr:0123456789abcdef",
        request_id="77",
        detail="of her own accord",
    )
    await store.create(room, entry=by_ann("create"))

    await store.act(room.id, joins("ann"), entry=told)

    first, second = await all_entries(other)
    assert (first.no, first.entry, first.previous) == (1, by_ann("create"), "")
    assert (second.no, second.entry, second.previous) == (2, told, first.link)
    assert first.is_intact
    assert second.is_intact


async def test_an_act_that_changes_nothing_leaves_nothing(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, pauses(), entry=by_ann("pause"))

    await store.act(room_id, pauses(), entry=by_ann("pause"))

    assert await acts(store) == [("pause", None)]


async def test_a_refused_act_leaves_nothing(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, closes(), entry=by_ann(CLOSE))

    with pytest.raises(RoomClosed):
        await store.act(room_id, closes(), entry=by_ann(CLOSE))

    assert await acts(store) == [(CLOSE, None)]


async def test_a_room_that_is_there_already_was_not_created(store: Store):
    await store.create(a_room(), reuse=True, entry=by_ann("create"))

    await store.create(a_room(), reuse=True, entry=by_ann("create"))

    assert await acts(store) == [("create", None)]


async def test_of_messages_only_what_they_bring_about_is_kept(store: Store):
    room_id = await new_room(store)
    for text in ("makes ann a member", "is only said"):
        await store.act(room_id, says(text), entry=by_ann(POST))

    await store.act(room_id, says("done", type="decision"), entry=by_ann(POST))

    assert await acts(store) == [(JOIN, None), (CLOSE, "#3, terminal")]


async def test_one_message_can_make_a_member_and_end_the_room(store: Store):
    room_id = await new_room(store)

    await store.act_all(room_id, [Act(says("done", type="decision"), None, by_ann(POST))])

    assert [act for act, _ in await acts(store)] == [JOIN, CLOSE]


async def test_a_room_that_has_ended_does_not_end_again(store: Store):
    room_id = await new_room(store, "hello")
    await store.act(room_id, closes(), entry=by_ann(CLOSE))

    await store.act(room_id, lambda room, _: Step(replace(room, name="x")), entry=by_ann("rename"))

    assert await acts(store) == [(CLOSE, None), ("rename", None)]


async def test_leaving_is_kept(store: Store):
    room_id = await new_room(store, "hello")

    await store.act(room_id, leaves("ann"), entry=by_ann("leave"))

    assert await acts(store) == [("leave", None)]


async def test_erasing_and_deleting_are_kept_after_the_room_is_gone(store: Store):
    room_id = await new_room(store, "secret")
    entry = replace(by_ann("erase"), room_id=room_id)
    await store.erase(room_id, nothing, entry=entry)

    await store.delete(room_id, nothing, entry=replace(entry, act="delete"))

    page = await store.audit(room_id=room_id)
    assert [one.entry.act for one in page.entries] == ["erase", "delete"]


async def test_keys_and_invitations_are_kept_with_what_is_done(store: Store):
    later = NOON + timedelta(days=1)
    await store.add_key(a_key(), entry=by_ann("create_key"))
    for _ in range(2):
        await store.revoke_key("rks_1", NOON, entry=by_ann("revoke_key"))
    await store.revoke_key("rks_2", NOON, entry=by_ann("revoke_key"))
    await store.add_invitation(
        Invitation("code", "rex", "agent", NOON, later), entry=by_ann("invite")
    )

    for _ in range(2):
        await store.redeem(
            "code", NOON, lambda _: a_key("rks_3", "rex"), entry=Entry(NOON, "redeem")
        )

    entries = [one.entry for one in await all_entries(store)]
    assert [one.act for one in entries] == ["create_key", "revoke_key", "invite", "redeem"]
    assert (entries[-1].name, entries[-1].key_id) == ("rex", "rks_3")


# ---- what was refused ---------------------------------------------------------------------------


async def test_refusals_are_there_for_whoever_asks_next(store: Store):
    store.note_refusal(REFUSAL)

    assert [one.entry for one in await all_entries(store)] == [REFUSAL]


async def test_refusals_ride_on_the_next_commit(store: Store, other: Store):
    room_id = await new_room(store)
    store.note_refusal(REFUSAL)

    await store.act(room_id, pauses(), entry=by_ann("pause"))

    assert [act for act, _ in await acts(other)] == ["pause", "join"]


async def test_each_refusal_is_written_once_whatever_is_committed_beside_it(store: Store):
    rooms = [await new_room(store, name=f"room {number}") for number in range(4)]

    async def busy(number: int) -> None:
        for turn in range(10):
            one = f"{number} {turn}"
            store.note_refusal(replace(REFUSAL, subject=one, detail=one))
            if number % 2:
                await store.act(rooms[number % 4], says("hello"))
            else:
                await store.create(a_room(f"another {number} {turn}"))

    await asyncio.gather(*map(busy, range(8)))
    await store.audit()  # of two in turn each writes what it has noted itself, when it is asked

    told = sorted(detail or "" for act, detail in await acts(store) if act == REFUSAL.act)
    assert told == sorted(f"{number} {turn}" for number in range(8) for turn in range(10))


async def test_refusals_are_written_by_themselves_soon(store: Store, other: Store):
    store.note_refusal(REFUSAL)

    with anyio.fail_after(20):
        while not await all_entries(other):
            await anyio.lowlevel.checkpoint()

    assert [one.entry for one in await all_entries(other)] == [REFUSAL]


async def test_refusals_are_written_when_the_store_closes(store: Store, other: Store):
    store.note_refusal(REFUSAL)

    await store.aclose()

    assert [one.entry for one in await all_entries(other)] == [REFUSAL]


async def test_of_a_flood_most_refusals_are_only_counted(store: Store, other: Store):
    for number in range(MAX_REFUSALS + 7):
        store.note_refusal(replace(REFUSAL, subject=f"addr:{number % 100}"))
    store.note_refusal(replace(REFUSAL, at=NOON + timedelta(minutes=1), name="later"))

    await store.aclose()

    page = await other.audit(after=MAX_REFUSALS)
    assert [(one.entry.detail, one.entry.name) for one in page.entries] == [
        ("7 more", None),
        (None, "later"),
    ]


async def test_the_flood_of_one_caller_does_not_hide_what_another_was_refused(
    store: Store, other: Store
):
    for _ in range(MAX_REFUSALS + 1):
        store.note_refusal(replace(REFUSAL, subject="addr:flood"))
    store.note_refusal(replace(REFUSAL, subject="key:eve", name="eve"))

    await store.aclose()

    kept = [one.entry.subject for one in await all_entries(other)]
    assert kept == [*["addr:flood"] * MAX_OF_ONE, "key:eve", None]


async def test_a_flood_that_lasts_until_the_end_is_counted_too(store: Store, other: Store):
    for number in range(MAX_REFUSALS + 1):
        store.note_refusal(replace(REFUSAL, subject=f"addr:{number % 100}"))

    await store.aclose()

    (last,) = (await other.audit(after=MAX_REFUSALS)).entries
    assert last.entry.detail == "1 more"


@pytest.mark.parametrize("name", ["a\ud800b", "a\0b", "x" * 10_000])
async def test_a_name_that_cannot_be_kept_spoils_nothing(store: Store, name: str):
    room_id = await new_room(store)
    store.note_refusal(replace(REFUSAL, name=name))

    await store.act(room_id, says("hello"))

    (one,) = await all_entries(store)
    assert one.is_intact
    assert len(one.entry.name or "") <= MAX_TEXT_CHARS


# ---- links --------------------------------------------------------------------------------------


async def test_entries_of_several_processes_make_one_chain(store: Store, other: Store):
    room_id = await new_room(store)
    for name in ("ann", "rex", "eve", "bob"):
        entry = Entry(NOON, JOIN, room_id=room_id, name=name)
        await asyncio.gather(
            store.act(room_id, joins(name), entry=entry),
            other.act(room_id, joins(f"{name}2"), entry=replace(entry, name=f"{name}2")),
        )

    page = await store.audit()

    assert [one.no for one in page.entries] == list(range(1, 9))
    assert all(one.is_intact for one in page.entries)
    links = ["", *(one.link for one in page.entries)]
    assert [one.previous for one in page.entries] == links[:-1]
    assert (page.last_no, page.head) == (8, links[-1])


# ---- pages --------------------------------------------------------------------------------------


async def test_the_audit_is_read_in_pages(store: Store):
    for name in ("one", "two", "three"):
        await store.create(a_room(name), entry=by_ann(name))

    first = await store.audit(limit=2)
    rest = await store.audit(after=2, limit=2)

    assert [one.entry.act for one in first.entries] == ["one", "two"]
    assert [one.entry.act for one in rest.entries] == ["three"]
    assert (first.has_more, rest.has_more) == (True, False)
    assert (first.last_no, first.head) == (rest.last_no, rest.entries[-1].link)


async def test_the_audit_of_one_room_has_links_to_what_came_before(store: Store):
    for room_id in ("a", "b", "a"):
        await store.create(a_room(), entry=replace(by_ann("create"), room_id=room_id))

    page = await store.audit(room_id="a")

    assert [one.no for one in page.entries] == [1, 3]
    assert all(one.is_intact for one in page.entries)


async def test_an_audit_without_entries_is_empty(store: Store):
    assert await store.audit() == ((), False, 0, "")


# ---- the secret ---------------------------------------------------------------------------------


async def test_all_processes_share_a_secret_that_no_other_store_has(
    engine: Engine, store: Store, other: Store, tmp_path_factory: pytest.TempPathFactory
):
    elsewhere = type(engine)(tmp_path_factory.mktemp("elsewhere")).store()
    await elsewhere.open()

    assert len(store.secret) >= 32
    assert store.secret == other.secret
    assert store.secret != elsewhere.secret
    await elsewhere.aclose()


# ---- chains of messages -------------------------------------------------------------------------


async def test_the_messages_of_a_chained_room_come_back_with_their_hashes(
    store: Store, other: Store
):
    room_id = await new_room(store, "one", "two", chain="")

    page = await other.read(room_id, after=0)

    assert all(one.chain is not None and len(one.chain) == 64 for one in page.messages)
    assert (await other.room(room_id)).chain == page.messages[-1].chain


async def test_messages_of_one_transaction_are_linked_to_each_other(store: Store):
    room_id = await new_room(store, chain="")

    done = await store.act_all(room_id, [Act(says(text)) for text in ("one", "two", "three")])

    heads = [one.room.chain for one in done if not isinstance(one, Exception)]
    page = await store.read(room_id, after=0)
    assert [one.chain for one in page.messages] == heads
    assert len(set(heads)) == 3


async def test_other_rooms_have_no_hashes(store: Store):
    room_id = await new_room(store, "one")

    page = await store.read(room_id, after=0)

    assert [one.chain for one in page.messages] == [None]
    assert (await store.room(room_id)).chain is None


async def test_erasing_takes_the_hashes_along_and_begins_the_chain_anew(store: Store, other: Store):
    room_id = await new_room(store, "secret", chain="")

    erased = await store.erase(room_id, nothing)

    await store.act(room_id, says("after"))
    page = await other.read(room_id, after=0)
    assert erased.chain == ""
    assert [one.chain for one in page.messages] == [None, (await other.room(room_id)).chain]


async def test_what_an_erasure_says_itself_is_chained(store: Store):
    room_id = await new_room(store, "secret", chain="")

    room = await store.erase(room_id, says("all gone"))

    page = await store.read(room_id, after=0)
    assert [one.chain for one in page.messages] == [None, room.chain]
    assert room.chain
