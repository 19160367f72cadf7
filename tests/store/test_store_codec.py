"""Rooms survive being written and read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as some

from room_mcp.rooms import (
    BUILT_IN,
    Admission,
    Closing,
    Expectation,
    Knock,
    Member,
    Room,
    Spent,
    Standing,
    Verdict,
    skeleton,
    template,
)
from room_mcp.rooms.admission import Barring
from room_mcp.store.codec import micros, moment, room_from, state_from

words = some.text(some.characters(codec="utf-8"), max_size=8)
counts = some.integers(0, 2**53)
times = some.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=some.just(UTC))
word_lists = some.lists(words, max_size=3).map(tuple)
spent = some.builds(
    Spent, counts, counts, some.dictionaries(words, counts, max_size=2).map(lambda d: (*d.items(),))
)
members = some.builds(
    Member,
    name=words,
    kind=some.sampled_from(["agent", "human"]),
    joined_at=times,
    joined_seq=counts,
    active=some.booleans(),
    key_hash=some.none() | words,
    protected=some.booleans(),
    messages=counts,
    size_bytes=counts,
    role=some.none() | words,
    spent=spent,
    standing=some.builds(Standing, some.floats(0, 12), counts, counts, some.integers(0, 3), counts),
    told_percent=counts,
    principal=words,
    muted=some.booleans(),
)
admissions = some.builds(
    Admission,
    access=some.sampled_from(["open", "keyed", "approval"]),
    owner=words,
    demo=some.booleans(),
    knocking=some.lists(
        some.builds(Knock, words, some.just("agent"), times, some.none() | words, words, words),
        max_size=2,
    ).map(tuple),
    barred=some.lists(some.builds(Barring, words, words), max_size=2).map(tuple),
)
rooms = some.builds(
    Room,
    id=some.just("id"),
    name=words,
    created_at=times,
    created_by=words,
    purpose=words,
    listed=some.booleans(),
    contract=some.sampled_from(BUILT_IN).map(template),
    owner_key_hash=some.none() | words,
    max_bytes=some.none() | counts,
    lifecycle=some.sampled_from(["open", "paused", "closed"]),
    members=some.lists(members, max_size=3).map(
        lambda found: {skeleton(member.name): member for member in found}
    ),
    expectations=some.lists(
        some.builds(
            Expectation,
            *(counts, words, words, word_lists, word_lists, words, some.booleans(), word_lists),
        ),
        max_size=3,
    ).map(tuple),
    verdicts=some.lists(some.builds(Verdict, counts, words, counts, words, words), max_size=3).map(
        tuple
    ),
    spent=spent,
    reserve_since=some.none() | times,
    reopened_at=some.none() | times,
    last_seq=counts,
    last_at=some.none() | times,
    size_bytes=counts,
    closing=some.none()
    | some.builds(
        Closing, counts, words, words, words, times, some.sampled_from(["terminal", "idle"])
    ),
    erasures=counts,
    chain=some.none() | words,
    admission=admissions,
)


@settings(deadline=None)  # the machine may be busy
@given(rooms)
def test_a_room_comes_back_from_its_state(room: Room):
    assert room_from("id", state_from(room), room.contract.source) == room


def test_every_field_of_a_room_is_kept():
    """A field that is added to Room must be added here and in the codec; `archived_at` has a column
    of its own."""
    assert list(Room.__dataclass_fields__) == [
        *("id", "name", "created_at", "created_by", "purpose", "listed", "contract"),
        *("owner_key_hash", "max_bytes", "lifecycle", "members", "expectations", "verdicts"),
        *(
            "spent",
            "reserve_since",
            "reopened_at",
            "last_seq",
            "last_at",
            "size_bytes",
            "closing",
            "erasures",
            "chain",
            "admission",
            "archived_at",
        ),
    ]


@given(times)
def test_times_keep_their_microseconds(at: datetime):
    assert moment(micros(at)) == at
    assert micros(at.astimezone(timezone(timedelta(hours=5)))) == micros(at)


def test_open_work_of_an_earlier_version_is_still_for_anybody():
    now = Room("id", "r", datetime(2026, 1, 1, tzinfo=UTC))
    kept = {**json.loads(state_from(now)), "expectations": [[3, "request", "ann", []]]}

    (work,) = room_from("id", json.dumps(kept), None).expectations

    assert (work.for_anybody, work.answers) == (True, ("result",))
