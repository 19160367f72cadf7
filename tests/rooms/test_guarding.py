"""What a room does about talk without progress, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk
from room_talk import after, room

from room_mcp.rooms import Step
from room_mcp.rooms.guarding import HUSH_AFTER_NOTICES, REARM_MESSAGES
from room_mcp.rooms.refusals import Hushed

# From its second message on, "ok" adds 1 to the score: message n has the score n - 1.
AT_NOTICE, AT_QUIET, AT_HUSH = 5, 7, 10
FACT = "See parser.py:88."
TYPES = {
    "report": {"body": {"type": ["string", "object"]}},
    "chatter": {},
    "ask_all": {"expects": "told"},
    "told": {},
    "ping": {"guard": "exempt"},
}


def talk_of(*names: str, document: dict[str, Any] | None = None, **guard: Any) -> Talk:
    """A room whose guard has these rules; `decision` ends it."""
    rules = {"types": TYPES, "terminal": [{"type": "decision"}], "guard": guard}
    return Talk({**rules, **(document or {})}, **dict.fromkeys(names or ("ann", "bob")))


def looping(messages: int = AT_HUSH - 1, **guard: Any) -> Talk:
    """Two who said "ok" so many times in turns."""
    talk = talk_of(**guard)
    talk.chat("ann", "bob", messages=messages)
    return talk


def score(talk: Talk, name: str) -> float:
    return talk.member(name).standing.score


def told(steps: list[Step]) -> list[int]:
    """Which messages, counted from 1, were answered with a notice."""
    return [at for at, step in enumerate(steps, 1) if step.notices]


def waking(steps: list[Step]) -> list[int]:
    """Which messages, counted from 1, woke somebody."""
    return [at for at, step in enumerate(steps, 1) if step.messages[0].wakes]


# ---- observe ------------------------------------------------------------------------------------


def test_everybody_has_a_standing():
    talk = looping(4)

    assert (score(talk, "ann"), score(talk, "bob")) == (2, 3)
    assert talk.member("bob").standing.dry == 4


def test_below_a_notice_nothing_is_said_and_all_wakes():
    steps = talk_of().chat("ann", "bob", messages=AT_NOTICE - 1)

    assert (told(steps), waking(steps)) == ([], [1, 2, 3, 4])


def test_silence_is_no_loop():
    talk = looping(AT_NOTICE - 1)
    talk.expire(at=10**6)
    talk.join("cid")

    assert score(talk, "bob") == 3


# ---- notice -------------------------------------------------------------------------------------


def test_from_4_on_each_sender_is_told_once_in_his_own_answer():
    steps = talk_of().chat("ann", "bob", messages=AT_QUIET - 1)

    assert told(steps) == [AT_NOTICE, AT_NOTICE + 1]
    assert (
        steps[4]
        .notices[0]
        .startswith(
            "No progress for 5 messages between you and bob: no new number, file, link or question "
            "(repeat 1.0, courtesy 1.0, minimal 0.9). Nothing was blocked."
        )
    )


def test_a_notice_is_no_message_and_holds_nothing_back():
    talk = talk_of()
    steps = talk.chat("ann", "bob", messages=AT_QUIET - 1)

    assert waking(steps) == [1, 2, 3, 4, 5, 6]
    assert [one.type for one in talk.messages] == ["note"] * 6


def test_a_notice_comes_again_after_eight_messages():
    steps = talk_of(on_stall="notice").chat("ann", "bob", messages=23)

    assert REARM_MESSAGES == 8
    assert told(steps) == [5, 6, 13, 14, 21, 22]


def test_what_is_not_scored_makes_no_notice_come_sooner():
    talk = looping(AT_NOTICE + 1, on_stall="notice")
    talk.chat("ann", "bob", messages=2, type="ack")
    steps = talk.chat("ann", "bob", messages=2)

    assert told(steps) == []


def test_after_a_loop_has_ended_the_next_one_is_told_at_once():
    talk = looping(4, notice=2, on_stall="notice")
    before = [talk.member(name).standing.noticed_at for name in ("ann", "bob")]
    talk.say("ann", content=FACT)
    talk.say("bob", content="Then compile it with make 4, from 3f9a1c2.")
    steps = talk.chat("ann", "bob", messages=4)

    assert before == [3, 4]
    assert talk.room.last_seq < min(before) + REARM_MESSAGES
    assert told(steps) != []


def test_a_message_with_a_fact_is_at_most_noticed():
    talk = talk_of(notice=1, quiet=2, hush=3, on_stall="quiet")
    talk.chat("ann", "bob", messages=12)
    step = talk.say("ann", content=FACT)

    assert score(talk, "ann") > 3
    assert step.messages[0].wakes == ("bob",)
    assert "wakes nobody" not in str(step.notices)


# ---- quiet --------------------------------------------------------------------------------------


def test_from_6_on_free_text_is_stored_and_wakes_nobody():
    talk = talk_of()
    steps = talk.chat("ann", "bob", messages=AT_HUSH - 1)

    assert waking(steps) == [1, 2, 3, 4, 5, 6]
    assert told(steps) == [5, 6, 7, 8, 9]
    assert talk.room.last_seq == 9
    assert "Stored, but it wakes nobody" in steps[6].notices[0]


@pytest.mark.parametrize("type", ["note", "question", "answer", "chatter"])
def test_free_text_is_a_note_an_open_question_or_a_type_without_schema(type: str):
    talk = looping(AT_QUIET - 1)

    assert talk.say("ann", type, "ok", to=["bob"]).messages[0].wakes == ()


@pytest.mark.parametrize("type", ["report", "result", "told", "decision"])
def test_every_other_type_wakes_as_ever(type: str):
    talk = looping(AT_QUIET - 1)

    assert talk.say("ann", type, "ok", to=["bob"]).messages[0].wakes == ("bob",)


def test_a_notice_names_what_is_owed_and_only_an_end_that_the_role_can_bring():
    document = {
        "roles": {"guest": {"may": ["note", "answer"]}, "boss": {}},
        "terminal": [{"type": "decision", "by": "boss"}],
        "good": ["*"],
    }
    talk = Talk(document, ann="guest", bob="boss")
    talk.say("bob", "question", "ok", to=["ann"])
    steps = talk.chat("ann", "bob", messages=AT_QUIET)

    assert "#1" in steps[5].notices[0] + steps[6].notices[0]
    assert "decision" not in "".join(steps[6].notices + steps[4].notices)
    assert "decision" in steps[5].notices[0]


def test_what_is_not_held_leaves_a_sender_who_is_quiet_as_often_told_as_he_was():
    talk = looping(AT_QUIET)
    talk.say("ann", "result", "ok")
    talk.say("ann", content="ok")

    assert talk.member("ann").standing.notices == 2


# ---- hush ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", ["ann", "bob"])
def test_from_9_on_after_two_notices_free_text_is_refused(sender: str):
    talk = looping()
    before = talk.room
    with pytest.raises(Hushed, match="You were told; this note is not stored") as refused:
        talk.say(sender, content="ok")

    assert refused.value.code == "hushed"
    assert refused.value.advice.startswith("Send something with a fact (a number, file, link")
    assert refused.value.advice.endswith("or stop and tell your user.")
    assert refused.value.facts == {"score": 9.0, "dry": 10}
    assert talk.room == before


def test_nobody_is_hushed_before_two_notices():
    talk = talk_of(notice=1, quiet=1, hush=1)
    steps = talk.chat("ann", "bob", messages=11)
    with pytest.raises(Hushed):
        talk.say("bob", content="ok")

    assert HUSH_AFTER_NOTICES == 2
    assert [len(step.notices) for step in steps] == [0] + [1] * 10
    assert (talk.member("ann").standing.notices, talk.member("bob").standing.notices) == (2, 2)


def test_a_refused_message_counts_for_nothing():
    talk = looping()
    for _ in range(5):
        with pytest.raises(Hushed):
            talk.say("bob", content="ok")

    assert (score(talk, "bob"), talk.room.last_seq) == (7, 9)


@pytest.mark.parametrize("type", ["note", "question", "answer", "chatter"])
def test_only_free_text_is_refused(type: str):
    with pytest.raises(Hushed, match=f"this {type} is not stored"):
        looping().say("bob", type, "ok")


@pytest.mark.parametrize(
    ("type", "content"),
    [
        ("note", FACT),
        ("note", "https://a.example/build/118"),
        ("question", "Which branch holds the broken upload test, please?"),
        ("note", "def area(w, h):\n    return w * h"),
    ],
)
def test_a_fact_or_a_new_question_lets_one_through(type: str, content: str):
    talk = looping()
    step = talk.say("bob", type, content)

    assert step.messages[0].wakes == ("ann",)
    assert score(talk, "bob") < 4
    assert talk.say("ann", content="ok").messages


# ---- what is never held back --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("result", {}),
        ("decision", {}),
        ("report", {}),
        ("handoff", {"to": ["ann"]}),
        ("refuse", {}),
        ("told", {}),
        ("ack", {}),
        ("progress", {}),
        ("vote", {}),
        ("ping", {}),
    ],
)
def test_what_has_a_meaning_of_its_own_is_never_refused(type: str, fields: Any):
    talk = looping()

    assert talk.say("bob", type, "ok", **fields).messages[0].type == type


@pytest.mark.parametrize("rule", [{}, {"when": {"type": "object"}}], ids=["always", "when"])
def test_a_type_of_ones_own_passes_when_it_ends_the_room(rule: Any):
    talk = talk_of(document={"types": {}, "terminal": [{"type": "done", **rule}]})
    talk.chat("ann", "bob", messages=AT_HUSH - 1)
    talk.say("bob", "done", {"text": "ok"})

    assert talk.outcome == "done"


def test_a_type_that_could_end_the_room_and_does_not_is_free_text():
    talk = talk_of(document={"terminal": [{"type": "done", "when": {"type": "object"}}]})
    talk.chat("ann", "bob", messages=AT_HUSH - 1)
    with pytest.raises(Hushed, match="this done is not stored"):
        talk.say("bob", "done", "ok")


@pytest.mark.parametrize("reply", [{}, {"reply_to": 1}], ids=["newest", "replyTo"])
def test_an_answer_to_an_open_question_is_delivered(reply: Any):
    talk = talk_of()
    talk.say("ann", "question", "ok", to=["bob"])
    talk.chat("bob", "ann", messages=AT_HUSH - 2)
    step = talk.say("bob", "answer", "ok", **reply)

    assert step.messages[0].wakes == ("ann",)
    assert "Nothing was blocked" in "".join(step.notices) or step.notices == ()


def test_a_second_answer_to_it_is_not():
    talk = talk_of()
    talk.say("ann", "question", "ok", to=["bob"])
    talk.chat("bob", "ann", messages=AT_HUSH - 2)
    talk.say("bob", "answer", "ok")
    with pytest.raises(Hushed):
        talk.say("bob", "answer", "ok", reply_to=1)


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_people_are_never_held_back_even_under_a_looping_name(name: str):
    step = looping().say(name, content="ok", human=True)

    assert "ann" in step.messages[0].wakes
    assert step.notices == ()


def test_what_a_person_says_ends_every_loop():
    talk = looping()
    talk.say("ada", content="Go on.", human=True)
    scores = [score(talk, name) for name in ("ann", "bob", "ada")]
    steps = talk.chat("ann", "bob", messages=3)

    assert scores == [0, 0, 0]
    assert (told(steps), waking(steps)) == ([], [1, 2, 3])


@pytest.mark.parametrize("type", ["ack", "progress", "vote", "ping"])
def test_what_is_not_scored_is_answered_without_a_notice(type: str):
    talk = looping(AT_NOTICE)
    step = talk.say("bob", type, "ok")

    assert score(talk, "bob") >= 4
    assert step.notices == ()


def test_pausing_is_not_talking():
    talk = looping(3)
    talk.pause()
    talk.resume()
    talk.say("bob", content="ok")

    assert score(talk, "bob") == 3


def test_waiting_messages_never_hush_who_waits():
    talk = looping()

    assert [len(talk.say("bob", "heartbeat", "ok").messages) for _ in range(20)] == [1] * 20


# ---- others -------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["question", "request", "ask_all"])
def test_nobody_is_hushed_while_somebody_outside_the_loop_waits(type: str):
    talk = talk_of("ann", "bob", "cid")
    talk.say("cid", type, "Which of the workers has the newest upload logs?", to=["bob"])
    steps = talk.chat("ann", "bob", messages=25)

    assert score(talk, "ann") >= 9
    assert waking(steps[-9:]) == []


@pytest.mark.parametrize("asker", ["ann", "bob"])
def test_what_the_loop_itself_waits_for_spares_nobody(asker: str):
    talk = talk_of()
    talk.say(asker, "question", "ok", to=["ann", "bob"])
    talk.chat("bob", "ann", messages=AT_HUSH - 2)
    with pytest.raises(Hushed):
        talk.say("bob", content="ok")

    assert len(talk.room.expectations) == 1


def test_a_loop_of_two_stops_nobody_else():
    talk = talk_of("ann", "bob", "cid", "dan")
    for at in range(4):
        talk.chat("ann", "bob", messages=3)
        talk.say("cid", content=f"upload_{at * 37}.py:{at * 91} sleeps while it holds lock {at}")
        talk.say("dan", content=f"case {at * 53} of test_{at * 71}.ts fails, see build {at * 113}")
    with pytest.raises(Hushed):
        talk.chat("ann", "bob", messages=9)
    steps = talk.chat("cid", "dan", messages=2, content="ok")

    assert (told(steps), waking(steps)) == ([], [1, 2])


# ---- what a room may choose ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_stall", "wakes"),
    [("notice", list(range(1, 26))), ("quiet", [1, 2, 3, 4, 5, 6])],
)
def test_a_room_may_stop_at_a_notice_or_at_quiet(on_stall: str, wakes: list[int]):
    steps = talk_of(on_stall=on_stall).chat("ann", "bob", messages=25)

    assert waking(steps) == wakes
    assert len(told(steps)) == {"notice": 6, "quiet": 21}[on_stall]


def test_a_room_may_close_instead_of_refusing():
    talk = looping(on_stall="close")
    step = talk.say("bob", content="ok")
    closing = talk.room.closing

    assert [one.type for one in step.messages] == ["note", "room.closed"]
    assert closing
    assert (closing.outcome, closing.reason, closing.by) == ("stalled", "stalled", "room")
    assert (closing.seq, closing.conclusion) == (11, "The conversation went on without progress.")
    assert len(talk.messages) == 11


def test_a_stalled_room_does_not_close_as_a_spent_one():
    talk = talk_of(on_stall="close", document={"budget": {"messages": 99, "on_budget": "late"}})
    talk.chat("ann", "bob", messages=AT_HUSH)

    assert talk.outcome == "stalled"


def test_a_room_does_not_close_over_a_result_or_while_others_wait():
    talk = looping(on_stall="close")
    talk.say("bob", "result", "ok")
    busy = talk_of("ann", "bob", "cid", on_stall="close")
    busy.say("cid", "request", "Find the worker with the newest upload logs.", to=["bob"])
    busy.chat("ann", "bob", messages=25)

    assert (talk.outcome, busy.outcome) == ("", "")


def test_a_decision_in_a_stalled_room_is_its_end():
    talk = looping(on_stall="close")
    talk.say("bob", "decision", "ok")

    assert talk.reason == "terminal"


def test_thresholds_are_the_rooms_own():
    talk = talk_of(notice=2, quiet=3, hush=5)
    steps = talk.chat("ann", "bob", messages=6)
    with pytest.raises(Hushed):
        talk.say("ann", content="ok")

    assert (told(steps), waking(steps)) == ([3, 4, 5, 6], [1, 2, 3])


def test_exempt_types_are_not_scored_and_never_held_back():
    steps = talk_of(exempt_types=["note"]).chat("ann", "bob", messages=25)

    assert (told(steps), len(waking(steps))) == ([], 25)


def test_exempt_roles_are_not_scored_and_others_are():
    document = {"roles": {"bot": {}, "guest": {}}, "guard": {"exempt_roles": ["bot"]}}
    bots = Talk(document, ann="bot", bob="bot").chat("ann", "bob", messages=25)
    talk = Talk(document, ann="guest", bob="guest")
    with pytest.raises(Hushed):
        talk.chat("ann", "bob", messages=25)

    assert told(bots) == []


def test_without_a_guard_nothing_is_scored():
    talk = Talk({"guard": False}, ann=None, bob=None)
    steps = talk.chat("ann", "bob", messages=25)

    assert (told(steps), len(waking(steps)), score(talk, "ann")) == ([], 25, 0)


ROGER = "zork vale amice"


def test_words_of_the_room_count_as_courtesy():
    plain, ours = talk_of(), talk_of(words={"courtesy": ["zork"], "praise": ["vale amice"]})
    plain.say("ann", content=FACT)
    ours.say("ann", content=FACT)

    assert plain.say("bob", content=ROGER).room.must_be_member("bob").standing.score == 0
    assert ours.say("bob", content=ROGER).room.must_be_member("bob").standing.score > 0


def test_a_room_may_take_no_counter_for_a_fact():
    trusting, strict = talk_of("ann"), talk_of("ann", numbers="ignore", on_stall="notice")
    trusted = [trusting.say("ann", content=f"row {at}") for at in range(100, 130)]
    ignored = [strict.say("ann", content=f"row {at}") for at in range(100, 130)]

    assert told(trusted) == []
    assert told(ignored) != []


def test_a_guard_that_is_changed_applies_from_the_next_message_on():
    talk = looping()
    talk.adopt({"types": TYPES, "terminal": [{"type": "decision"}], "guard": {"hush": 12}})

    assert talk.say("bob", content="ok").messages[0].wakes == ()
    talk.adopt({"guard": False})
    assert talk.say("ann", content="ok").messages[0].wakes == ("bob",)


def test_a_guard_that_cannot_tell_holds_nothing_back():
    here = after(room("ann", "bob"), *[("ann", "note", {}), ("bob", "note", {})] * 20)

    assert here.last_seq == 40
    assert here.must_be_member("ann").standing.score == 0
