"""The templates that come with the package, each as a conversation would meet it."""

from __future__ import annotations

from typing import Any

import pytest
from room_talk import NO_PROOF, NOON, stamp

from room_mcp.rooms import BUILT_IN, OPEN, Contract, Draft, Room, Step, template
from room_mcp.rooms.contract import ANY_OUTCOME
from room_mcp.rooms.refusals import (
    BudgetSpent,
    ContractViolation,
    RoleMayNot,
    RoleTaken,
    RoomClosed,
    WorkTaken,
)
from room_mcp.rooms.rehearsal import Rehearsal

NEVER_WAKING = {"ack", "heartbeat", "pass", "progress"}
WITH_ROLES = [name for name in BUILT_IN if name != "open"]


class Talk(Rehearsal):
    """A room of a template in which members with roles talk."""

    def __init__(self, name: str, **roles: str | None) -> None:
        super().__init__(Room(id="r", name="r", created_at=NOON, contract=template(name)))
        for member, role in roles.items():
            self.join(member, role)

    def join(self, member: str, role: str | None = None) -> str | None:
        self.act(lambda room, past: room.join(member, role=role, proof=NO_PROOF, stamp=stamp()))
        return self.room.must_be_member(member).role

    def leave(self, member: str) -> Step:
        return self.act(lambda room, past: room.leave(member, proof=NO_PROOF, stamp=stamp()))

    def say(self, sender: str, type: str, content: Any = None, **fields: Any) -> Step:
        """One message; without content, the example of its type."""
        said = example_of(self.room.contract, type) if content is None else content
        draft = Draft(sender, said, type, **{**fields, "to": tuple(fields.get("to", ()))})
        return self.act(
            lambda room, past: room.post(draft, proof=NO_PROOF, stamp=stamp(), past=past)
        )

    def owes(self, member: str) -> list[tuple[int, tuple[str, ...]]]:
        return [(one.seq, one.answers) for one in self.room.expected_of(member)]

    @property
    def outcome(self) -> str:
        return "" if self.room.closing is None else self.room.closing.outcome


def example_of(contract: Contract, type: str) -> Any:
    declared = contract.types.get(type)
    return declared.example if declared and declared.example is not None else "See parser.py:88."


# ---- what holds for every template --------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_template_says_what_it_is_for_and_which_ends_are_good(name: str):
    it = template(name)
    ends = {rule.outcome_of(example_of(it, rule.type)) for rule in it.terminal}

    assert it.template == name
    assert it.about.endswith(".")
    assert it.good
    assert ANY_OUTCOME in it.good or ends & {*it.good}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_role_and_type_says_what_it_is_in_one_line(name: str):
    it = template(name)

    assert all(role.about.endswith(".") and role.min for role in it.roles.values())
    assert all(type.about.endswith(".") for type in it.types.values())
    assert name == "open" or {*it.types} >= {*it.terminal_types}


@pytest.mark.parametrize("name", WITH_ROLES)
def test_every_type_can_be_said_by_a_role_and_every_end_by_its_own(name: str):
    it = template(name)
    said = {type for role in it.roles.values() for type in role.may or ()}
    ends = [(rule.type, it.roles[by]) for rule in it.terminal for by in rule.by]

    assert said >= {*it.types}
    assert all(role.allows(type) for type, role in ends)
    assert {type for type, _ in ends} == {*it.terminal_types}


@pytest.mark.parametrize("name", WITH_ROLES)
def test_every_role_can_ask_answer_note_and_say_what_wakes_nobody(name: str):
    for role in template(name).roles.values():
        assert {"question", "answer", "note", *NEVER_WAKING} <= {*(role.may or ())}


@pytest.mark.parametrize("name", WITH_ROLES)
def test_who_names_no_role_gets_the_one_that_is_needed(name: str):
    talk = Talk(name)
    needed = [role for role, it in template(name).roles.items() for _ in range(it.min)]

    assert [talk.join(f"m{n}") for n in range(len(needed))] == needed


