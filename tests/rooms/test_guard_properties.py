"""What holds for any talk: judging changes nothing, and equal talk gives equal scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import room_mcp
from room_mcp.rooms.guard import MAX_SCORE, Features, Memory, features
from room_mcp.rooms.guard.recall import Recall

PIECES = st.sampled_from(
    [
        "thank you",
        "You're welcome!",
        "谢谢",
        "ありがとう",
        "🙏",
        "see src/app.py:14",
        "def f(a): return [a]\n",
        "row 12 of 40",
        "https://a.example/b",
        "what about the retry budget of uploads?",
        "beautiful, truly wonderful",
        "\n",
        "3:45",
        "   ",
        "still compiling",
        "done?",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=6).map(" ".join), st.text(max_size=80))
MESSAGES = st.tuples(
    TEXTS,
    st.sampled_from(["alice", "bob", "carol", "dave"]),
    st.sampled_from(["note", "note", "note", "ack", "decision"]),
    st.sampled_from([False] * 9 + [True]),
)
TALKS = st.lists(MESSAGES, max_size=30)
Talk = list[tuple[str, str, str, bool]]


def told(talk: Talk) -> Memory:
    memory = Memory()
    for text, sender, type, human in talk:
        memory.take(features(text), sender, type=type, human=human)
    return memory


@given(TALKS, MESSAGES)
def test_judging_changes_nothing_and_tells_what_taking_will(
    talk: Talk, last: tuple[str, str, str, bool]
):
    memory = told(talk)
    before = json.dumps(memory.snapshot())
    text, sender, type, human = last

    verdict = memory.judge(features(text), sender, type=type, human=human)

    assert json.dumps(memory.snapshot()) == before
    assert memory.take(features(text), sender, type=type, human=human) == verdict


ASKED = [("what about the retry budget of uploads?", "alice", "note", False)]
ANSWERED = [("thank you", "bob", "note", False)]
LONG_ASKED = [
    (
        "may the retry budget of uploads grow while the nightly import of invoices still runs?",
        "alice",
        "note",
        False,
    )
]


THANKED: Talk = [("thank you", "abba"[at % 4], "note", False) for at in range(9)]
REPORTED: Talk = [*THANKED, ("still compiling", "bob", "note", False)]
POLLED: Talk = [
    ("done?" if at % 2 else "wait a bit", "ab"[at % 2], "note", False) for at in range(6)
]


@given(TALKS, TALKS)
@example(ASKED, ANSWERED)
@example(LONG_ASKED, [("no", "bob", "note", False)])
@example(REPORTED, ANSWERED)
@example(POLLED, [("wait a bit", "a", "note", False)])
def test_a_restored_memory_goes_on_as_the_first(talk: Talk, rest: Talk):
    first = told(talk)
    second = Memory.restore(json.loads(json.dumps(first.snapshot())))

    assert second is not None
    for text, sender, type, human in rest:
        mine = first.take(features(text), sender, type=type, human=human)
        assert second.take(features(text), sender, type=type, human=human) == mine
    assert second.snapshot() == first.snapshot()


@given(TALKS)
def test_scores_stay_in_their_bounds(talk: Talk):
    memory = Memory()
    for text, sender, type, human in talk:
        verdict = memory.take(features(text), sender, type=type, human=human)

        assert 0 <= verdict.score <= MAX_SCORE
        assert 0 <= verdict.own <= MAX_SCORE
        assert all(0 <= signal <= 1 for signal in verdict.signals)


@given(TEXTS)
def test_features_survive_json(text: str):
    made = features(text)

    assert Features.from_json(made.to_json()) == made


@given(st.lists(st.lists(st.integers(0, 60), max_size=12, unique=True), max_size=40))
def test_recall_forgets_only_what_it_must(messages: list[list[int]]):
    recall = Recall(20)
    met: list[int] = []
    for numbers in messages:
        recall.meet(numbers)
        met += numbers

        assert len(recall) <= 20
        assert all(number in recall for number in met[-10:])
        assert recall.new_in(numbers[-10:]) == 0


SCORES = """
import sys
from room_mcp.rooms.guard import Memory, features
memory = Memory()
texts = ["Please look at src/a.py", "Thank you, wonderful!", "谢谢", "row 12", "ok", "ok", "🙏"]
for at in range(60):
    made = features(texts[at * at % 7] + " " + texts[at % 5])
    print(made.to_json(), memory.take(made, "abcde"[at * 3 % 5]))
"""


def printed(hash_seed: str) -> str:
    source = Path(room_mcp.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", SCORES],
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": str(source),
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def test_every_process_scores_alike():
    assert printed("1") == printed("2") == printed("77")


HOSTILE = ["-", "a-", "/", "1.", "1 ", "A1", "🙏", "a", ".", "a.", "'", "[", "{(", "a=(b);\n"]
HOSTILE += ["\u0301\u0323", "的", "ก", "\\a", "a@b.c/", "thank you ", "deadbeef1", "1:", "?"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_is_read_to_its_bound_and_no_further(piece: str):
    text = piece * 20_000

    assert features(text) == features(text[:8_000])


def test_a_message_full_of_facts_makes_bounded_features():
    text = " ".join(f"{number} a{number:x}.py f(a=[{number}])\n" for number in range(8_000))
    words = " ".join(map(chr, range(0x4E00, 0x4E00 + 4_000)))

    made = features(text)

    assert len(made.numbers) <= 256
    assert len(made.links) == 256
    assert len(made.code) <= 512
    assert features(words).words == 2_000
    assert len(made.to_json()) < 16 * 1_024
    assert len(features(words).to_json()) < 16 * 1_024


def test_a_memory_stays_bounded_whatever_is_said():
    memory = Memory()
    for at in range(90):
        text = " ".join(f"n{at:x}x{word:x}.py w{at:x}v{word:x}q" for word in range(400))
        memory.take(features(text), f"sender {at}")

    assert memory.size_bytes < 3_000_000
    assert len(json.dumps(memory.snapshot())) < 200 * 1_024


FILLS: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "few words": [("Please look at the harbour", f"sender {at}") for at in range(20)],
    # So many that the table of the words has just grown.
    "many words": [
        (" ".join(f"w{at:x}v{word:x}q" for word in range(400)), "a") for at in range(14)
    ],
    "many facts": [
        (" ".join(f"n{at:x}x{one:x}.py {at * 9_000 + one * 7}" for one in range(200)), "a")
        for at in range(30)
    ],
    "many senders": [("thanks", f"{at:05}" + "é中" * 29) for at in range(700)],
}


@pytest.mark.parametrize("fill", FILLS)
def test_the_size_of_a_memory_is_estimated_from_above(fill: str):
    talk = [(features(text), sender.encode()) for text, sender in FILLS[fill]]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    memory = Memory()
    for made, sender in talk:
        # As when read from a database: nothing of it is anybody else's.
        memory.take(Features.from_json(made.to_json()) or made, sender.decode())
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert taken <= memory.size_bytes <= 2 * taken + 10_000
