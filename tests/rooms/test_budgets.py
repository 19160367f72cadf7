"""How much may be said in a room, by whom, and how long it lasts."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk

from room_mcp.rooms import Step
from room_mcp.rooms.budget import LEAST_MESSAGE_BYTES, RESERVE_BYTES, RESERVE_S
from room_mcp.rooms.refusals import BudgetSpent, Overdue, RoomClosed

QUOTES = 2  # bytes that a text has around it as JSON
END = {"type": "decision", "outcome": "decided"}


def limited(*names: str, terminal: Any = (END,), **budget: Any) -> Talk:
    """A room with this budget, and members without roles."""
    document = {"terminal": [*terminal], "budget": budget, "guard": False}
    return Talk(document, **dict.fromkeys(names or ("ann", "bob")))


def fill(talk: Talk, sender: str, messages: int, type: str = "note") -> list[Step]:
    return talk.chat(sender, messages=messages, type=type)


def refusal(talk: Talk, sender: str, type: str = "note", content: Any = "x") -> BudgetSpent:
    """The refusal of this message; it changed nothing."""
    before = talk.room
    with pytest.raises(BudgetSpent) as refused:
        talk.say(sender, type, content)

    assert talk.room == before
    return refused.value


# ---- messages of a room -------------------------------------------------------------------------


def test_a_room_takes_as_many_messages_as_it_has():
    talk = limited(messages=3)
    fill(talk, "ann", 3)
    refused = refusal(talk, "bob")

    assert refused.detail == "The room has 0 of 3 messages left; this message has 3 bytes."
    assert refused.advice == "Only read from now on, or end the room with decision."
    assert refused.facts == {"messagesLeft": 0, "bytesLeft": None}


def test_the_reserve_is_for_messages_that_can_end_the_room():
    talk = limited(messages=1)
    fill(talk, "ann", 1)
    talk.say("bob", "decision", "We ship.")

    assert (talk.outcome, talk.reason) == ("decided", "terminal")


@pytest.mark.parametrize("type", ["note", "result", "answer", "ack", "anything_at_all"])
def test_nothing_else_is_taken_from_the_reserve(type: str):
    talk = limited(messages=1)
    fill(talk, "ann", 1)

    assert refusal(talk, "ann", type).facts["messagesLeft"] == 0


ALL = {"type": "decision", "need": "all_of_role", "outcome": "decided"}


def test_a_room_closes_on_its_budget_when_the_reserve_is_spent():
    talk = limited("ann", "bob", "cid", terminal=[ALL], messages=1, on_budget="no_decision")
    fill(talk, "ann", 1)
    fill(talk, "ann", 1, "decision")
    step = talk.say("bob", "decision")
    closing = talk.room.closing

    assert [one.type for one in step.messages] == ["decision", "room.closed"]
    assert closing
    assert (closing.outcome, closing.reason, closing.by) == ("no_decision", "budget", "room")
    assert (closing.seq, closing.conclusion) == (4, "The budget of this room is spent.")


def test_the_last_message_of_the_reserve_still_decides():
    talk = limited("ann", "bob", terminal=[ALL], messages=1)
    fill(talk, "ann", 1)
    fill(talk, "ann", 1, "decision")
    talk.say("bob", "decision")

    assert (talk.outcome, talk.reason) == ("decided", "terminal")


@pytest.mark.parametrize("reserve", [0, {"messages": 0, "bytes": 9}])
def test_without_a_reserve_the_room_closes_at_once(reserve: Any):
    talk = limited(messages=2, reserve=reserve)
    fill(talk, "ann", 2)

    assert (talk.outcome, talk.reason) == ("budget_spent", "budget")


def test_a_room_that_nothing_can_end_closes_at_once():
    talk = limited(messages=2, terminal=())
    steps = fill(talk, "ann", 2)

    assert [one.type for one in steps[1].messages] == ["note", "room.closed"]
    assert talk.reason == "budget"


@pytest.mark.parametrize("seconds", [RESERVE_S, RESERVE_S + 9])
def test_a_room_whose_budget_is_spent_closes_after_ten_minutes(seconds: int):
    talk = limited(messages=1)
    talk.say("ann", at=60)
    early = talk.expire(at=60 + RESERVE_S - 1)
    with pytest.raises(Overdue, match="budget"):
        talk.say("ann", "decision", at=60 + RESERVE_S)
    talk.expire(at=60 + seconds)

    assert RESERVE_S == 600
    assert early.messages == ()
    assert (talk.outcome, talk.reason) == ("budget_spent", "budget")


def test_nothing_that_is_said_in_the_reserve_makes_it_last_longer():
    talk = limited("ann", "bob", terminal=[ALL], messages=1)
    talk.say("ann")
    talk.say("ann", "decision", at=300)
    talk.say("ada", at=400, human=True)

    assert talk.expire(at=RESERVE_S - 1).messages == ()
    assert talk.expire(at=RESERVE_S).room.closing


def test_only_what_ends_the_room_for_this_role_is_taken_from_the_reserve():
    document = {
        "roles": {"author": {}, "reviewer": {}},
        "terminal": [{"type": "verdict", "by": "reviewer"}],
        "budget": {"messages": 1},
        "guard": False,
    }
    talk = Talk(document, ann="author", rex="reviewer")
    fill(talk, "ann", 1)

    assert refusal(talk, "ann", "verdict").advice == "Only read from now on."
    assert talk.say("rex", "verdict").room.closing


def test_a_message_of_a_terminal_type_that_ends_nothing_gets_none_of_the_reserve():
    document = {
        "terminal": [{"type": "report", "when": {"type": "object", "required": ["final"]}}],
        "budget": {"messages": 1},
        "guard": False,
    }
    talk = Talk(document, ann=None)
    fill(talk, "ann", 1)
    with pytest.raises(BudgetSpent):
        talk.say("ann", "report", {"draft": 1})
    talk.say("ann", "report", {"final": 1})

    assert talk.reason == "terminal"


# ---- bytes --------------------------------------------------------------------------------------


def test_bytes_are_counted_as_the_room_stores_them():
    talk = limited(bytes=1_000)
    talk.say("ann", content="ü" * 100)
    talk.say("ann", content={"a": [1, 2]})

    assert talk.room.spent.size_bytes == 200 + QUOTES + len('{"a":[1,2]}')


def test_a_message_that_is_too_large_for_what_is_left_is_refused_and_a_small_one_is_not():
    talk = limited(bytes=1_000)
    talk.say("ann", content="x" * 898)
    refused = refusal(talk, "bob", content="x" * 99)
    talk.say("bob", content="x" * 98)

    assert refused.detail == "The room has 100 of 1000 bytes left; this message has 101 bytes."
    assert refused.facts == {"messagesLeft": None, "bytesLeft": 100}


@pytest.mark.parametrize(
    ("left", "is_spent"), [(LEAST_MESSAGE_BYTES, False), (LEAST_MESSAGE_BYTES - 1, True)]
)
def test_bytes_are_spent_when_no_message_fits_any_more(left: int, is_spent: bool):
    talk = limited(bytes=1_000)
    talk.say("ann", content="x" * (1_000 - QUOTES - left))

    assert (talk.room.reserve_since is not None) == is_spent


def test_the_bytes_of_the_reserve_are_for_the_end():
    talk = limited(bytes=100)
    talk.say("ann", content="x" * 98)
    refused = refusal(talk, "ann", "decision", "x" * (RESERVE_BYTES - 1))
    talk.say("ann", "decision", "x" * (RESERVE_BYTES - QUOTES))

    assert RESERVE_BYTES == 16 * 1024
    assert refused.facts["bytesLeft"] == 0
    assert talk.reason == "terminal"


def test_a_room_closes_when_the_bytes_of_its_reserve_are_spent():
    talk = limited("ann", "bob", terminal=[ALL], bytes=100, reserve={"bytes": 200})
    talk.say("ann", content="x" * 98)
    talk.say("ann", "decision", "x" * 198)

    assert talk.reason == "budget"


def test_messages_and_bytes_left_are_told_together():
    talk = limited(messages=2, bytes=1_000)
    talk.say("ann", content="x" * 898)

    assert (
        "The room has 1 of 2 messages and 100 of 1000 bytes left"
        in refusal(talk, "ann", content="x" * 200).detail
    )


# ---- each member --------------------------------------------------------------------------------


def test_a_member_who_has_said_his_share_may_read_and_end_the_room():
    talk = limited(per_member=2)
    fill(talk, "ann", 2)
    refused = refusal(talk, "ann")
    fill(talk, "bob", 2)
    talk.say("ann", "decision")

    assert refused.detail == "ann has 0 of 2 messages left; this message has 3 bytes."
    assert refused.advice == "Read on, or end the room with decision."
    assert talk.outcome == "decided"


def test_who_cannot_end_the_room_may_only_read_on():
    document = {
        "roles": {"a": {"may": ["note"]}, "b": {}},
        "terminal": [{"type": "decision"}],
        "budget": {"per_member": 1},
        "guard": False,
    }
    talk = Talk(document, ann="a")
    fill(talk, "ann", 1)

    assert refusal(talk, "ann").advice == "Read on."


def test_a_member_has_a_reserve_too_and_the_room_stays_open_when_it_is_spent():
    talk = limited("ann", "bob", terminal=[ALL], per_member=1)
    fill(talk, "ann", 1)
    fill(talk, "ann", 2, "decision")
    refused = refusal(talk, "ann", "decision")
    talk.say("bob", "decision")

    assert "ann has 0 of 1 messages left" in refused.detail
    assert talk.outcome == "decided"


def test_the_bytes_of_a_member_are_his_own():
    talk = limited(per_member={"bytes": 100})
    talk.say("ann", content="x" * 98)
    refused = refusal(talk, "ann")
    talk.say("bob", content="x" * 98)

    assert refused.detail == "ann has 0 of 100 bytes left; this message has 3 bytes."
    assert talk.room.reserve_since is None


def test_leaving_and_coming_back_brings_no_new_budget():
    talk = limited(per_member=1)
    fill(talk, "ann", 1)
    talk.leave("ann")

    assert "ann has 0 of 1 messages left" in refusal(talk, "ann").detail


# ---- types --------------------------------------------------------------------------------------


def test_a_type_may_be_scarce_in_the_room():
    talk = limited(per_type={"note": 2})
    fill(talk, "ann", 1)
    fill(talk, "bob", 1)
    refused = refusal(talk, "ann")
    talk.say("ann", "question")

    assert refused.detail == "All 2 messages of type note that the room has are spent."
    assert refused.advice == ("Say it in a message of another type or end the room with decision.")
    assert refused.facts == {"left": 0, "messageType": "note"}


def test_a_type_may_be_scarce_for_each_member():
    talk = limited(per_member={"per_type": {"note": 1}})
    fill(talk, "ann", 1)
    refused = refusal(talk, "ann")
    fill(talk, "bob", 1)

    assert refused.detail == "All 1 messages of type note that ann has are spent."


@pytest.mark.parametrize(
    ("budget", "whose"),
    [({"per_type": {"ack": 2}}, "the room"), ({"per_member": {"per_type": {"ack": 2}}}, "ann")],
)
def test_the_last_of_a_scarce_type_is_told_so(budget: Any, whose: str):
    steps = fill(limited(**budget), "ann", 2, "ack")

    assert told(steps) == [2]
    assert steps[1].notices == (f"Budget: {whose} has 0 of 2 messages of type ack left.",)


def test_a_type_that_is_not_to_be_said_has_none():
    assert (
        "All 0 messages of type ack" in refusal(limited(per_type={"ack": 0}), "ann", "ack").detail
    )


def test_a_scarce_type_has_no_reserve():
    talk = limited("ann", "bob", terminal=[ALL], per_type={"decision": 1})
    talk.say("ann", "decision")

    assert refusal(talk, "bob", "decision").facts["messageType"] == "decision"


# ---- notices ------------------------------------------------------------------------------------


def told(steps: list[Step]) -> list[int]:
    """Which messages, counted from 1, were answered with a notice."""
    return [at for at, step in enumerate(steps, 1) if step.notices]


def test_a_sender_is_told_at_75_and_at_90_percent_once_each():
    assert told(fill(limited(messages=100), "ann", 100)) == [75, 90]


def test_each_sender_is_told_in_his_own_answer():
    talk = limited(messages=20)
    fill(talk, "ann", 14)
    steps = [talk.say(name) for name in ("bob", "ann", "bob", "ann", "bob", "ann")]

    assert told(steps) == [1, 2, 4, 5]


def test_who_jumps_over_both_marks_is_told_once():
    talk = limited(bytes=1_000)
    steps = [talk.say("ann", content="x" * 950), talk.say("ann")]

    assert told(steps) == [1]


def test_a_notice_says_what_is_left_and_how_to_end():
    (step,) = fill(limited(messages=4), "ann", 3)[2:]

    assert step.notices == (
        "Budget: the room has 1 of 4 messages left. Come to the end with decision.",
    )


def test_a_notice_names_the_budget_that_is_short():
    (step,) = fill(limited(messages=100, per_member={"messages": 4}), "ann", 3)[2:]

    assert step.notices == ("Budget: ann has 1 of 4 messages left. Come to the end with decision.",)


def test_a_notice_counts_bytes_too():
    step = limited(bytes=1_000).say("ann", content="x" * 748)

    assert step.notices == (
        "Budget: the room has 250 of 1000 bytes left. Come to the end with decision.",
    )


def test_a_notice_is_stored_nowhere_and_wakes_nobody():
    talk = limited(messages=4)
    fill(talk, "ann", 3)

    assert [one.type for one in talk.messages] == ["note"] * 3


# ---- what costs nothing -------------------------------------------------------------------------


def test_people_speak_for_nothing_and_when_all_is_spent():
    talk = limited(messages=1, per_member=1, per_type={"note": 0}, bytes=10)
    steps = [talk.say("ada", content="x" * 500, human=True) for _ in range(5)]

    assert [step.notices for step in steps] == [()] * 5
    assert talk.room.spent.messages == talk.member("ada").spent.messages == 0


def test_a_person_without_a_role_speaks_in_a_room_that_is_nearly_spent():
    document = {
        "roles": {"author": {}},
        "terminal": [{"type": "decision"}],
        "budget": {"messages": 4},
        "guard": False,
    }
    talk = Talk(document, ann="author")
    fill(talk, "ann", 3)

    assert talk.say("ada", human=True).notices == ()


def test_what_the_room_says_costs_nothing():
    talk = limited(messages=2)
    talk.pause()
    talk.resume()
    fill(talk, "ann", 1)

    assert talk.room.spent.messages == 1


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "outcome", "conclusion"),
    [
        ({"lifetime_s": 60}, "expired", "The time of this room is over."),
        ({"idle_s": 60}, "idle", "Nobody has spoken for too long."),
        ({"idle_s": 60, "on_budget": "late"}, "late", "Nobody has spoken for too long."),
    ],
)
def test_a_room_ends_when_its_time_is_over(budget: Any, outcome: str, conclusion: str):
    talk = limited(**budget)
    early = talk.expire(at=59)
    step = talk.expire(at=60)

    assert early.messages == ()
    assert [one.type for one in step.messages] == ["room.closed"]
    assert talk.outcome == outcome
    assert talk.room.closing
    assert talk.room.closing.conclusion == conclusion
    assert talk.expire(at=61).messages == ()


def test_whoever_comes_after_the_time_changes_nothing_until_it_is_written_down():
    talk = limited(lifetime_s=60)
    talk.say("ann", at=59)
    for act in (
        lambda: talk.say("ann", at=60),
        lambda: talk.say("ann", "decision", at=60),
        lambda: talk.say("ada", at=60, human=True),
        lambda: talk.pause(at=60),
        lambda: talk.adopt({}, at=60),
    ):
        with pytest.raises(Overdue, match="time is over") as refused:
            act()

        assert refused.value.code == "room_closed"
    talk.expire(at=60)
    with pytest.raises(RoomClosed, match="expired, by room"):
        talk.say("ann", at=61)


def test_a_lifetime_does_not_grow_by_talking_and_idleness_does():
    talk = limited(lifetime_s=100, idle_s=60)
    talk.say("ann", at=50)
    before = talk.room.deadline
    talk.say("ann", at=30)
    talk.expire(at=99)

    assert before
    assert (before.reason, talk.reason) == ("lifetime", "")
    assert talk.expire(at=100).room.closing


def test_the_earliest_deadline_counts():
    talk = limited(lifetime_s=5_000, idle_s=4_000, messages=1)
    idle = talk.room.deadline
    fill(talk, "ann", 1)
    spent = talk.room.deadline

    assert idle
    assert spent
    assert (idle.reason, spent.reason) == ("idle", "budget")


def test_a_paused_room_is_not_idle_and_grows_old():
    talk = limited(lifetime_s=1_000, idle_s=60)
    talk.pause(at=30)
    waiting = talk.expire(at=999)
    talk.expire(at=1_000)

    assert waiting.messages == ()
    assert talk.outcome == "expired"


def test_idleness_begins_anew_with_the_resumption():
    talk = limited(idle_s=60)
    talk.pause(at=30)
    talk.resume(at=500)

    assert talk.expire(at=559).messages == ()
    assert talk.expire(at=560).room.closing


def test_an_ended_room_has_no_deadline():
    talk = limited(lifetime_s=60)
    talk.say("ann", "decision")

    assert talk.room.deadline is None
    assert talk.expire(at=999).messages == ()


# ---- other budgets ------------------------------------------------------------------------------


def test_reopening_gives_a_fresh_budget():
    talk = limited(messages=4, lifetime_s=60)
    fill(talk, "ann", 3)
    talk.say("ann", "decision", at=30)
    talk.reopen(at=500)
    steps = [talk.say("ann", at=501) for _ in range(3)]

    assert told(steps) == [3]
    assert talk.expire(at=559).messages == ()
    assert talk.expire(at=560).room.closing


def test_reopening_gives_every_member_a_fresh_budget():
    talk = limited(per_member={"messages": 2, "per_type": {"ack": 1}})
    fill(talk, "ann", 1, "ack")
    fill(talk, "ann", 1)
    talk.say("ann", "decision")
    talk.reopen()

    assert talk.say("ann", "ack").messages
    assert talk.say("ann").messages


def test_reopening_leaves_the_reserve():
    talk = limited(messages=1)
    fill(talk, "ann", 1)
    talk.expire(at=RESERVE_S)
    talk.reopen(at=900)

    assert talk.room.reserve_since is None
    assert talk.say("ann", at=900 + RESERVE_S).messages


def raised(**budget: Any) -> dict[str, Any]:
    return {"terminal": [END], "budget": budget, "guard": False}


def test_a_budget_that_is_raised_lets_the_room_go_on():
    talk = limited(messages=1)
    fill(talk, "ann", 1)
    talk.adopt(raised(messages=4))
    steps = fill(talk, "ann", 2)

    assert talk.expire(at=RESERVE_S + 1).messages == ()
    assert told(steps) == [2]


def test_a_budget_that_is_lowered_below_what_was_said_is_spent():
    talk = limited(messages=9)
    fill(talk, "ann", 5)
    talk.adopt(raised(messages=5), at=60)
    refused = refusal(talk, "ann")
    talk.expire(at=60 + RESERVE_S)

    assert refused.facts["messagesLeft"] == 0
    assert talk.reason == "budget"


def test_other_rules_of_the_guard_leave_the_budget_alone():
    talk = limited(messages=4)
    fill(talk, "ann", 3)
    talk.adopt({**raised(messages=4), "guard": {"on_stall": "quiet"}})

    assert talk.say("bob").notices
    assert talk.member("ann").told_percent == 75


# ---- types and time are told of, too ------------------------------------------------------------


def test_a_sender_is_told_when_most_messages_of_a_type_are_spent():
    talk = Talk({"budget": {"per_member": {"per_type": {"note": 8}}}, "guard": False}, ann=None)
    told = [talk.say("ann", "note", f"fact {n}").notices for n in range(8)]

    assert [at + 1 for at, notices in enumerate(told) if notices] == [6, 8]
    assert told[5] == ("Budget: ann has 2 of 8 messages of type note left.",)


def test_a_sender_is_told_when_most_of_the_time_is_over():
    talk = Talk({"budget": {"lifetime_s": 100}, "guard": False}, ann=None)
    early = talk.say("ann", "note", "fact 1", at=74).notices
    late = talk.say("ann", "note", "fact 2", at=76).notices

    assert early == ()
    assert "the room has 24 of 100 seconds left" in late[0]
