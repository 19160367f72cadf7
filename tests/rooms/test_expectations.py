"""Open questions and work: who owes what, and what settles it."""

from __future__ import annotations

from typing import Any

import pytest
from room_talk import NO_PROOF, after, post, room, said, stamp

from room_mcp.rooms import Room
from room_mcp.rooms.expectations import MAX_OPEN_QUESTIONS

Q = ("alice", "question", {"to": ["bob"]})
AUTHORS = dict.fromkeys(range(1, 100), "alice")


def open_seqs(it: Room) -> list[int]:
    return [one.seq for one in it.expectations]


@pytest.mark.parametrize(
    ("asked", "given", "settles"),
    [
        ("question", "answer", True),
        ("question", "refuse", True),
        ("question", "result", False),
        ("question", "note", False),
        ("question", "ack", False),
        ("request", "result", True),
        ("request", "refuse", True),
        ("request", "answer", False),
        ("handoff", "result", True),
        ("handoff", "refuse", True),
    ],
)
@pytest.mark.parametrize("explicit", [True, False], ids=["replyTo", "newest"])
def test_what_settles_what(asked: str, given: str, settles: bool, explicit: bool):
    here = after(room("alice", "bob"), ("alice", asked, {"to": ["bob"]}))
    reply: dict[str, Any] = {"reply_to": 1} if explicit else {}
    step = post(here, "bob", type=given, authors=AUTHORS, **reply)

    assert open_seqs(here) == [1]
    assert open_seqs(step.room) == ([] if settles else [1])


def test_an_answer_without_reply_to_answers_the_newest_question_to_its_sender():
    here = after(
        room("alice", "bob", "carol"),
        Q,
        ("alice", "question", {"to": ["bob"]}),
        ("alice", "question", {"to": ["carol"]}),
        ("alice", "request", {"to": ["bob"]}),
    )
    step = post(here, "bob", type="answer", authors=AUTHORS)

    assert (step.messages[0].reply_to, step.messages[0].wakes) == (2, ("alice",))
    assert open_seqs(step.room) == [1, 3, 4]


def test_a_person_answers_like_anybody():
    here = after(room("alice", "bob"), Q)
    step = post(here, "bob", type="answer", sender_type="human", authors=AUTHORS)

    assert step.messages[0].reply_to == 1
    assert open_seqs(step.room) == []


def test_a_question_to_several_is_open_until_each_has_answered():
    here = after(room("alice", "bob", "carol"), ("alice", "question", {"to": ["bob", "carol"]}))
    once = post(here, "bob", type="answer", authors=AUTHORS).room
    twice = post(once, "bob", type="answer", reply_to=1, authors=AUTHORS).room
    done = post(twice, "carol", type="refuse", authors=AUTHORS).room

    assert [one.of for one in once.expectations] == [("carol",)]
    assert [one.of for one in twice.expectations] == [("carol",)]
    assert open_seqs(done) == []
    assert once.expected_of("bob") == ()
    assert [one.seq for one in once.expected_of("carol")] == [1]


def test_a_question_to_nobody_is_on_all_but_its_asker_and_one_answer_settles_it():
    here = after(room("alice", "bob", "carol"), ("alice", "question", {}))
    done = post(here, "carol", type="answer", authors=AUTHORS).room

    assert [len(here.expected_of(name)) for name in ("alice", "bob", "carol")] == [0, 1, 1]
    assert open_seqs(done) == []


def test_a_mention_addresses_a_question_too():
    here = post(room("alice", "bob", "carol"), "alice", "@bob?", type="question").room

    assert here.expectations[0].of == ("bob",)


def test_a_question_to_a_stranger_waits_for_him():
    here = after(room("alice"), ("alice", "question", {"to": ["zoe"]}), ("zoe", "note", {}))

    assert [one.seq for one in here.expected_of("zoe")] == [1]


def test_what_only_the_leaver_owed_is_no_longer_open():
    here = after(
        room("alice", "bob", "carol"),
        Q,
        ("alice", "question", {"to": ["bob", "carol"]}),
        ("alice", "question", {}),
    )
    left = here.leave("bob", proof=NO_PROOF, stamp=stamp()).room

    assert [(one.seq, one.of) for one in left.expectations] == [(2, ("carol",)), (3, ())]


def test_closing_settles_everything():
    here = after(room("alice", "bob"), Q, ("bob", "decision", {}))

    assert open_seqs(here) == []


def test_only_the_newest_are_remembered():
    here = after(room("alice", "bob"), *[Q] * (MAX_OPEN_QUESTIONS + 3))

    assert open_seqs(here) == list(range(4, MAX_OPEN_QUESTIONS + 4))


def test_an_answer_to_what_is_not_open_changes_nothing():
    here = after(room("alice", "bob"), ("alice", "note", {}), Q)
    step = post(here, "bob", type="answer", reply_to=1, authors=AUTHORS)

    assert open_seqs(step.room) == [2]


def test_without_anything_open_an_answer_replies_to_nothing():
    assert said(room("alice", "bob"), "bob", type="answer").reply_to is None
