"""A room that has ended goes on only when a person says so."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk
from room_talk import NO_PROOF, OWNER, TRUSTED, key, stamp

from room_mcp.rooms import Proof
from room_mcp.rooms.refusals import Overdue, PeopleOnly, RoomClosed

REVIEW: dict[str, Any] = {
    "roles": {"author": {"max": 1}, "reviewer": {"min": 2}},
    "terminal": [{"type": "verdict", "by": "reviewer", "need": "all_of_role"}, {"type": "stop"}],
    "guard": False,
}


def ended() -> Talk:
    """A review that two reviewers have ended, the author's question unanswered."""
    talk = Talk(REVIEW, ann="author", rex="reviewer", kim="reviewer")
    talk.say("ann", "question", to=["rex"])
    talk.say("rex", "verdict")
    talk.say("kim", "verdict")
    return talk


@pytest.mark.parametrize(
    ("kind", "proof"),
    [
        ("agent", NO_PROOF),
        ("agent", OWNER),
        ("agent", TRUSTED),
        ("agent", key("rex")),
        ("human", NO_PROOF),
        ("human", OWNER),
        ("human", Proof(spare_hash="owner-hash")),
        ("system", TRUSTED),
    ],
)
def test_only_a_person_reopens_not_even_the_owner(kind: Any, proof: Proof):
    talk = ended()
    before = talk.room
    with pytest.raises(PeopleOnly) as refused:
        talk.act(
            lambda room, past: room.reopen("ann", proof=proof, stamp=stamp(), past=past, kind=kind)
        )

    assert "room-mcp reopen" in refused.value.advice
    assert talk.room is before


def test_a_person_reopens_and_everybody_can_see_it():
    talk = ended()
    (said,) = talk.reopen(at=60).messages

    assert (said.seq, said.type, said.content) == (5, "room.reopened", {"by": "ada"})
    assert (said.sender, said.sender_type, said.wakes) == ("room", "system", ())
    assert (talk.room.lifecycle, talk.room.closing) == ("open", None)
    assert talk.say("ann").messages[0].seq == 6


def test_members_and_their_roles_stay_and_nothing_is_expected():
    talk = ended()
    talk.reopen()

    assert [talk.member(name).role for name in ("ann", "rex", "kim")] == [
        "author",
        "reviewer",
        "reviewer",
    ]
    assert talk.owes("rex") == []


def test_verdicts_from_before_do_not_end_it_again():
    talk = ended()
    talk.reopen()
    talk.say("rex", "verdict")
    before = talk.outcome
    talk.say("kim", "verdict")

    assert (before, talk.outcome) == ("", "verdict")


def test_what_was_closed_while_paused_is_not_paused_any_more():
    talk = Talk(REVIEW, ann="author")
    talk.pause()
    talk.close()
    talk.reopen()

    assert talk.say("ann").messages


def test_an_open_room_is_not_reopened_and_one_whose_time_is_over_must_end_first():
    talk = Talk({"budget": {"lifetime_s": 60}}, ann=None)
    nothing = talk.reopen(at=30)
    with pytest.raises(Overdue):
        talk.reopen(at=60)
    talk.expire(at=60)
    talk.reopen(at=61)

    assert nothing.messages == ()
    assert talk.say("ann", at=62).messages


def test_a_reopened_room_can_end_and_be_reopened_again():
    talk = ended()
    talk.reopen()
    talk.say("ann", "stop")
    with pytest.raises(RoomClosed, match="stop, by ann"):
        talk.say("rex")
    talk.reopen()

    assert [one.type for one in talk.messages if one.sender == "room"] == [
        "room.closed",
        "room.reopened",
        "room.closed",
        "room.reopened",
    ]
    assert [one.seq for one in talk.messages] == list(range(1, talk.room.last_seq + 1))


def test_the_guard_begins_anew():
    talk = Talk({"terminal": [{"type": "stop"}]}, ann=None, bob=None)
    talk.chat("ann", "bob", messages=8)
    before = talk.member("bob").standing.score
    talk.say("ann", "stop")
    talk.reopen()
    scores = [talk.member(name).standing.score for name in ("ann", "bob")]
    step = talk.say("bob", content="ok")

    assert before >= 6
    assert scores == [0, 0]
    assert (step.notices, step.messages[0].wakes) == ((), ("ann",))
