"""What the guard sees in a message, whom it names, and what it never does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from room_mcp.rooms.guard import (
    EXEMPT,
    Features,
    Level,
    Memory,
    Thresholds,
    Verdict,
    features,
    lexicon,
    reasons,
)

THANKS = [
    "Thank you so much!",
    "You're welcome, anytime!",
    "Perfect, thanks again!",
    "My pleasure, take care!",
    "Great, have a nice day!",
    "You too, goodbye!",
]
CAROL = [f"upload_{at}.py:{at * 7} sleeps while it holds lock {at}" for at in range(100, 140)]
DAVE = [f"case {at * 3} of test_{at}.ts fails, see build {at * 11}" for at in range(200, 240)]


def in_turns(memory: Memory, *speakers: tuple[str, list[str]], rounds: int) -> list[Verdict]:
    """What the guard said while the speakers took turns, each going through its lines."""
    return [
        memory.take(features(lines[at % len(lines)]), name)
        for at in range(rounds)
        for name, lines in speakers
    ]


def looped(memory: Memory) -> list[Verdict]:
    return in_turns(memory, ("alice", THANKS), ("bob", THANKS[1:]), rounds=4)


# ---- features -----------------------------------------------------------------------------------


def test_facts_are_found_in_any_dress():
    found = features("See https://a.example/x, src/app.py and 9fe31c2: 12 of 40 rows, PR-88")

    assert len(found.links) == 3
    assert {12, 40} <= {number for number, _ in found.numbers}
    assert len(found.numbers) >= 3


@pytest.mark.parametrize(
    "text", ["and/or", "e.g. this", "well... maybe", "24/7", "(yes, of course)", "1. first"]
)
def test_ordinary_writing_is_no_link_and_no_code(text: str):
    found = features(text)

    assert found.links == ()
    assert found.code == ()


def test_the_marks_of_a_list_are_no_numbers():
    assert features("1. first\n2. second\n3) third").numbers == ()


def test_a_counter_has_one_slot():
    (_, slot), (_, next_slot) = features("message 9").numbers + features("message 10").numbers

    assert slot == next_slot


def test_of_two_numbers_in_one_place_each_has_a_slot():
    numbers = features("turn 9/40").numbers
    later = features("turn 10/40").numbers

    assert len({slot for _, slot in numbers}) == 2
    assert [slot for _, slot in later] == [slot for _, slot in numbers]


def test_an_id_in_small_letters_is_more_than_its_number():
    assert len(features("Pawn from e2 to e4, then d2 to d4").numbers) == 4


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("That was the last row, wasn't it?", False),
        ("We think alike, don't you agree?", False),
        ("Das reicht, oder?", False),
        ("That was the last row, wasn't it? Which file is next?", True),
        ("After lunch, which file?", True),
        ("Is it?", True),
        ("哪个文件？", True),
    ],
)
def test_a_tag_is_no_question(text: str, asks: bool):
    assert features(text).asks is asks


@pytest.mark.parametrize(
    ("text", "is_mark"),
    [
        ("###STOP###", True),
        ("<TASK_DONE>", True),
        ("TERMINATE", True),
        ("ACK", False),
        ("# TODO rename the column", False),
    ],
)
def test_a_lone_sign_to_a_program_is_a_mark(text: str, is_mark: bool):
    assert features(text).is_mark is is_mark


def test_code_lines_are_told_from_prose():
    found = features("I changed it:\n    if (a[i] > b) { swap(a, b); }\nas you said.")

    assert len(found.code) == 1


def test_equal_words_in_another_form_are_equal():
    assert features("  Grün ") == features("Gru\u0308n")


def test_what_stands_behind_8000_characters_is_not_read():
    text = "word. " * 1_333 + "22"

    assert features(text + " https://a.example") == features(text)


def test_half_a_surrogate_pair_is_passed_over():
    assert features("thanks \ud83d").content == features("thanks").content


def test_scripts_without_spaces_are_read_in_pairs_of_characters():
    assert len(features("数据库连接").content) == 4
    assert len(features("ขอบคุณ").content) >= 4


def test_a_lexicon_of_ones_own_replaces_the_words():
    own = lexicon(["zork"], ["vale amice"], stop=["the"])

    assert features("Zork. Vale amice!", own).density == 1.0
    assert features("thank you", own).density == 0.0


def test_features_of_another_version_are_not_read():
    kept = json.loads(features("hello").to_json())

    assert Features.from_json(json.dumps([kept[0] + 1, *kept[1:]])) is None


# ---- what is scored -----------------------------------------------------------------------------


def test_the_first_message_of_a_room_is_no_reason_for_anything():
    verdict = Memory().take(features("Thank you, goodbye!"), "alice")

    assert verdict.score == 0
    assert reasons(verdict) == ""


def test_a_human_ends_every_score():
    memory = Memory()
    before = looped(memory)[-1]

    verdict = memory.take(features("thanks"), "carla", human=True)
    after = memory.take(features("Use port 8443 in compose.yml"), "alice")

    assert before.score >= 4
    assert verdict.score == 0
    assert after.score == 0


@pytest.mark.parametrize("type", sorted(EXEMPT))
def test_exempt_types_are_not_scored(type: str):
    memory = Memory()
    for _ in range(30):
        verdict = memory.take(features("still building, thank you"), "ci", type=type)

        assert verdict.score == 0
        assert not verdict.scored


def test_a_fact_in_an_exempt_type_is_progress():
    memory = Memory()
    before = looped(memory)[-1]

    memory.take(features("Approved: commit 4be77a1, build 118"), "bob", type="decision")

    assert memory.judge(features("Thanks!"), "alice").score < before.score / 2


def test_which_types_are_exempt_is_the_rooms_choice():
    memory = Memory(exempt={"chatter"})
    memory.take(features("Hello"), "alice")

    assert not memory.take(features("Thanks!"), "bob", type="chatter").scored
    assert memory.take(features("Thanks!"), "bob", type="ack").scored


def test_a_number_that_counts_up_can_be_ignored():
    trusting, strict = Memory(), Memory(numbers="ignore")
    texts = [f"row {number}" for number in range(100, 140)]

    trusted = [trusting.take(features(text), "alice") for text in texts][-1]
    ignored = [strict.take(features(text), "alice") for text in texts][-1]

    assert trusted.fact
    assert not ignored.fact
    assert trusted.score < 4 <= ignored.score


def test_polite_work_in_steps_is_no_counter():
    memory = Memory()
    texts = [f"Thank you, {number} of 900 rows are done" for number in range(40, 900, 40)]

    scores = [memory.take(features(text), "alice").score for text in texts]

    assert max(scores) < 4


# ---- judging before taking ----------------------------------------------------------------------


def called(act: Callable[[], object]) -> set[str]:
    """The names of all functions that ran meanwhile."""
    names = set[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        names.add(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return names


def test_who_has_judged_a_message_does_not_judge_it_again_to_take_it():
    memory = Memory()
    memory.take(features("Please look at src/a.py"), "bob")
    thanks, again = features("Thank you!"), features("Thank you!")

    memory.judge(thanks, "alice")

    assert "signals_of" not in called(lambda: memory.take(again, "alice"))
    assert "signals_of" in called(lambda: memory.take(again, "alice"))


@pytest.mark.parametrize(
    "other",
    [
        {"sender": "bob"},
        {"type": "ack"},
        {"human": True},
        {"of": features("See build 118 in src/b.py")},
    ],
)
def test_a_judgement_about_something_else_is_not_taken(other: dict[str, object]):
    about = {"of": features("Thank you!"), "sender": "alice"}
    memory, fresh = Memory(), Memory()
    for one in (memory, fresh):
        one.take(features("Please look at src/a.py"), "bob")

    memory.judge(**{**about, **other})  # type: ignore[arg-type]

    assert memory.take(**about) == fresh.take(**about)  # type: ignore[arg-type]
    assert memory.snapshot() == fresh.snapshot()


# ---- busy rooms ---------------------------------------------------------------------------------


BUSY = (("alice", THANKS), ("bob", CAROL), ("carol", THANKS[1:]), ("dave", DAVE))


def test_a_looping_pair_is_named_in_a_busy_room():
    verdicts = in_turns(Memory(), *BUSY, rounds=6)

    worst = max(verdicts, key=lambda verdict: verdict.score)
    assert worst.score >= 4
    assert {worst.sender, worst.partner} == {"alice", "carol"}


def test_who_only_thanks_is_found_though_the_others_bring_news_all_the_time():
    verdicts = in_turns(Memory(), *BUSY, rounds=5)

    assert max(one.score for one in verdicts) >= 4


def test_those_who_work_beside_a_loop_are_let_be():
    verdicts = in_turns(Memory(), *BUSY, rounds=12)

    assert max(one.score for one in verdicts if one.sender in ("bob", "dave")) < 4


def test_what_they_are_called_makes_no_difference():
    others = zip(("zoe", "ann", "mia", "bea"), BUSY, strict=True)
    renamed = [(name, lines) for name, (_, lines) in others]

    scores = [one.score for one in in_turns(Memory(), *BUSY, rounds=12)]

    assert [one.score for one in in_turns(Memory(), *renamed, rounds=12)] == scores


WORKERS = [(f"worker {name}", [f"{name}{at}.py done" for at in range(30)]) for name in "xyz"]


def test_who_acknowledges_the_work_of_others_loops_with_nobody():
    verdicts = in_turns(Memory(), *WORKERS, ("lead", ["ack", "noted, thanks"]), rounds=30)

    assert max(one.score for one in verdicts) < 4


def test_two_who_acknowledge_the_work_of_others_are_never_hushed():
    leads = (("lead", ["ack", "noted, thanks"]), ("chief", ["thanks!", "ok, great"]))

    verdicts = in_turns(Memory(), *WORKERS, *leads, rounds=30)

    assert max(one.score for one in verdicts) < 9


def test_who_thanks_twice_does_not_pay_for_somebody_elses_loop():
    memory = Memory()
    in_turns(memory, WORKERS[0], ("lead", ["ack", "noted, thanks"]), rounds=20)

    verdicts = in_turns(memory, WORKERS[1], ("aide", ["thanks!", "ok, great"]), rounds=2)

    assert max(one.score for one in verdicts) < 6


def test_three_who_thank_each_other_are_found():
    trio = (("alice", THANKS), ("bob", THANKS[2:]), ("carol", THANKS[4:]))

    verdicts = in_turns(Memory(), *trio, rounds=6)

    assert {one.sender for one in verdicts[:12] if one.score >= 4} == {"alice", "bob", "carol"}


# ---- verdicts -----------------------------------------------------------------------------------


def test_reasons_say_since_when_with_whom_and_why():
    memory = Memory()
    memory.take(features("Please rename the column in orders.sql to paid_at"), "alice")

    verdict = looped(memory)[5]

    assert reasons(verdict) == (
        "No progress for 6 messages between you and alice: no new number, file, link or question "
        "(courtesy 1.0)."
    )


def test_every_level_begins_at_its_score():
    levels = Thresholds()

    assert [levels.level(score) for score in (3.9, 4, 5.9, 6, 8.9, 9, 12)] == [
        Level.OBSERVE,
        Level.NOTICE,
        Level.NOTICE,
        Level.QUIET,
        Level.QUIET,
        Level.HUSH,
        Level.HUSH,
    ]


def test_a_fact_brings_a_sender_down_at_once():
    memory = Memory()
    before = looped(memory)[-1]

    after = memory.take(features("orders.sql:14 still says created_at"), "alice")

    assert after.fact
    assert after.score <= before.score * 0.6


def test_a_snapshot_of_another_version_is_not_read():
    kept = Memory().snapshot()

    assert Memory.restore({**kept, "version": kept["version"] + 1}) is None