@pytest.mark.parametrize("name", WITH_ROLES)
def test_every_example_is_taken(name: str):
    it = template(name)
    for role in it.roles.values():
        for type in {*(role.may or ())} & {*it.types}:
            talk = Talk(name, ann=role.name, **others(it, role.name))
            step = talk.say("ann", type, to=["bob1"])

            assert step.messages[0].type == type


def others(it: Contract, role: str) -> dict[str, str]:
    """Members for all other roles."""
    names = (f"bob{n}" for n in range(1, 9))
    return {next(names): one.name for one in it.roles.values() if one.name != role}


# ---- open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "body", "outcome", "good"),
    [
        ("review_complete", {"verdict": "approved", "issues": []}, "approved", True),
        ("review_complete", {"verdict": "rejected"}, "rejected", False),
        ("review_complete", "fine", "complete", True),
        ("decision", {"outcome": "postgresql"}, "postgresql", False),
        ("decision", "we wait", "decided", True),
    ],
)
def test_in_an_open_room_a_verdict_or_a_decision_ends_it(
    type: str, body: Any, outcome: str, good: bool
):
    talk = Talk("open", ann=None)
    talk.say("ann", type, body)

    assert talk.outcome == outcome
    assert OPEN.is_good(outcome, by_message=True) == good


# ---- code-review --------------------------------------------------------------------------------

APPROVED = {"verdict": "approved", "issues": []}
REJECTED = {"verdict": "rejected", "issues": [{"id": "a", "severity": "blocker", "text": "No."}]}


def review(**reviewers: str) -> Talk:
    talk = Talk("code-review", ann="author", **(reviewers or {"rex": "reviewer"}))
    talk.say("ann", "submit")
    return talk


def two_reviewers() -> Talk:
    return review(rex="reviewer", kim="reviewer")


def test_the_verdict_of_the_only_reviewer_ends_a_review():
    talk = review()
    step = talk.say("rex", "review_complete", {"type": "review_complete", **APPROVED})

    assert [message.type for message in step.messages] == ["review_complete", "room.closed"]
    assert talk.outcome == "approved"
    with pytest.raises(RoomClosed):
        talk.say("ann", "note", "Absolutely! Ready when you are.")


def test_a_review_ends_when_every_reviewer_has_given_a_verdict():
    talk = two_reviewers()
    talk.say("rex", "review_complete", APPROVED)
    before = talk.outcome
    talk.say("kim", "review_complete", APPROVED)

    assert (before, talk.outcome) == ("", "approved")


def test_one_rejection_rejects():
    talk = two_reviewers()
    talk.say("rex", "review_complete", REJECTED)
    talk.say("kim", "review_complete", APPROVED)

    assert talk.outcome == "rejected"


def test_the_last_verdict_of_a_reviewer_counts():
    talk = two_reviewers()
    talk.say("rex", "review_complete", REJECTED)
    talk.say("rex", "review_complete", APPROVED)
    talk.say("kim", "review_complete", APPROVED)

    assert talk.outcome == "approved"


def test_a_reviewer_who_leaves_is_not_waited_for():
    talk = two_reviewers()
    talk.say("rex", "review_complete", APPROVED)
    talk.leave("kim")

    assert talk.outcome == "approved"


def test_the_author_gives_no_verdict_and_a_reviewer_cancels_nothing():
    talk = review()
    for sender, type in (("ann", "review_complete"), ("rex", "cancel")):
        with pytest.raises(RoleMayNot):
            talk.say(sender, type)


def test_a_cancelled_review_is_no_good_one():
    talk = review()
    talk.say("ann", "cancel")

    assert talk.outcome == "cancelled"
    assert [o for o in ("approved", "rejected", "cancelled") if good(talk, o)] == ["approved"]


@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("review", "That is a great point!"),
        ("review", {"issues": []}),
        ("review", {"issues": [{"id": "a", "severity": "huge", "text": "x"}]}),
        ("review_complete", {"verdict": "lgtm"}),
        ("review_complete", {"issues": []}),
    ],
)
def test_praise_is_no_review(type: str, body: Any):
    talk = review()
    with pytest.raises(ContractViolation):
        talk.say("rex", type, body)

    assert talk.room.last_seq == 1


