"""What an agent reads of a room's rules: its role, what it may send, and what it is told."""

from __future__ import annotations

import pytest
from house import Agent, House

pytestmark = pytest.mark.anyio

POLITE = "Perfect. Whenever you are ready!"


async def two_in_review(house: House) -> tuple[Agent, Agent]:
    """Ann, the author, and rex, the reviewer."""
    ann, rex = await house.agent("ann"), await house.agent("rex")
    await ann("create_room", name="api-review", template="code-review")
    await rex("join_room", room="api-review")
    return ann, rex


async def test_a_new_room_says_which_role_one_has_and_what_it_may_send(house: House):
    ann = await house.agent("ann")

    made = await ann("create_room", name="api-review", template="code-review")

    assert made.lines[0] == (
        'Room "api-review" opened (template code-review). You are ann, author.'
    )
    assert "You may send: submit {ref, summary}" in made.text
    assert made.structured is not None
    assert made.structured["role"] == "author"


async def test_who_joins_reads_his_role_who_is_here_and_what_ends_the_room(house: House):
    ann, rex = await house.agent("ann"), await house.agent("rex")
    await ann("create_room", name="api-review", template="code-review")

    joined = await rex("join_room", room="api-review")

    assert joined.lines[0].startswith('Joined "api-review". You are rex, reviewer.')
    assert "Here: ann (author)" in joined.text
    assert "review_complete {verdict} (ends the room)" in joined.text


async def test_a_role_can_be_asked_for(house: House):
    ann = await house.agent("ann")

    made = await ann("create_room", name="r", template="code-review", role="reviewer")

    assert "You are ann, reviewer." in made.text


async def test_what_is_submitted_is_expected_of_the_reviewer_alone(house: House):
    ann, rex = await two_in_review(house)
    await ann.say("api-review", "", type="submit", body={"ref": "PR 12", "summary": "new auth"})

    heard = await rex("wait_for_messages", room="api-review")
    of_author = await ann("join_room", room="api-review")

    assert "Expected of you: a review to #1 of ann" in heard.text
    assert "Expected" not in of_author.text


async def test_the_verdict_ends_the_room_and_thanks_are_refused(house: House):
    ann, rex = await two_in_review(house)

    ended = await rex.say("api-review", "", type="review_complete", body={"verdict": "approved"})
    late = await ann("send_message", room="api-review", content="Thank you so much!")

    assert '"api-review" is closed: approved' in ended.text
    assert late.is_error
    assert "approved, by rex (#1)" in late.text
    assert "send nothing more here" in late.text


async def test_loops_are_told_of_in_the_answers_of_those_who_loop(house: House):
    ann, bob = await house.agent("ann"), await house.agent("bob")
    await ann("create_room", name="chat")
    await bob("join_room", room="chat")
    told = [
        await (ann, bob)[at % 2]("send_message", room="chat", content=POLITE + "!" * at)
        for at in range(9)
    ]
    hushed = await bob("send_message", room="chat", content=POLITE)
    seen = await ann("read_history", room="chat")

    assert [at for at, one in enumerate(told) if "No progress" in one.text] == [4, 5, 6, 7, 8]
    assert "it wakes nobody" in told[6].text
    assert hushed.is_error
    assert "You were told" in hushed.text
    assert "No progress" not in seen.text


async def test_an_agent_is_told_when_the_budget_runs_low(house: House):
    ann = await house.agent("ann")
    await house.rooms.create_room("small", budget={"messages": 4})

    told = [await ann.say("small", f"fact {number}") for number in range(4)]
    refused = await ann("send_message", room="small", content="fact 4")

    assert "1 of 4 messages" in told[2].text
    assert refused.is_error
    assert "or end the room with review_complete or decision" in refused.text


async def test_a_role_for_people_is_taken_by_a_person_alone(house: House):
    ann = await house.agent("ann")
    roles = {"boss": {"who": "human"}, "worker": {}}
    ends = [{"type": "decision", "by": ["boss"], "outcome_from": "outcome"}]
    room = await house.rooms.create_room("plan", contract={"roles": roles, "terminal": ends})
    refused = await ann("join_room", room="plan", role="boss")
    taken = await house.rooms.join(room.id, "Ada", role="boss", human=True)
    ended = await house.rooms.post(room.id, "Ada", {"outcome": "go"}, type="decision", human=True)

    assert "The role boss is for human" in refused.text
    assert taken.role == "boss"
    assert ended.outcome == "go"
