"""A chain over messages: what was said cannot be changed without a trace."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from room_mcp.backend import answers
from room_mcp.cli import Failed
from room_mcp.cli.verifying import messages_in
from room_mcp.rooms import Message, Room, Step
from room_mcp.rooms.chain import NO_HEAD, Verification, chained, link, verified

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

words = some.text(max_size=6)
names = some.sampled_from(["ann", "rex", "eve"])
values = some.recursive(
    some.none() | some.booleans() | some.integers(-9, 9) | words,
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(words, inner, max_size=2),
    max_leaves=3,
)
contents = words | some.dictionaries(words, values, max_size=3)
messages = some.builds(
    Message,
    room_id=some.just("r1"),
    seq=some.just(0),
    id=words,
    at=some.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=some.just(UTC)),
    sender=names,
    sender_type=some.sampled_from(["agent", "human"]),
    type=some.sampled_from(["note", "question"]),
    content=contents,
    to=some.lists(names, max_size=2).map(tuple),
    reply_to=some.none() | some.integers(1, 9),
    mentions=some.lists(names, max_size=2).map(tuple),
    wakes=some.lists(names, max_size=2).map(tuple),
)


def numbered(said: Sequence[Message], after: int = 0) -> tuple[Message, ...]:
    return tuple(one._replace(seq=after + at) for at, one in enumerate(said, 1))


def a_chain(said: Sequence[Message], head: str = NO_HEAD, after: int = 0) -> tuple[Message, ...]:
    room = Room("r1", "review", NOON, chain=head)
    return chained(head, Step(room, numbered(said, after))).messages


def note(text: str) -> Message:
    return Message("r1", 0, f"id of {text}", NOON, "ann", "agent", "note", text)


def exported(of: Sequence[Message]) -> list[dict[str, Any]]:
    return [json.loads(answers.message(one).model_dump_json(by_alias=True)) for one in of]


def verdict(lines: Sequence[dict[str, Any]], head: str | None = None) -> Verification:
    return verified(messages_in("\n".join(map(json.dumps, lines)), "x.jsonl"), head)


def is_found(lines: Sequence[dict[str, Any]], head: str | None = None) -> bool:
    """Whether something is wrong with an export, be it that it is none."""
    try:
        return verdict(lines, head).broken_at is not None
    except Failed:
        return True


chains = some.lists(messages, min_size=1, max_size=3).map(a_chain)


# ---- linking ------------------------------------------------------------------------------------


def test_each_message_is_linked_to_the_one_before():
    one, two = a_chain([note("one"), note("two")])

    assert one.chain == link(NO_HEAD, one)
    assert two.chain == link(one.chain or "", two)


def test_the_room_keeps_the_hash_of_its_last_message():
    room = Room("r1", "review", NOON, chain=NO_HEAD)

    step = chained(NO_HEAD, Step(room, numbered([note("one"), note("two")])))

    assert step.room.chain == step.messages[-1].chain


def test_a_step_without_messages_leaves_the_chain_as_it_was():
    room = Room("r1", "review", NOON, chain="abc")

    assert chained("abc", Step(room)) == Step(room)


def test_without_a_chain_a_step_stays_the_same():
    step = Step(Room("r1", "review", NOON), numbered([note("one")]))

    assert chained(None, step) is step


def test_the_hash_does_not_depend_on_the_order_of_an_objects_fields():
    one = note("")._replace(content={"a": 1, "b": [{"c": 2, "d": 3}]})
    two = note("")._replace(content={"b": [{"d": 3, "c": 2}], "a": 1})

    assert link(NO_HEAD, one) == link(NO_HEAD, two)


def test_the_hash_is_the_same_in_every_version():
    """Transcripts that were exported long ago must verify: change this number never."""
    one = Message(
        *("r1", 1, "m1", NOON + timedelta(microseconds=1_999), "ann", "agent", "note"),
        content={"ü": 1.5},
        to=("rex",),
        reply_to=3,
        mentions=("eve",),
        wakes=("rex", "eve"),
    )

    assert link("00", one) == ("6d0cd08fc62abbf1beb54a2676b6ae9762f8c19388e8b799eb20f9fcab67c311")


# ---- verifying ----------------------------------------------------------------------------------


@given(chains)
def test_an_export_as_it_was_written_is_intact(said: tuple[Message, ...]):
    found = verdict(exported(said), said[-1].chain)

    assert (found.broken_at, found.count, found.unverified) == (None, len(said), ())
    assert found.head == said[-1].chain


OTHERS: dict[str, Callable[[Any], Any]] = {
    "id": lambda was: was + "x",
    "seq": lambda was: was + 1,
    "roomId": lambda was: was + "x",
    "sender": lambda was: was + "x",
    "senderType": lambda was: {"agent": "human", "human": "agent"}[was],
    "type": lambda was: was + "x",
    "content": lambda was: [was],
    "timestamp": lambda was: answers.timestamp(datetime.fromisoformat(was) + MILLISECOND),
    "to": lambda was: [*was, "mallory"],
    "replyTo": lambda was: (was or 0) + 1,
    "mentions": lambda was: [*was, "mallory"],
    "wakes": lambda was: [*was, "mallory"],
    "chain": lambda was: was[::-1],
}


def test_every_field_of_an_export_is_tried():
    assert set(exported(a_chain([note("one")]))[0].keys()) == set(OTHERS.keys())


@given(chains, some.data())
def test_any_other_value_of_any_field_is_found(said: tuple[Message, ...], data: some.DataObject):
    lines = exported(said)
    line = data.draw(some.sampled_from(lines))
    field = data.draw(some.sampled_from(sorted(OTHERS)))
    line[field] = OTHERS[field](line[field])

    assert is_found(lines)


@given(chains, contents, some.data())
def test_any_other_content_is_found(said: tuple[Message, ...], content: Any, data: some.DataObject):
    lines = exported(said)
    line = data.draw(some.sampled_from(lines))
    was, line["content"] = line["content"], content

    assert is_found(lines) == (
        json.dumps(was, sort_keys=True) != json.dumps(content, sort_keys=True)
    )


@given(chains, some.data())
def test_a_field_that_is_gone_or_new_is_found(said: tuple[Message, ...], data: some.DataObject):
    lines = exported(said)
    line = data.draw(some.sampled_from(lines))
    field = data.draw(some.sampled_from([*OTHERS, "verified"]))
    if line.pop(field, None) is None:
        line[field] = "yes"

    assert is_found(lines)


@given(chains, some.data())
def test_a_message_that_is_missing_is_found(said: tuple[Message, ...], data: some.DataObject):
    lines = exported(said)
    del lines[data.draw(some.integers(0, len(lines) - 1))]

    assert is_found(lines, said[-1].chain)


@given(chains, some.data())
def test_a_message_that_is_doubled_is_found(said: tuple[Message, ...], data: some.DataObject):
    lines = exported(said)
    line = data.draw(some.sampled_from(lines))
    lines.insert(data.draw(some.integers(0, len(lines))), copy.deepcopy(line))

    assert is_found(lines)


@given(some.lists(messages, min_size=2, max_size=3).map(a_chain), some.data())
def test_messages_out_of_order_are_found(said: tuple[Message, ...], data: some.DataObject):
    lines = exported(said)
    at = data.draw(some.integers(0, len(lines) - 2))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]

    assert is_found(lines)


@given(chains, chains)
def test_a_whole_chain_that_was_made_anew_is_found_by_its_head(
    said: tuple[Message, ...], anew: tuple[Message, ...]
):
    assert is_found(exported(anew), said[-1].chain) == (exported(anew) != exported(said))


@pytest.mark.parametrize(
    ("order", "broken_at", "problem"),
    [
        ([1, 3], 2, "it is missing: #3 follows #1"),
        ([1, 2, 2, 3], 2, "it comes again, or too late: #3 was to follow"),
        ([1, 3, 2], 2, "it is missing: #3 follows #1"),
        ([2, 3], 1, "it is missing: #2 follows #0"),
    ],
)
def test_the_first_message_that_is_wrong_is_named(order: list[int], broken_at: int, problem: str):
    said = a_chain([note("one"), note("two"), note("three")])

    found = verified([said[seq - 1] for seq in order])

    assert (found.broken_at, found.problem) == (broken_at, problem)


def test_a_changed_message_is_named():
    one, two, three = a_chain([note("one"), note("two"), note("three")])

    found = verified([one, two._replace(content="no"), three])

    assert (found.broken_at, found.count) == (2, 1)


def test_a_message_of_another_room_is_named():
    one, two = a_chain([note("one"), note("two")])
    other = two._replace(room_id="r2")

    found = verified([one, other._replace(chain=link(one.chain or "", other))])

    assert found.broken_at == 2


def test_without_the_head_an_end_that_is_missing_does_not_show():
    one, two = a_chain([note("one"), note("two")])

    assert verified([one]).broken_at is None
    assert verified([one], two.chain).broken_at == 2


def test_texts_that_were_erased_cannot_be_verified():
    erased = [one._replace(content=None) for one in numbered([note("one"), note("two")])]
    rest = a_chain([note("three")], after=2)

    found = verified([*erased, *rest], rest[-1].chain)

    assert (found.broken_at, found.unverified, found.count) == (None, (1, 2), 3)


def test_a_text_that_was_taken_out_behind_others_is_found():
    one, two = a_chain([note("one"), note("two")])

    found = verified([one, two._replace(content=None, chain=None)])

    assert found.broken_at == 2


def test_a_message_without_a_hash_is_found():
    one, two = a_chain([note("one"), note("two")])

    found = verified([one._replace(chain=None), two])

    assert (found.broken_at, found.problem) == (1, "it has no hash")


def test_of_no_messages_nothing_is_wrong():
    assert verified([]) == Verification()
