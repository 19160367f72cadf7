"""What a store promises about reading: pages, filters, heads, the directory, search."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from engines import ALL, ONE_PROCESS, Engine, only
from store_talk import NOON, a_room, closes, contents, joins, leaves, new_room, nothing, says

from room_mcp.rooms.refusals import RoomNotFound
from room_mcp.store import interface
from room_mcp.store.interface import Act, Head, Page, Store

pytestmark = pytest.mark.anyio
ENGINES = ALL


def seqs(page: Page) -> list[int]:
    return [message.seq for message in page.messages]


async def room_of(store: Store, count: int) -> str:
    room_id = await new_room(store)
    await store.act_all(room_id, [Act(says(f"text {n}")) for n in range(1, count + 1)])
    return room_id


async def turned(
    store: Store, room_id: str, *, after: int | None = None, **wanted: Any
) -> list[list[int]]:
    """The seqs of page after page, until there is no more."""
    page = await store.read(room_id, after=after, **wanted)
    pages = [seqs(page)]
    while page.has_more:
        if after is None:
            page = await store.read(room_id, before=page.first_seq, **wanted)
        else:
            page = await store.read(room_id, after=page.last_seq, **wanted)
        pages.append(seqs(page))
    return pages


# ---- pages --------------------------------------------------------------------------------------


async def test_without_a_cursor_the_newest_come_oldest_first(store: Store):
    page = await store.read(await room_of(store, 10), limit=3)

    assert seqs(page) == [8, 9, 10]
    assert page[1:] == (8, 10, True)


async def test_pages_turn_forward_to_the_end(store: Store):
    room_id = await room_of(store, 5)

    first = await store.read(room_id, after=0, limit=3)
    second = await store.read(room_id, after=first.last_seq, limit=3)

    assert (seqs(first), first.has_more) == ([1, 2, 3], True)
    assert (seqs(second), second.has_more) == ([4, 5], False)


async def test_pages_turn_back_to_the_beginning(store: Store):
    room_id = await room_of(store, 5)

    last = await store.read(room_id, limit=3)
    first = await store.read(room_id, before=last.first_seq, limit=3)

    assert (seqs(last), last.has_more) == ([3, 4, 5], True)
    assert (seqs(first), first.has_more) == ([1, 2], False)


async def test_both_bounds_exclude(store: Store):
    room_id = await room_of(store, 9)

    assert seqs(await store.read(room_id, after=3, before=6)) == [4, 5]


@pytest.mark.parametrize("bounds", [{"after": 5}, {"after": 99}, {"before": 1}, {"before": -3}])
async def test_an_empty_stretch_is_an_empty_page(store: Store, bounds: dict[str, int]):
    assert await store.read(await room_of(store, 5), **bounds) == Page((), None, None, False)


async def test_a_new_room_has_an_empty_page(store: Store):
    assert await store.read(await new_room(store)) == Page((), None, None, False)


async def test_reading_an_unknown_room_is_refused(store: Store):
    with pytest.raises(RoomNotFound):
        await store.read("nowhere")


async def test_a_page_has_500_messages_at_most(store: Store):
    page = await store.read(await room_of(store, 510), after=0, limit=10_000)

    assert len(page.messages) == 500
    assert page.has_more


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2]), (None, [4, 5])])
async def test_a_page_ends_before_it_has_too_many_bytes(store: Store, after, expected):
    room_id = await new_room(store, *["x" * 100] * 5)

    page = await store.read(room_id, after=after, max_bytes=250)

    assert seqs(page) == expected
    assert (page.first_seq, page.last_seq) == (expected[0], expected[-1])
    assert page.has_more


async def test_one_message_always_fits(store: Store):
    assert seqs(await store.read(await new_room(store, "x" * 100), max_bytes=1)) == [1]


async def test_the_size_of_a_page_is_counted_in_bytes_of_utf8(store: Store):
    room_id = await new_room(store, *["東" * 10] * 3)  # 32 bytes each, with the quotes

    assert len((await store.read(room_id, after=0, max_bytes=64)).messages) == 2


@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize("max_bytes", [1, 50, 1_000_000])
async def test_whoever_turns_all_pages_gets_every_message_once_and_in_order(
    store: Store, limit: int, max_bytes: int
):
    room_id = await new_room(store, *("x" * (7 * n % 45) for n in range(12)))

    forward = await turned(store, room_id, after=0, limit=limit, max_bytes=max_bytes)
    backward = await turned(store, room_id, limit=limit, max_bytes=max_bytes)

    assert [seq for page in forward for seq in page] == list(range(1, 13))
    assert [seq for page in backward[::-1] for seq in page] == list(range(1, 13))


async def test_whoever_turns_filtered_pages_gets_every_message_that_fits_once(
    engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine.scan_limit, 4)
    room_id = await new_room(store)
    names = ("bob", "ann", "ann", "ann", "ann", "ann", "bob", "bob", "bob", "ann")
    await store.act_all(room_id, [Act(says("x", name)) for name in names])

    forward = await turned(store, room_id, after=0, limit=2, sender="bob")
    backward = await turned(store, room_id, limit=2, sender="bob")

    assert [seq for page in forward for seq in page] == [1, 7, 8, 9]
    assert [seq for page in backward[::-1] for seq in page] == [1, 7, 8, 9]


# ---- filters ------------------------------------------------------------------------------------


async def test_messages_of_one_sender_are_found_however_he_is_spelt(store: Store):
    room_id = await room_of(store, 3)
    await store.act(room_id, says("mine", "Bob"))

    page = await store.read(room_id, after=0, sender="BOB")

    assert seqs(page) == [4]
    assert page[1:] == (1, 4, False)


async def test_messages_of_one_type_are_found(store: Store):
    room_id = await room_of(store, 3)
    await store.act(room_id, says("well?", type="question"))
    await store.act(room_id, says("well.", "bob"))

    assert seqs(await store.read(room_id, type="question")) == [4]
    assert seqs(await store.read(room_id, type="question", sender="bob")) == []


async def test_the_rooms_own_notices_are_found_by_their_sender(store: Store):
    room_id = await room_of(store, 2)
    await store.act(room_id, closes())

    assert seqs(await store.read(room_id, sender="room")) == [3]


async def test_a_filtered_page_that_is_full_ends_at_its_last_message(store: Store):
    room_id = await new_room(store)
    await store.act_all(room_id, [Act(says("x", name)) for name in ("bob", "ann") * 4])

    forward = await store.read(room_id, after=0, sender="bob", limit=2)
    backward = await store.read(room_id, sender="bob", limit=2)

    assert (seqs(forward), *forward[1:]) == ([1, 3], 1, 3, True)
    assert (seqs(backward), *backward[1:]) == ([5, 7], 5, 8, True)


async def test_a_filtered_read_stops_looking_and_says_how_far_it_came(
    engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine.scan_limit, 10)
    room_id = await room_of(store, 25)

    forward = await store.read(room_id, after=0, sender="bob")
    backward = await store.read(room_id, sender="bob")

    assert forward == Page((), 1, 10, True)
    assert backward == Page((), 16, 25, True)


async def test_a_filtered_read_ends_with_the_room(
    engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine.scan_limit, 10)
    room_id = await room_of(store, 25)

    assert await store.read(room_id, after=20, sender="bob") == Page((), 21, 25, False)
    assert await store.read(room_id, before=5, sender="bob") == Page((), 1, 4, False)


def test_a_filtered_read_looks_at_5000_messages():
    assert interface.MAX_SCANNED == 5_000


# ---- places in a room ---------------------------------------------------------------------------


async def test_a_message_is_found_by_its_id(store: Store):
    room_id = await room_of(store, 5)
    third = (await store.read(room_id, after=2, limit=1)).messages[0]

    assert await store.seq_at(room_id, at=None, message_id=third.id) == 3
    assert await store.seq_at(room_id, at=None, message_id="no such id") == 0


async def test_a_message_of_another_room_is_not_found_by_its_id(store: Store):
    room_id, elsewhere = await room_of(store, 2), await room_of(store, 1)
    message = (await store.read(elsewhere)).messages[0]

    assert await store.seq_at(room_id, at=None, message_id=message.id) == 0


@pytest.mark.parametrize(
    ("seconds", "seq"), [(-1, 0), (0, 1), (5, 1), (10, 3), (25, 4), (10_000, 5)]
)
async def test_the_last_message_not_later_than_a_time_is_found(store: Store, seconds, seq):
    room_id = await new_room(store)
    for at in (0, 10, 10, 20, 30):
        await store.act(room_id, says("x", at=NOON + timedelta(seconds=at)))

    at = NOON + timedelta(seconds=seconds)

    assert await store.seq_at(room_id, at=at, message_id=None) == seq


# ---- many rooms ---------------------------------------------------------------------------------


async def test_heads_tell_of_many_rooms_at_once(store: Store, other: Store):
    one, two = await room_of(store, 3), await new_room(store)

    heads = await other.heads([one, two, "nowhere"])

    assert heads == {
        one: Head(3, await store.room(one)),
        two: Head(0, await store.room(two)),
        "nowhere": Head(0, None),
    }


async def listed(store: Store, **wanted) -> list[str]:
    return [row.room.name for row in await store.directory(**wanted)]


async def test_the_directory_names_the_last_changed_first(store: Store):
    for name in ("one", "two", "three"):
        await new_room(store, name=name)
    (row, *_) = await store.directory(query="one")
    await store.act(row.room.id, says("hello"))

    assert await listed(store) == ["one", "three", "two"]


@pytest.mark.parametrize("query", ["API", "größe", "GRÖSSE", "pr 12"])
async def test_a_room_is_found_by_a_part_of_name_or_purpose(store: Store, query):
    await new_room(store, name="api-review", purpose="PR 12: Größe")
    await new_room(store, name="other")

    assert await listed(store, query=query) == ["api-review"]


async def test_the_directory_is_searched_by_letters_and_not_by_looks(store: Store):
    made, _ = await store.create(a_room("Обзор API", purpose="Новый ключ"))

    found = [await store.directory(query=query) for query in ("обзор", "КЛЮЧ", "api", "aрi")]

    assert [[one.room.id for one in rooms] for rooms in found] == [[made.id]] * 3 + [[]]


async def test_a_room_is_found_by_the_beginning_of_its_id(store: Store):
    room_id = await new_room(store)

    assert await listed(store, query=room_id[:8].upper()) == ["review"]
    assert await listed(store, query=room_id[1:]) == []


async def test_signs_that_sql_knows_are_only_signs_in_a_query(store: Store):
    await new_room(store, name="100% _done_")

    assert await listed(store, query="0% _d") == ["100% _done_"]
    assert await listed(store, query="%") == ["100% _done_"]
    assert await listed(store, query="d%e") == []


async def test_closed_and_unlisted_rooms_can_be_left_out(store: Store):
    closed = await new_room(store, name="closed")
    await store.act(closed, closes())
    await new_room(store, name="unlisted", listed=False)
    await new_room(store, name="open")

    assert await listed(store) == ["open", "closed"]
    assert await listed(store, include_closed=False) == ["open"]
    assert await listed(store, listed_only=False) == ["open", "unlisted", "closed"]


async def test_the_rooms_of_a_member_are_found_also_unlisted_ones(store: Store):
    room_id = await new_room(store, name="his", listed=False)
    left = await new_room(store, name="left")
    await new_room(store, name="strange")
    for one in (room_id, left):
        await store.act(one, joins("Bob"))
    await store.act(left, leaves("Bob"))

    assert await listed(store, member="bob") == ["his"]


async def test_the_directory_turns_pages_by_time(store: Store):
    for number in range(5):
        await new_room(store, name=str(number))
    first = await store.directory(limit=2)

    assert await listed(store, before=first[-1].updated_at, limit=2) == ["2", "1"]


async def test_no_room_is_lost_between_pages_when_many_change_at_once(store: Store):
    rooms = [await new_room(store, name=str(number)) for number in range(4)]
    await asyncio.gather(*(store.act(room_id, says("hello")) for room_id in rooms))

    first = await store.directory(limit=2)
    second = await store.directory(before=first[-1].updated_at, limit=2)

    assert {row.room.id for row in first + second} == set(rooms)


async def test_the_directory_version_grows_with_rooms_not_with_messages(store: Store, other: Store):
    versions = [await other.directory_version()]
    room_id = await new_room(store)
    versions.append(await other.directory_version())
    await store.act(room_id, says("hello"))
    after_a_message = await other.directory_version()
    await store.act(room_id, closes())
    versions.append(await other.directory_version())
    await store.delete(room_id, nothing)
    versions.append(await other.directory_version())

    assert versions == sorted(set(versions))
    assert after_a_message == versions[1]


# ---- search -------------------------------------------------------------------------------------


async def found(store: Store, query: str, *room_ids: str, **wanted) -> list[object]:
    hits = await store.search(query, room_ids=room_ids, **wanted)
    return [hit.message.content for hit in hits]


async def test_search_finds_messages_with_every_word_newest_first(store: Store):
    room_id = await new_room(store, "the token expires", "a token", "Token: it never EXPIRES!")

    assert await found(store, "expires token", room_id) == [
        "Token: it never EXPIRES!",
        "the token expires",
    ]


async def test_search_never_finds_what_is_in_other_rooms(store: Store):
    room_id = await new_room(store, "mine is here")
    elsewhere = await new_room(store, "mine is hidden")

    assert await found(store, "mine", room_id) == ["mine is here"]
    assert await found(store, "mine") == []
    assert await found(store, "mine", "nowhere") == []
    assert len(await found(store, "mine", room_id, elsewhere)) == 2


async def test_search_over_rooms_gives_the_newest_of_all(store: Store):
    one, two = await new_room(store), await new_room(store)
    for minute, room_id in enumerate((one, two, one, two)):
        at = NOON + timedelta(minutes=minute)
        await store.act(room_id, says(f"word {minute}", at=at))

    assert await found(store, "word", one, two, limit=2) == ["word 3", "word 2"]
    assert await found(store, "word", one, two, limit=3) == ["word 3", "word 2", "word 1"]


async def test_search_looks_into_objects(store: Store):
    room_id = await new_room(store)
    await store.act(room_id, says({"issues": [{"where": "upload.py"}], "n": 3}))

    assert len(await found(store, "upload", room_id)) == 1


@only(*ONE_PROCESS)
@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京都に行きます", "東京"),
        ("東京都に行きます", "京都"),
        ("東京都に行きます", "行きます"),
        ("한국어로 이야기", "한국"),
        ("Die Größe", "grösse"),
        ("ﬁnal ＡＢＣ", "final abc"),
        ("Привет, мир", "МИР"),
        ("snake_case here", "snake_case"),
        ("東京都に行きます", "東"),
        ("東京都に行きます", "に"),
    ],
)
async def test_search_knows_scripts_and_spellings(store: Store, text, query):
    room_id = await new_room(store, "something else", text)

    assert await found(store, query, room_id) == [text]


@only(*ONE_PROCESS)
@pytest.mark.parametrize("query", ["", "  ", "!?", '"', "*", "()"])
async def test_a_query_without_words_finds_nothing(store: Store, query):
    assert await found(store, query, await new_room(store, "hello")) == []


@only(*ONE_PROCESS)
@pytest.mark.parametrize(
    "query", ['he"llo', "hello AND nothing", "NOT hello", "tokens:hello", "hello OR x", "hello^2"]
)
async def test_a_query_is_words_not_a_language(store: Store, query):
    room_id = await new_room(store, "hello")

    assert await found(store, query, room_id) == []


async def test_a_message_with_very_many_words_can_be_stored(store: Store):
    text = " ".join(f"w{n}" for n in range(20_000)) + " " + "x" * 50_000
    room_id = await new_room(store, text)

    assert await contents(store, room_id) == [text]
    assert await found(store, "w1 w17", room_id) == [text]
