"""Questions and work: who owes what to whom, and what settles it, by every type's rules."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk

from room_mcp.rooms.refusals import WorkTaken

REVIEW: dict[str, Any] = {
    "types": {
        "submit": {"expects": ["review", "pass_on"]},
        "review": {"expects": "revise"},
        "revise": {},
        "pass_on": {"wakes": "nobody"},
    },
    "guard": False,
}


def room(*names: str) -> Talk:
    return Talk({"guard": False}, **dict.fromkeys(names or ("ann", "bob", "cid")))


# ---- questions ----------------------------------------------------------------------------------


def test_a_question_is_owed_until_it_is_answered_and_its_asker_is_woken():
    talk = room()
    talk.say("ann", "question", to=["bob"])
    before = talk.owes("bob")
    answer = talk.say("bob", "answer").messages[0]

    assert (before, talk.owes("bob"), talk.owes("cid")) == ([1], [], [])
    assert (answer.reply_to, answer.wakes) == (1, ("ann",))


def test_a_question_is_no_work():
    talk = room()
    talk.say("ann", "question")
    talk.say("ann", "request")

    assert talk.open_work == [2]


def test_an_answer_to_another_question_leaves_this_one_open():
    talk = room()
    talk.say("ann", "question", to=["bob"])
    talk.say("cid", "question", to=["bob"])
    step = talk.say("bob", "answer", reply_to=1)

    assert step.messages[0].wakes == ("ann",)
    assert talk.owes("bob") == [2]


# ---- work ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["request", "handoff"])
def test_work_is_accepted_and_open_until_its_result(type: str):
    talk = room()
    talk.say("ann", type, to=["bob"])
    accepted = talk.say("bob", "accept")
    between = talk.owes("bob")
    result = talk.say("bob", "result").messages[0]

    assert (accepted.messages[0].reply_to, accepted.messages[0].wakes) == (1, ())
    assert (between, talk.owes("bob")) == ([1], [])
    assert (result.reply_to, result.wakes) == (1, ("ann",))


def test_who_refuses_owes_nothing_more():
    talk = room()
    talk.say("ann", "request", to=["bob"])
    talk.say("bob", "refuse")

    assert talk.open_work == []


def test_each_of_several_has_to_bring_a_result():
    talk = room()
    talk.say("ann", "request", to=["bob", "cid"])
    talk.say("bob", "accept")
    talk.say("cid", "accept")
    talk.say("bob", "result")
    before = talk.owes("cid")
    talk.say("cid", "result")

    assert (before, talk.owes("cid")) == ([1], [])


def test_progress_settles_nothing():
    talk = room()
    talk.say("ann", "request", to=["bob"])
    talk.say("bob", "progress", reply_to=1)
    talk.say("bob", "note", reply_to=1)

    assert talk.owes("bob") == [1]


def test_a_result_without_number_is_of_the_work_that_was_accepted():
    talk = room()
    talk.say("ann", "request", to=["bob"])
    talk.say("ann", "request", to=["bob"])
    talk.say("ann", "request")
    talk.say("bob", "accept", reply_to=1)

    results = [talk.say("bob", "result").messages[0].reply_to for _ in range(3)]

    assert results == [1, 2, 3]


def test_an_asker_takes_his_work_back():
    talk = room()
    talk.say("ann", "request", to=["bob"])
    talk.say("ann", "refuse", reply_to=1)

    assert talk.owes("bob") == []


# ---- work for anybody ---------------------------------------------------------------------------


def test_work_for_anybody_is_on_all_others_until_one_accepts():
    talk = room()
    talk.say("ann", "request")
    before = [talk.owes(name) for name in ("ann", "bob", "cid")]
    talk.say("cid", "accept")

    assert before == [[], [1], [1]]
    assert [talk.owes(name) for name in ("ann", "bob", "cid")] == [[], [], [1]]


def test_the_first_who_accepts_has_the_work_and_the_next_is_told_who():
    talk = room()
    talk.say("ann", "request")
    talk.say("bob", "accept")
    before = talk.room
    with pytest.raises(WorkTaken, match="bob has accepted #1") as refused:
        talk.say("cid", "accept", reply_to=1)

    assert refused.value.facts == {"seq": 1, "acceptedBy": "bob"}
    assert talk.room == before
    assert talk.say("bob", "accept", reply_to=1).messages


def test_the_oldest_work_that_is_free_is_accepted_first():
    talk = room()
    talk.say("ann", "request")
    talk.say("ann", "request")
    taken = [talk.say(name, "accept").messages[0].reply_to for name in ("bob", "cid", "bob")]

    assert taken == [1, 2, None]


def test_who_leaves_gives_accepted_work_back():
    talk = room()
    talk.say("ann", "request")
    talk.say("bob", "accept")
    talk.leave("bob")
    before = talk.owes("cid")
    talk.say("cid", "accept")

    assert (before, talk.owes("cid")) == ([1], [1])
    assert talk.room.expectations[0].accepted_by == "cid"


def test_who_accepted_and_refuses_gives_it_back():
    talk = room()
    talk.say("ann", "request")
    talk.say("bob", "accept")
    talk.say("bob", "refuse")

    assert talk.owes("cid") == [1]
    assert talk.say("cid", "accept").messages[0].reply_to == 1


def test_work_that_one_refuses_is_open_to_the_others_until_all_have_refused():
    talk = room()
    talk.say("ann", "request")
    talk.say("bob", "refuse")
    before = (talk.owes("bob"), talk.owes("cid"))
    talk.say("cid", "refuse")

    assert (before, talk.open_work) == (([], [1]), [])


def test_work_is_settled_when_all_whose_role_can_do_it_have_refused():
    boss, worker = {"may": ["request"]}, {"may": ["result", "refuse"]}
    talk = Talk(
        {"roles": {"boss": boss, "worker": worker}, "guard": False},
        cho="boss",
        eva="boss",
        ann="worker",
    )
    talk.say("cho", "request")
    talk.say("ann", "refuse")

    assert talk.open_work == []


def test_a_refusal_of_work_that_somebody_else_has_changes_nothing_for_him():
    talk = room("ann", "bob", "cid", "dan")
    talk.say("ann", "request")
    talk.say("bob", "accept")
    talk.say("cid", "refuse", reply_to=1)
    with pytest.raises(WorkTaken):
        talk.say("dan", "accept", reply_to=1)

    assert talk.say("bob", "result").messages[0].reply_to == 1


def test_an_asker_does_not_accept_his_own_work():
    talk = room()
    talk.say("ann", "request")
    talk.say("ann", "accept", reply_to=1)

    assert talk.owes("bob") == [1]


def test_nobody_accepts_what_somebody_else_was_asked():
    talk = room()
    talk.say("ann", "request", to=["bob"])
    talk.say("cid", "accept", reply_to=1)

    assert talk.room.expectations[0].accepted_by == ""
    assert talk.say("bob", "accept").messages[0].reply_to == 1


def test_work_that_one_of_several_had_accepted_is_open_to_the_other_when_he_leaves():
    talk = room()
    talk.say("ann", "request", to=["bob", "cid"])
    talk.say("bob", "accept")
    talk.leave("bob")

    assert talk.owes("cid") == [1]
    assert talk.say("cid", "accept").messages[0].reply_to == 1


def test_work_is_for_those_whose_role_can_bring_the_result():
    document = {
        "roles": {"boss": {"may": ["request", "note"]}, "worker": {}, "guest": {"may": ["note"]}},
        "guard": False,
    }
    talk = Talk(document, cho="boss", eva="boss", ann="worker", gus="guest")
    talk.say("cho", "request")

    assert [talk.owes(name) for name in ("cho", "eva", "ann", "gus")] == [[], [], [1], []]


# ---- types of one's own -------------------------------------------------------------------------


def test_a_type_that_expects_others_is_work_until_one_of_them_comes():
    talk = Talk(REVIEW, ann=None, bob=None)
    talk.say("ann", "submit", to=["bob"])
    before = (talk.owes("bob"), talk.open_work)
    review = talk.say("bob", "review", to=["ann"]).messages[0]

    assert before == ([1], [1])
    assert (review.reply_to, review.wakes) == (1, ("ann",))
    assert (talk.owes("bob"), talk.owes("ann")) == ([], [2])


@pytest.mark.parametrize(
    ("type", "settles"),
    [("review", True), ("pass_on", True), ("refuse", True), ("revise", False), ("note", False)],
)
def test_any_of_the_expected_types_settles_it_and_others_do_not(type: str, settles: bool):
    talk = Talk(REVIEW, ann=None, bob=None)
    talk.say("ann", "submit", to=["bob"])
    talk.say("bob", type, reply_to=1)

    assert (1 not in talk.open_work) == settles


def test_what_answers_a_type_wakes_its_asker_unless_it_wakes_nobody():
    talk = Talk(REVIEW, ann=None, bob=None, cid=None)
    talk.say("ann", "submit")
    reviewed = talk.say("bob", "review", reply_to=1).messages[0]
    passed = talk.say("cid", "pass_on", reply_to=1).messages[0]

    assert (reviewed.wakes, passed.wakes) == (("ann",), ())


def test_what_would_answer_wakes_all_when_nothing_is_asked():
    talk = Talk(REVIEW, ann=None, bob=None, cid=None)

    assert talk.say("bob", "revise").messages[0].wakes == ("ann", "cid")


def test_an_answer_that_names_no_number_answers_all_of_its_kind():
    talk = Talk(REVIEW, ann=None, bob=None, cid=None)
    talk.say("bob", "review", to=["ann"])
    talk.say("cid", "review", to=["ann"])
    talk.say("ann", "revise")

    assert talk.owes("ann") == []


def test_an_answer_that_names_a_number_answers_that_alone():
    talk = Talk(REVIEW, ann=None, bob=None, cid=None)
    talk.say("bob", "review", to=["ann"])
    talk.say("cid", "review", to=["ann"])
    talk.say("ann", "revise", reply_to=1)

    assert talk.owes("ann") == [2]


def test_two_tasks_of_one_type_are_two():
    talk = Talk(
        {"types": {"task": {"expects": ["done"]}, "done": {}}, "guard": False}, ann=None, bob=None
    )
    talk.say("ann", "task", to=["bob"])
    talk.say("ann", "task", to=["bob"])
    before = talk.owes("bob")
    talk.say("bob", "done", reply_to=2)

    assert (before, talk.owes("bob")) == ([1, 2], [1])


def test_a_revision_stands_for_what_it_revises():
    document = {
        "types": {
            "submit": {"expects": ["review"]},
            "review": {"expects": ["revise"]},
            "revise": {"expects": ["review"]},
        },
        "guard": False,
    }
    talk = Talk(document, ann=None, bob=None)
    talk.say("ann", "submit", to=["bob"])
    talk.say("ann", "revise", to=["bob"])
    talk.say("ann", "revise", to=["bob"])

    assert talk.owes("bob") == [3]


# ---- the end ------------------------------------------------------------------------------------


def test_nothing_is_owed_in_a_room_that_has_ended():
    talk = Talk({"terminal": [{"type": "stop"}], "guard": False}, ann=None, bob=None)
    talk.say("ann", "question")
    talk.say("ann", "request")
    talk.say("bob", "stop")

    assert talk.room.expectations == ()
