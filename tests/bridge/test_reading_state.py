"""What an agent is shown, and when: nothing is lost, nothing comes twice without saying so."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from house import SOON_S, Agent, Answer, House

pytestmark = pytest.mark.anyio

LONG_WAIT_S = 30
A_MOMENT_S = 0.2


class Later:
    """The answer of a call that is still on its way."""

    answer: Answer

    async def fill(self, agent: Agent, tool: str, arguments: dict[str, Any]) -> None:
        self.answer = await agent.ask(tool, arguments)


@asynccontextmanager
async def waiting(house: House, room_id: str, agent: Agent, **arguments: Any):
    """Inside, the agent sits in a wait; its answer is there afterwards."""
    later = Later()
    with anyio.fail_after(SOON_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(later.fill, agent, "wait_for_messages", arguments)
            await house.waiting_in(room_id, "ann")
            yield later


def seqs(answer: Answer) -> list[int]:
    return [int(found) for found in re.findall(r"^#(\d+) ", answer.text, re.MULTILINE)]


@pytest.fixture
async def ann(house: House) -> Agent:
    """In "api-review" with bob and carol; nobody has said anything."""
    ann = await house.agent("ann", max_wait_s=LONG_WAIT_S)
    await house.room("api-review", "bob", "carol")
    await ann("join_room", room="api-review")
    return ann


@pytest.fixture
async def hasty(house: House) -> Agent:
    """As ann, and her host lets no wait last."""
    ann = await house.agent("ann", max_wait_s=A_MOMENT_S)
    await house.room("api-review", "bob", "carol")
    await ann("join_room", room="api-review")
    return ann


@pytest.fixture
async def room_id(house: House) -> str:
    """The room's; ask for it after whoever opened it."""
    return (await house.rooms.rooms()).rooms[0].id


# ---- once, and again when it was lost ----------------------------------------------------------


async def test_a_message_is_shown_once(house: House, hasty: Agent, room_id: str):
    await house.rooms.post(room_id, "bob", "Line 40 misses it.")
    first = await hasty("wait_for_messages", room="api-review")

    second = await hasty("wait_for_messages", room="api-review")

    assert seqs(first) == [1]
    assert second.lines[0] == "Nothing new in 0.2 s."


async def test_parallel_calls_do_not_acknowledge_each_other(house: House, ann: Agent, room_id: str):
    async with waiting(house, room_id, ann) as later:
        await house.rooms.post(room_id, "bob", "Half of it.", type="progress")
        sent = await ann.say("api-review", "Take your time.")
        await house.rooms.post(room_id, "bob", "Done.")

    assert seqs(sent) == [1]
    assert seqs(later.answer) == [1, 3]


async def test_what_a_dropped_answer_showed_is_shown_again_and_marked(
    house: House, ann: Agent, room_id: str
):
    await house.rooms.post(room_id, "bob", "Line 40 misses it.")
    async with anyio.create_task_group() as tasks:
        call = {"room": "api-review", "content": "Reading.", "wait": True}
        tasks.start_soon(ann.ask, "send_message", call)
        await house.waiting_in(room_id, "ann")
        tasks.cancel_scope.cancel()

    again = await ann("wait_for_messages", room="api-review")

    assert "bob (shown before): Line 40 misses it." in again.text


async def test_what_a_message_missed_is_not_shown_twice_by_its_own_wait(
    house: House, ann: Agent, room_id: str
):
    await house.rooms.post(room_id, "bob", "Line 40 misses it.")
    later = Later()
    async with anyio.create_task_group() as tasks:
        call = {"room": "api-review", "content": "Reading.", "wait": True}
        tasks.start_soon(later.fill, ann, "send_message", call)
        await house.waiting_in(room_id, "ann")
        await house.rooms.post(room_id, "bob", "So does line 60.")

    assert seqs(later.answer) == [1, 3]


async def test_reading_the_history_changes_nothing(house: House, ann: Agent, room_id: str):
    await house.rooms.post(room_id, "bob", "Line 40 misses it.")
    first = await ann("read_history", room="api-review")
    second = await ann("read_history", room="api-review")

    waited = await ann("wait_for_messages", room="api-review")

    assert first.lines[0] == second.lines[0] == '"api-review" · open · #1–#1 of 1 · 1 unread'
    assert waited.lines[1].endswith("bob: Line 40 misses it.")


async def test_the_history_marks_where_the_unread_begins(house: House, ann: Agent, room_id: str):
    await ann.say("api-review", "I look at line 40.")
    await house.rooms.post(room_id, "bob", "Line 60 too.")
    await ann.say("api-review", "Will do.")
    await house.rooms.post(room_id, "bob", "Line 80 too.")

    history = await ann("read_history", room="api-review")

    assert history.lines[1] == "#1 0s you: I look at line 40."
    assert history.lines[-3:-1] == ["— new —", "#4 0s bob: Line 80 too."]