def test_what_is_expected_goes_back_and_forth():
    talk = review()
    asked = talk.owes("rex")
    talk.say("rex", "review")
    reviewed = (talk.owes("rex"), talk.owes("ann"))
    talk.say("ann", "revise")

    assert asked == [(1, ("review", "review_complete"))]
    assert reviewed == ([], [(2, ("revise",))])
    assert (talk.owes("rex"), talk.owes("ann")) == ([(3, ("review", "review_complete"))], [])


def test_every_step_of_a_review_wakes_whoever_is_next():
    talk = two_reviewers()
    woken = [
        talk.say(sender, type).messages[0].wakes
        for sender, type in (("rex", "review"), ("kim", "review"), ("ann", "revise"))
    ]

    assert woken == [("ann", "kim"), ("ann", "rex"), ("rex", "kim")]


def test_a_plain_message_is_fine_and_a_chat_is_not():
    talk = review()
    for note in ("The branch is rebased on 4f1c2ab.", "Tests need make 4.", "Then see ci.log."):
        talk.say("ann", "note", note)
    with pytest.raises(BudgetSpent, match="All 3 messages of type note"):
        talk.say("ann", "note", "Whenever you are ready!")

    assert talk.say("rex", "note", "The tests take 9 minutes.").messages


def test_a_fourth_reviewer_has_no_place():
    talk = review(**dict.fromkeys(("rex", "kim", "lee"), "reviewer"))
    with pytest.raises(RoleTaken):
        talk.join("max", "reviewer")


def test_a_revision_answers_every_review_before_it():
    talk = two_reviewers()
    talk.say("rex", "review")
    talk.say("kim", "review")
    talk.say("ann", "revise")

    assert talk.owes("ann") == []


def test_every_reviewer_owes_a_review():
    talk = two_reviewers()
    talk.say("rex", "review")

    assert (talk.owes("rex"), talk.owes("kim")) == ([], [(1, ("review", "review_complete"))])


# ---- handoff ------------------------------------------------------------------------------------


def handoff() -> Talk:
    talk = Talk("handoff", ann="giver", rex="receiver")
    talk.say("ann", "handoff", to=["rex"])
    return talk


@pytest.mark.parametrize(
    ("sender", "type", "outcome"),
    [
        ("rex", "handoff_accepted", "transferred"),
        ("rex", "refuse", "refused"),
        ("ann", "cancel", "cancelled"),
    ],
)
def test_a_handoff_ends_transferred_refused_or_cancelled(sender: str, type: str, outcome: str):
    talk = handoff()
    talk.say("rex", "question", "Which branch?")
    answer = talk.say("ann", "answer", "parser-v3").messages[0]
    talk.say(sender, type)

    assert answer.wakes == ("rex",)
    assert talk.outcome == outcome
    assert good(talk, outcome) == (outcome == "transferred")


def test_who_takes_a_task_says_what_is_next():
    with pytest.raises(ContractViolation):
        handoff().say("rex", "handoff_accepted", {"summary": "Perfect, ready when you are!"})


def test_what_is_handed_over_says_where_it_stands_and_what_is_next():
    with pytest.raises(ContractViolation):
        handoff().say("ann", "handoff", {"summary": "half done"}, to=["rex"])


def test_a_handoff_expects_to_be_accepted():
    assert handoff().owes("rex") == [(1, ("handoff_accepted",))]


# ---- decision -----------------------------------------------------------------------------------


def debate(debaters: int = 3) -> Talk:
    names = ("ann", "rex", "kim", "lee")[:debaters]
    talk = Talk("decision", cho="chair", **dict.fromkeys(names, "debater"))
    talk.say("cho", "propose")
    return talk


def vote(talk: Talk, sender: str, choice: str) -> Step:
    return talk.say(sender, "vote", {"choice": choice})


def test_the_decision_of_the_chair_ends_a_debate():
    talk = debate()
    talk.say("ann", "argument")
    talk.say("cho", "decision", {"outcome": "sqlite", "rationale": "One node."})

    assert talk.room.closing
    assert (talk.outcome, talk.room.closing.conclusion) == ("sqlite", "One node.")


