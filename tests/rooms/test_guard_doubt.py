"""Talk of which the guard cannot be sure: it gives notice, but hushes nobody for it."""

from __future__ import annotations

from room_mcp.rooms.guard import Memory, Verdict, features

THANKS = [
    "Thank you so much!",
    "You're welcome, anytime!",
    "Perfect, thanks again!",
    "My pleasure, take care!",
    "Great, have a nice day!",
    "You too, goodbye!",
]


def in_turns(memory: Memory, *speakers: tuple[str, list[str]], rounds: int) -> list[Verdict]:
    """What the guard said while the speakers took turns, each going through its lines."""
    return [
        memory.take(features(lines[at % len(lines)]), name)
        for at in range(rounds)
        for name, lines in speakers
    ]


def highest(*speakers: tuple[str, list[str]], rounds: int = 40) -> float:
    return max(one.score for one in in_turns(Memory(), *speakers, rounds=rounds))


def test_reports_that_work_is_under_way_bring_a_notice_at_most():
    score = highest(("ci", ["still compiling"]), ("watch", ["still compiling"]))

    assert 4 <= score < 6


def test_reports_of_many_add_up_to_a_notice_at_most():
    fleet = [(f"worker {name}", ["heartbeat ok", "still running"]) for name in "xyz"]

    assert highest(*fleet) < 6


def test_nobody_is_hushed_while_work_is_under_way():
    assert highest(("ci", ["still compiling"]), ("lead", ["ok, thanks!"])) < 9


def test_asking_and_answering_in_few_words_brings_a_notice_at_most_in_any_language():
    assert highest(("vartija", ["Valmista?", "Entä nyt?"]), ("kone", ["Vielä hetki"])) < 6


def test_short_answers_to_long_questions_are_no_loop():
    memory = Memory()
    questions = [
        "Would the address of a customer keep its place when two clerks sort the list at once?",
        "May somebody cancel an invoice while the nightly export still holds the ledger open?",
        "Should discounts that ran out on Sunday vanish from carts which were filled before?",
        "Does anybody object if thumbnails are drawn by the browser and no longer by our server?",
        "Can we promise the bank that no signature leaves the building without a second look?",
        "Is there harm in asking new members for their birthday before they have seen a price?",
    ]

    scores = [
        memory.take(features(text), name).score
        for question in questions
        for name, text in (("alice", question), ("bob", "No."))
    ]

    assert max(scores) < 1


def test_questions_in_verse_are_no_polls():
    calls = ["Whose radiant ocean?", "Whose infinite song?", "What sings?"]
    answers = ["Ours, dear star.", "The eternal ocean.", "Infinite song."]

    assert highest(("left", calls), ("right", answers), rounds=8) > 8


def test_lines_that_nobody_answers_bring_a_notice_at_most():
    assert highest(("buoy", ["Wind from the west, calm sea, nothing in sight of the pier"])) < 6


def test_lines_about_a_file_bring_a_notice_at_most():
    lines = ["CLAIM web/cart.ts", "RELEASE web/cart.ts"]

    assert highest(("ann", lines), ("ben", lines)) < 6


def test_a_counter_in_it_does_not_make_a_repeat_new_nor_a_reason_to_hush():
    memory = Memory()
    texts = [
        f"Round {at}: the harbour sleeps, the gulls are gone, the nets hang dry and nobody sails."
        for at in range(3, 40)
    ]

    scores = [memory.take(features(text), "ab"[at % 2]).score for at, text in enumerate(texts)]

    assert 6 <= max(scores) < 9


def test_praise_in_ever_new_words_is_noticed_and_nobody_hushed_for_it():
    memory = Memory()
    texts = [
        f"Your n{at}x radiant v{at}y words, dear friend, are a w{at}z wonder of k{at}q tenderness."
        for at in map("{:b}".format, range(64, 104))
    ]
    texts = [text.replace("0", "o").replace("1", "i") for text in texts]

    scores = [memory.take(features(text), "ab"[at % 2]).score for at, text in enumerate(texts)]

    assert 6 <= max(scores) < 9


def test_a_question_in_praise_does_not_end_it():
    memory = Memory()
    texts = [
        f"How wonderful, dear friend, what a radiant {noun} of joy! Is {noun} not a gift of wonder?"
        for noun in ("lantern", "orchard", "violin", "harbour", "meadow", "candle", "sparrow")
    ]

    verdicts = [memory.take(features(text), "ab"[at % 2]) for at, text in enumerate(texts)]

    assert not any(verdict.asks for verdict in verdicts)
    assert verdicts[-1].score > verdicts[4].score


def test_the_first_thanks_for_news_count_less():
    memory = Memory()
    memory.take(features("Which limit applies to uploads from the mobile app?"), "alice")
    memory.take(features("uploads.toml: 250 MB"), "bob")

    first = memory.take(features("Perfect, thank you so much!"), "alice").score
    second = memory.take(features("You're very welcome, take care!"), "bob").score

    assert first < 0.5 < second - first


def test_a_lone_stop_is_taken_at_its_word_unless_the_room_loops_already():
    calm, looping = Memory(), Memory()
    in_turns(calm, ("alice", THANKS), ("bob", THANKS[1:]), rounds=2)
    in_turns(looping, ("alice", THANKS), ("bob", THANKS[1:]), rounds=5)

    assert calm.take(features("###STOP###"), "alice").unprogress == 0
    assert looping.take(features("###STOP###"), "alice").unprogress > 0
