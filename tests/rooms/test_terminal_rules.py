"""The messages that end a room: whose, how many, and with which outcome."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk
from room_talk import stamp

from room_mcp.rooms import Proof, Room
from room_mcp.rooms.refusals import NotTheOwner, RoleMayNot, RoomClosed
from room_mcp.rooms.verdicts import MAX_KEPT_CHARS

STAMP = stamp()


def rules(need: str, **fields: Any) -> dict[str, Any]:
    """Reviewers end it with `verdict`, the author with `cancel`."""
    return {
        "roles": {"author": {}, "reviewer": {"min": fields.pop("min", 0)}},
        "terminal": [
            {
                "type": "verdict",
                "by": "reviewer",
                "need": need,
                "outcome_from": "verdict",
                **fields,
            },
            {"type": "cancel", "by": ["author"], "outcome": "cancelled"},
        ],
        "outcome_order": ["rejected", "approved"],
        "guard": False,
    }


def review(need: str, *reviewers: str, **fields: Any) -> Talk:
    return Talk(rules(need, **fields), ann="author", **dict.fromkeys(reviewers, "reviewer"))


def verdict(talk: Talk, name: str, outcome: str, **body: Any) -> str:
    """How the room ended once it was said; empty while it is open."""
    talk.say(name, "verdict", {"verdict": outcome, **body})
    return talk.outcome


# ---- any ----------------------------------------------------------------------------------------


def test_any_takes_the_first():
    talk = review("any", "rex", "kim")

    assert verdict(talk, "kim", "approved") == "approved"


def test_a_terminal_message_is_stored_and_ends_the_room_in_the_same_step():
    talk = review("any", "rex")
    step = talk.say("rex", "verdict", {"verdict": "approved", "summary": "Good."})
    closing = talk.room.closing

    assert [one.type for one in step.messages] == ["verdict", "room.closed"]
    assert [one.seq for one in step.messages] == [1, 2]
    assert closing
    assert (closing.seq, closing.by, closing.conclusion) == (1, "rex", "Good.")
    assert (closing.reason, talk.room.lifecycle) == ("terminal", "closed")
    assert step.messages[1].content == {
        "outcome": "approved",
        "by": "rex",
        "conclusion": "Good.",
        "closingSeq": 1,
        "reason": "terminal",
    }


@pytest.mark.parametrize("sender", ["ann", "rex"])
def test_whoever_speaks_afterwards_hears_how_it_ended(sender: str):
    talk = review("any", "rex")
    verdict(talk, "rex", "approved", summary="Good.")
    with pytest.raises(RoomClosed) as refused:
        talk.say(sender)

    assert (
        refused.value.detail == 'This room is closed: approved, by rex (#1). It concluded: "Good."'
    )
    assert "send nothing more" in refused.value.advice
    assert refused.value.facts["closingSeq"] == 1


# ---- by -----------------------------------------------------------------------------------------


def test_only_the_roles_of_a_rule_end_the_room_by_it():
    talk = review("any", "rex")
    talk.say("ann", "verdict", {"verdict": "approved"})
    before = talk.outcome
    talk.say("rex", "cancel")
    between = talk.outcome
    talk.say("ann", "cancel")

    assert (before, between, talk.outcome) == ("", "", "cancelled")


def test_a_rule_may_be_for_several_roles_and_each_has_its_least():
    document = {
        "roles": {"tester": {"min": 1}, "lead": {"min": 1}, "author": {}},
        "terminal": [{"type": "ok", "by": ["tester", "lead"], "need": "all_of_role"}],
        "guard": False,
    }
    talk = Talk(document, tim="tester", tom="tester")
    talk.chat("tim", "tom", messages=2, type="ok")
    before = talk.outcome
    talk.join("lea", "lead")
    talk.say("lea", "ok")

    assert (before, talk.outcome) == ("", "ok")


def test_without_roles_everybody_ends_it():
    talk = Talk({"terminal": [{"type": "done"}]}, ann=None)
    talk.say("ann", "done")

    assert talk.outcome == "done"


def test_a_person_without_role_does_not_vote_for_a_role():
    talk = review("any", "rex")
    talk.say("ada", "verdict", {"verdict": "approved"}, human=True)

    assert talk.outcome == ""


def test_a_person_may_end_what_everybody_may_end():
    talk = Talk({"roles": {"a": {"may": ["done"]}}, "terminal": [{"type": "done"}]}, ann="a")
    talk.say("ada", "done", human=True)

    assert talk.outcome == "done"


def test_the_first_rule_that_is_met_ends_the_room():
    document = {
        "terminal": [
            {"type": "end", "when": {"required": ["late"]}, "outcome": "late"},
            {"type": "end", "outcome": "early"},
        ],
        "guard": False,
    }
    early, late = Talk(document, ann=None), Talk(document, ann=None)
    early.say("ann", "end", {"now": True})
    late.say("ann", "end", {"late": True})

    assert (early.outcome, late.outcome) == ("early", "late")


# ---- when ---------------------------------------------------------------------------------------

FINAL = {
    "type": "object",
    "properties": {"final": {"const": True}},
    "required": ["final"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ({"final": True}, "report"),
        ({"type": "report", "text": "It is over.", "final": True}, "report"),
        ({"more": 1, "final": True}, ""),
        ({"final": False}, ""),
        ({}, ""),
        ("final", ""),
    ],
)
def test_a_message_that_does_not_meet_when_is_stored_and_ends_nothing(content: Any, outcome: str):
    talk = Talk({"terminal": [{"type": "report", "when": FINAL}], "guard": False}, ann=None)
    step = talk.say("ann", "report", content)

    assert step.messages[0].content == content
    assert talk.outcome == outcome


def test_a_later_message_that_does_not_meet_when_takes_no_verdict_back():
    talk = review("all_of_role", "rex", "kim", when={"required": ["final"]})
    verdict(talk, "rex", "approved", final=True)
    verdict(talk, "rex", "rejected")

    assert verdict(talk, "kim", "approved", final=True) == "approved"


# ---- all of a role ------------------------------------------------------------------------------


def test_all_of_role_waits_for_every_member():
    talk = review("all_of_role", "rex", "kim", "lee")

    assert [verdict(talk, name, "approved") for name in ("rex", "kim", "lee")] == [
        "",
        "",
        "approved",
    ]


def test_all_of_role_waits_for_its_least_number_who_may_come_later():
    talk = review("all_of_role", "rex", min=2)
    alone = verdict(talk, "rex", "approved")
    talk.join("kim", "reviewer")
    joined = talk.outcome

    assert (alone, joined, verdict(talk, "kim", "approved")) == ("", "", "approved")


def test_who_joins_the_role_is_waited_for():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "approved")
    talk.join("lee", "reviewer")

    assert verdict(talk, "kim", "approved") == ""
    assert verdict(talk, "lee", "approved") == "approved"


def test_two_verdicts_of_one_are_one_and_the_last_counts():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "rejected")
    verdict(talk, "rex", "approved")

    assert verdict(talk, "kim", "approved") == "approved"


@pytest.mark.parametrize(
    ("first", "second", "outcome", "by"),
    [
        ("rejected", "approved", "rejected", "rex"),
        ("approved", "rejected", "rejected", "kim"),
        ("approved", "approved", "approved", "kim"),
        ("unsure", "approved", "approved", "kim"),
        ("unsure", "unclear", "unclear", "kim"),
        ("REJECTED", "approved", "REJECTED", "rex"),
    ],
)
def test_of_different_verdicts_the_first_in_order_is_the_outcome(
    first: str, second: str, outcome: str, by: str
):
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", first)
    verdict(talk, "kim", second)

    assert talk.room.closing
    assert (talk.outcome, talk.room.closing.by) == (outcome, by)


def test_the_order_of_outcomes_is_read_like_the_verdicts_whatever_their_case():
    document = {**rules("all_of_role"), "outcome_order": ["Rejected", "Approved"]}
    talk = Talk(document, rex="reviewer", kim="reviewer")
    verdict(talk, "rex", "rejected")
    verdict(talk, "kim", "approved")

    assert talk.outcome == "rejected"


def test_of_equal_verdicts_the_last_one_speaks_for_them():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "approved", summary="Good.")
    verdict(talk, "kim", "approved", summary="Fine.")

    assert talk.room.closing
    assert (talk.room.closing.seq, talk.room.closing.conclusion) == (2, "Fine.")


def test_the_conclusion_of_a_verdict_that_waited_is_kept_in_short():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "rejected", summary="x" * 5_000)
    verdict(talk, "kim", "approved")

    assert talk.room.closing
    assert (talk.room.closing.seq, talk.room.closing.by) == (1, "rex")
    assert talk.room.closing.conclusion == "x" * MAX_KEPT_CHARS


def test_without_roles_all_agents_are_the_role():
    document = {"terminal": [{"type": "done", "need": "all_of_role"}], "guard": False}
    talk = Talk(document, ann=None, bob=None)
    talk.join("ada", human=True)
    talk.say("ann", "done")
    before = talk.outcome
    talk.say("bob", "done")

    assert (before, talk.outcome) == ("", "done")


# ---- most of a role -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voters", "said", "outcome"),
    [
        (1, ["yes"], "yes"),
        (2, ["yes"], ""),
        (2, ["yes", "no"], ""),
        (2, ["yes", "yes"], "yes"),
        (3, ["yes", "yes"], "yes"),
        (3, ["yes", "no", "yes"], "yes"),
        (3, ["yes", "no", "maybe"], ""),
        (4, ["yes", "yes"], ""),
        (4, ["yes", "yes", "no", "no"], ""),
        (4, ["yes", "yes", "no", "yes"], "yes"),
        (3, ["Yes", " yes "], "yes"),
    ],
)
def test_a_majority_is_more_than_half_of_all_and_ties_end_nothing(
    voters: int, said: list[str], outcome: str
):
    talk = review("majority_of_role", *(f"v{n}" for n in range(voters)))
    for at, one in enumerate(said):
        verdict(talk, f"v{at}", one)

    assert talk.outcome == outcome


def test_a_majority_is_of_the_least_number_where_that_is_more():
    talk = review("majority_of_role", "rex", min=3)
    alone = verdict(talk, "rex", "yes")
    talk.join("kim", "reviewer")

    assert (alone, verdict(talk, "kim", "yes")) == ("", "yes")


def test_a_tie_is_broken_by_a_changed_vote():
    talk = review("majority_of_role", "rex", "kim")
    verdict(talk, "rex", "yes")
    tied = verdict(talk, "kim", "no")

    assert (tied, verdict(talk, "rex", "no")) == ("", "no")


def test_a_person_who_votes_where_everybody_may_counts_as_one_of_all():
    document = {
        "terminal": [{"type": "vote", "need": "majority_of_role", "outcome_from": "choice"}],
        "guard": False,
    }
    talk = Talk(document, ann=None, bob=None, cid=None)
    talk.say("ada", "vote", {"choice": "yes"}, human=True)
    talk.say("ann", "vote", {"choice": "yes"})
    before = talk.outcome
    talk.say("bob", "vote", {"choice": "yes"})

    assert (before, talk.outcome) == ("", "yes")


# ---- no open work -------------------------------------------------------------------------------

QUEUE: dict[str, Any] = {
    "roles": {"boss": {"max": 1}, "worker": {}},
    "terminal": [{"type": "drained", "by": "boss", "need": "no_open_work"}],
    "guard": False,
}


def test_no_open_work_ends_at_once_when_there_is_none():
    talk = Talk(QUEUE, cho="boss", ann="worker")
    talk.say("ann", "question", to=["cho"])
    talk.say("cho", "drained")

    assert talk.outcome == "drained"


def test_no_open_work_waits_for_the_last_result():
    talk = Talk(QUEUE, cho="boss", ann="worker")
    talk.say("cho", "request", to=["ann"])
    talk.say("cho", "request", to=["ann"])
    talk.say("cho", "drained", "Nothing more will come.")
    talk.say("ann", "result", reply_to=2)
    before = talk.outcome
    step = talk.say("ann", "result", reply_to=1)

    assert (before, talk.outcome) == ("", "drained")
    assert [one.type for one in step.messages] == ["result", "room.closed"]
    assert talk.room.closing
    assert (talk.room.closing.seq, talk.room.closing.by) == (3, "cho")
    assert talk.room.closing.conclusion == "Nothing more will come."


def test_work_that_comes_after_the_word_is_waited_for_too():
    talk = Talk(QUEUE, cho="boss", ann="worker")
    talk.say("cho", "request", to=["ann"])
    talk.say("cho", "drained")
    talk.say("cho", "request", to=["ann"])
    talk.say("ann", "result", reply_to=1)
    before = talk.outcome
    talk.say("ann", "refuse", reply_to=3)

    assert (before, talk.outcome) == ("", "drained")


def test_the_last_worker_who_leaves_ends_it():
    talk = Talk(QUEUE, cho="boss", ann="worker")
    talk.say("cho", "request", to=["ann"])
    talk.say("cho", "drained")
    step = talk.leave("ann")

    assert [one.type for one in step.messages] == ["room.closed"]
    assert talk.outcome == "drained"


def test_the_word_of_who_left_is_forgotten():
    talk = Talk(QUEUE, cho="boss", ann="worker")
    talk.say("cho", "request", to=["ann"])
    talk.say("cho", "drained")
    talk.leave("cho")
    talk.say("ann", "result")

    assert talk.outcome == ""


# ---- leaving and changing -----------------------------------------------------------------------


def test_who_leaves_is_not_waited_for_and_his_verdict_is_gone():
    talk = review("all_of_role", "rex", "kim", "lee")
    verdict(talk, "rex", "rejected")
    verdict(talk, "kim", "approved")
    talk.leave("rex")
    before = talk.outcome
    step = talk.leave("lee")

    assert (before, talk.outcome) == ("", "approved")
    assert [one.type for one in step.messages] == ["room.closed"]
    assert step.messages[0].seq == 3


def test_who_comes_back_has_to_vote_again():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "approved")
    talk.leave("rex")
    talk.join("rex", "reviewer")

    assert verdict(talk, "kim", "approved") == ""
    assert verdict(talk, "rex", "approved") == "approved"


def test_leaving_does_not_undercut_the_least_number():
    talk = review("all_of_role", "rex", "kim", min=2)
    verdict(talk, "rex", "approved")
    talk.leave("kim")

    assert talk.outcome == ""


def test_another_role_is_another_voice():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "rejected")
    verdict(talk, "kim", "approved")
    other = review("all_of_role", "rex", "kim")
    verdict(other, "kim", "approved")
    step = other.act(lambda room, past: room.join("rex", role="author", proof=Proof(), stamp=STAMP))

    assert talk.outcome == "rejected"
    assert other.outcome == "approved"
    assert [one.type for one in step.messages] == ["room.closed"]


def test_a_verdict_is_lost_with_the_role():
    talk = review("all_of_role", "rex", "kim")
    verdict(talk, "rex", "approved")
    talk.join("rex", "author")
    talk.join("rex", "reviewer")

    assert verdict(talk, "kim", "approved") == ""


def test_a_majority_is_counted_anew_when_somebody_leaves():
    talk = review("majority_of_role", "rex", "kim", "lee", "max")
    verdict(talk, "rex", "yes")
    verdict(talk, "kim", "yes")
    before = talk.outcome
    talk.leave("max")

    assert (before, talk.outcome) == ("", "yes")


# ---- outcomes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "content", "outcome"),
    [
        ({}, "anything", "end"),
        ({"outcome": "fine"}, "anything", "fine"),
        ({"outcome": "fine", "outcome_from": "how"}, {"how": "well"}, "well"),
        ({"outcome": "fine", "outcome_from": "how"}, {"how": 7}, "fine"),
        ({"outcome": "fine", "outcome_from": "how"}, {"how": " \n"}, "fine"),
        ({"outcome": "fine", "outcome_from": "how"}, "well", "fine"),
        ({"outcome_from": "how"}, {}, "end"),
        ({"outcome_from": "how"}, {"how": "very\n well "}, "very well"),
    ],
)
def test_the_outcome_is_in_the_body_or_the_rule_or_the_type(
    rule: dict[str, Any], content: Any, outcome: str
):
    talk = Talk({"terminal": [{"type": "end", **rule}], "guard": False}, ann=None)
    talk.say("ann", "end", content)

    assert talk.outcome == outcome


def test_an_outcome_is_good_when_it_is_named_or_every_one_of_a_message_is():
    named = Talk({"good": ["approved"]}).contract
    all_of_them = Talk({"good": ["*"], "bad": ["cancelled"]}).contract

    assert named.is_good("approved", by_message=True)
    assert not named.is_good("rejected", by_message=True)
    assert all_of_them.is_good("rejected", by_message=True)
    assert not all_of_them.is_good("cancelled", by_message=True)
    assert not all_of_them.is_good("budget_spent", by_message=False)


# ---- the owner ----------------------------------------------------------------------------------


def test_where_the_end_belongs_to_roles_an_agent_needs_the_owner_key():
    talk = review("all_of_role", "rex")
    with pytest.raises(NotTheOwner) as refused:
        closed(talk.room, Proof(trusted=True), "agent")

    assert refused.value.facts["endsBy"] == "verdict from reviewer or cancel from author"
    assert closed(talk.room, Proof(trusted=True), "human").closing
    assert closed(talk.room, Proof(key_hash="owner-hash"), "agent").closing


def closed(room: Room, proof: Proof, kind: Any) -> Room:
    return room.close("ada", "Enough.", proof=proof, stamp=STAMP, kind=kind).room


def test_a_role_that_may_not_send_the_end_cannot_end():
    talk = Talk(
        {
            "roles": {"a": {"may": ["note"]}, "b": {}},
            "terminal": [{"type": "end", "by": ["a", "b"]}],
        },
        ann="a",
    )
    with pytest.raises(RoleMayNot):
        talk.say("ann", "end")

    assert talk.outcome == ""