def test_more_than_half_of_the_debaters_decide():
    talk = debate(4)
    for name, choice in (("ann", "sqlite"), ("rex", "postgresql"), ("kim", "postgresql")):
        vote(talk, name, choice)
    before = talk.outcome
    vote(talk, "ann", "postgresql")

    assert (before, talk.outcome) == ("", "postgresql")


def test_the_chair_has_no_vote_and_a_debater_no_decision():
    talk = debate()
    for sender, type in (("cho", "vote"), ("ann", "decision")):
        with pytest.raises(RoleMayNot):
            talk.say(sender, type)


def test_equal_votes_are_no_loop():
    talk = debate(4)
    for name, choice in zip(
        ("ann", "rex", "kim", "lee"), ("sqlite", "postgresql") * 2, strict=True
    ):
        vote(talk, name, choice)

    assert {member.standing.score for member in talk.room.active_members} == {0}


def test_a_decision_is_a_good_end_and_a_spent_budget_is_not():
    it = template("decision")

    assert it.is_good("sqlite", by_message=True)
    assert not it.is_good("no_decision", by_message=False)


def test_a_cancelled_debate_is_no_good_one():
    talk = debate()
    talk.say("cho", "cancel")

    assert not good(talk, talk.outcome)


# ---- task-queue ---------------------------------------------------------------------------------


def queue(*tasks: str) -> Talk:
    talk = Talk("task-queue", cho="manager", ann="worker", rex="worker")
    for task in tasks:
        talk.say("cho", "request", {"task": task})
    return talk


def test_a_queue_closes_with_the_last_result():
    talk = queue("one", "two")
    talk.say("ann", "accept", reply_to=1)
    talk.say("rex", "accept", reply_to=2)
    talk.say("cho", "close_queue")
    talk.say("ann", "result", reply_to=1)
    before = talk.outcome
    talk.say("rex", "result", reply_to=2)

    assert (before, talk.outcome) == ("", "drained")
    assert good(talk, "drained")


def test_an_empty_queue_closes_at_once():
    talk = queue("one")
    talk.say("ann", "result", reply_to=1)
    talk.say("cho", "close_queue")

    assert talk.outcome == "drained"


def test_the_first_to_accept_a_task_has_it():
    talk = queue("one")
    talk.say("ann", "accept")
    with pytest.raises(WorkTaken):
        talk.say("rex", "accept", reply_to=1)

    assert (talk.owes("ann"), talk.owes("rex")) == ([(1, ("result",))], [])


def test_a_cancelled_queue_ends_whatever_is_open():
    talk = queue("one")
    talk.say("cho", "cancel")

    assert talk.outcome == "cancelled"
    assert not good(talk, "cancelled")


def test_equal_results_are_no_loop():
    talk = queue(*(f"task {n}" for n in range(12)))
    steps = [talk.say("ann", "result", reply_to=n) for n in range(1, 13)]

    assert [step.notices for step in steps] == [()] * 12


def test_a_result_is_for_the_work_that_its_sender_has_accepted():
    talk = queue("one", "two")
    talk.say("ann", "accept", reply_to=1)

    assert talk.say("ann", "result").messages[0].reply_to == 1


def test_a_queue_is_taken_from_the_front():
    talk = queue("one", "two")

    assert talk.say("ann", "accept").messages[0].reply_to == 1


def test_what_one_worker_refuses_is_open_for_the_others():
    talk = queue("one")
    talk.say("ann", "refuse", reply_to=1)

    assert (talk.owes("ann"), talk.owes("rex")) == ([], [(1, ("result",))])


def test_a_long_queue_forgets_no_work():
    talk = queue(*(f"task {n}" for n in range(65)))
    talk.say("cho", "close_queue")
    for seq in range(2, 66):
        talk.say("ann", "result", reply_to=seq)

    assert talk.outcome == ""


def good(talk: Talk, outcome: str) -> bool:
    return talk.room.contract.is_good(outcome, by_message=True)