async def test_own_messages_are_never_handed_over(hasty: Agent):
    await hasty.say("api-review", "Line 40 misses it.")

    waited = await hasty("wait_for_messages")

    assert waited.lines[0] == "Nothing new in 0.2 s."


async def test_joining_again_acknowledges_only_what_it_shows(house: House):
    room = await house.room("api-review", "ann", "bob")
    for number in range(1, 31):
        await house.rooms.post(room.id, "bob", f"Finding {number}")
    restarted = await house.agent("ann")

    joined = await restarted("join_room", room="api-review")
    waited = await restarted("wait_for_messages", room="api-review")

    assert seqs(joined) == list(range(11, 31))
    assert "Older (10): read_history(" in joined.text
    assert seqs(waited) == list(range(1, 31))


async def test_what_does_not_fit_is_handed_over_by_the_next_call(
    house: House, ann: Agent, room_id: str
):
    for number in range(1, 31):
        await house.rooms.post(room_id, "bob", f"Finding {number}: " + "word " * 200)

    answers = [await ann("wait_for_messages", room="api-review") for _ in range(4)]

    assert [seq for answer in answers for seq in seqs(answer)] == list(range(1, 31))
    assert ", 22 more unread" in answers[0].text
    assert "(shown before)" not in "".join(answer.text for answer in answers)


async def test_hundreds_of_unread_messages_are_handed_over_in_order(
    house: House, ann: Agent, room_id: str
):
    for number in range(1, 121):
        await house.rooms.post(room_id, "bob" if number % 2 else "carol", f"Finding {number}")

    answers = [await ann("wait_for_messages", room="api-review") for _ in range(3)]

    assert [seq for answer in answers for seq in seqs(answer)] == list(range(1, 121))


@pytest.mark.parametrize("word", ["token ", "ключ ", "鍵"])
async def test_a_huge_message_is_cut_with_the_call_that_shows_all_of_it(
    house: House, ann: Agent, room_id: str, word: str
):
    text = word * (60_000 // len(word.encode()))
    await house.rooms.post(room_id, "bob", text)

    shown = await ann("wait_for_messages", room="api-review")
    called = re.search(r"read_history\(room=\"api-review\", (after.*?)\)", shown.text)
    assert called is not None
    numbers = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", called[1])}
    whole = await ann("read_history", room="api-review", **numbers)

    assert len(shown.text) < 10_000
    assert text in whole.text


# ---- mail in other rooms -----------------------------------------------------------------------

TOOLS = [
    ("send_message", {"room": "api-review", "content": "x"}),
    ("join_room", {"room": "api-review"}),
    ("create_room", {"name": "new"}),
    ("create_room", {"name": "api-review"}),
    ("read_history", {"room": "api-review"}),
    ("search_messages", {"query": "x"}),
    ("search_messages", {"query": "x", "room": "api-review"}),
    ("wait_for_messages", {"room": "api-review"}),
    ("close_room", {"room": "api-review", "conclusion": "Done."}),
]


@pytest.mark.parametrize(("tool", "arguments"), TOOLS, ids=lambda value: str(value))
async def test_every_tool_tells_of_unread_mail_in_other_rooms(
    house: House, hasty: Agent, tool: str, arguments: dict[str, Any]
):
    docs = await house.room("docs", "bob")
    await hasty("join_room", room="docs")
    await house.rooms.post(docs.id, "bob", "The readme is stale.")

    answer = await hasty(tool, **arguments)

    mail = 'Unread elsewhere: 1 in "docs". wait_for_messages() shows them.'
    assert answer.lines[-1] == mail
    assert answer.structured is None or answer.structured["mail"] == mail


async def test_the_list_of_rooms_shows_what_is_unread(house: House, ann: Agent):
    docs = await house.room("docs", "bob")
    await ann("join_room", room="docs")
    await house.rooms.post(docs.id, "bob", "The readme is stale.")

    answer = await ann("list_rooms")

    assert answer.lines[0] == "docs · open · 1 message, 1 unread"


async def test_a_wait_without_a_room_hands_over_the_mail_of_all(
    house: House, ann: Agent, room_id: str
):
    docs = await house.room("docs", "bob")
    await ann("join_room", room="docs")
    await house.rooms.post(docs.id, "bob", "The readme is stale.")
    await house.rooms.post(room_id, "bob", "Line 40 misses it.")

    answer = await ann("wait_for_messages")

    assert '"docs", 1 new' in answer.lines
    assert '"api-review", 1 new' in answer.lines


# ---- waking ------------------------------------------------------------------------------------


async def test_what_wakes_nobody_is_handed_over_with_what_does(
    house: House, ann: Agent, room_id: str
):
    async with waiting(house, room_id, ann) as later:
        await house.rooms.post(room_id, "bob", "On it.", type="ack")
        await house.rooms.post(room_id, "bob", "Half of it.", type="progress")
        await house.rooms.post(room_id, "bob", "For carol alone.", to=["carol"])
        await house.waiting_in(room_id, "ann")
        await house.rooms.post(room_id, "bob", "Done.", to=["ann"])

    assert seqs(later.answer) == [1, 2, 3, 4]


async def test_what_woke_nobody_is_handed_over_when_the_time_is_up(
    house: House, hasty: Agent, room_id: str
):
    async with waiting(house, room_id, hasty) as later:
        await house.rooms.post(room_id, "bob", "Half of it.", type="progress")

    assert later.answer.lines[0] == "Nothing for you in 0.2 s. What was said meanwhile:"
    assert seqs(later.answer) == [1]


async def test_a_wait_in_all_rooms_is_woken_from_each(house: House, ann: Agent, room_id: str):
    docs = await house.room("docs", "bob")
    await ann("join_room", room="docs")
    async with waiting(house, room_id, ann) as later:
        await house.rooms.post(docs.id, "bob", "The readme is stale.")

    assert later.answer.lines[0] == '"docs", 1 new'


async def test_a_pause_ends_a_wait_with_its_reason(house: House, ann: Agent, room_id: str):
    async with waiting(house, room_id, ann) as later:
        await house.owner("POST", f"/agent/rooms/{room_id}/pause")

    assert "room paused by owner" in later.answer.text


async def test_closing_ends_a_wait_with_its_outcome(house: House, ann: Agent, room_id: str):
    async with waiting(house, room_id, ann) as later:
        verdict = {"verdict": "approved", "summary": "2 issues fixed"}
        await house.rooms.post(room_id, "bob", verdict, type="review_complete")

    assert later.answer.lines[0] == '"api-review" is closed: approved. Conclusion: 2 issues fixed'
    assert later.answer.lines[-1] == "Nothing more to send here; tell your user."


@pytest.mark.parametrize("arguments", [{}, {"room": "api-review"}], ids=["all", "one"])
async def test_deleting_ends_a_wait_with_its_reason(
    house: House, ann: Agent, room_id: str, arguments: dict[str, str]
):
    async with waiting(house, room_id, ann, **arguments) as later:
        await house.owner("DELETE", f"/api/rooms/{room_id}")

    assert later.answer.lines[0] == '"api-review" was deleted; nothing more comes there.'


async def test_two_who_wait_for_each_other_are_told_so(house: House, hasty: Agent, room_id: str):
    bob = await house.agent("bob", max_wait_s=LONG_WAIT_S)
    await house.rooms.post(room_id, "bob", "Is issue 2 a blocker?", type="question", to=["ann"])
    await hasty("wait_for_messages", room="api-review")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bob.ask, "wait_for_messages", {"room": "api-review"})
        await house.waiting_in(room_id, "bob")

        answer = await hasty("wait_for_messages", room="api-review")
        tasks.cancel_scope.cancel()

    assert answer.lines[0] == (
        "Nothing new in 0.2 s. bob is waiting too, for your answer to #1: send it, or finish."
    )


async def test_a_name_in_other_case_is_woken_and_sees_itself_as_you(house: House):
    room = await house.room("api-review", "ann", "bob")
    await house.rooms.post(room.id, "ann", "I began this.")
    ann = await house.agent("Ann", max_wait_s=LONG_WAIT_S)
    async with waiting(house, room.id, ann, room="api-review") as later:
        await house.rooms.post(room.id, "bob", "Go on.", to=["ann"])
    history = await ann("read_history", room="api-review")

    assert "bob → you: Go on." in later.answer.text
    assert "you: I began this." in history.text


# ---- signs of life -----------------------------------------------------------------------------


async def test_messages_for_others_do_not_hurry_the_signs_of_life(
    house: House, ann: Agent, room_id: str
):
    signs: list[float] = []

    async def sign(progress: float, total: float | None, message: str | None) -> None:
        signs.append(progress)

    async with anyio.create_task_group() as tasks:
        ask = {"progress_callback": sign}
        tasks.start_soon(lambda: ann.ask("wait_for_messages", {}, **ask))
        await house.waiting_in(room_id, "ann")
        for _ in range(5):
            await house.rooms.post(room_id, "bob", "Half of it.", type="progress")
        await house.rooms.post(room_id, "bob", "Done.")

    assert signs == []
