"""Invented talk of many kinds, in `loops/`: what loops is noticed, and what works is let be.

A line of a file is a conversation as `bench/talks.py` reads them:
`python -m bench.loops tests/rooms/loops` tells how well the guard does on all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from room_mcp.rooms.guard import Memory, Thresholds, features

LEVELS = Thresholds()
SLACK = 2  # messages before the label in which an alarm is right
TALKS: dict[str, dict[str, Any]] = {
    talk["id"]: talk
    for file in sorted(Path(__file__).with_name("loops").glob("*.jsonl"))
    for talk in map(json.loads, file.read_text(encoding="utf-8").splitlines())
}
LOOPS = [id for id, talk in TALKS.items() if talk["loop_start"] is not None]
WORK = [id for id in TALKS if id not in LOOPS]

# Ever new words without a list for them; budgets must catch these.
NOT_NOTICED = {"poetry/prose-poem", "praise/book-club"}
# A dozen reports and no result deserve a notice, and so does haggling in the same few words.
NOTICED = {
    "negotiation/trade-words",
    "status/bare-english",
    "status/monitor-cycles",
    "status/waiting-for-ci",
}


def scores(talk: dict[str, Any]) -> list[float]:
    memory = Memory()
    return [
        memory.take(features(line["content"]), line["sender"]).score for line in talk["messages"]
    ]


@pytest.mark.parametrize("id", [id for id in LOOPS if id not in NOT_NOTICED])
def test_a_loop_is_noticed_and_not_before_it_begins(id: str):
    start = max(0, TALKS[id]["loop_start"] - SLACK)

    heard = scores(TALKS[id])

    assert max(heard) >= LEVELS.notice
    assert max(heard[:start], default=0.0) < LEVELS.notice


@pytest.mark.parametrize("id", [id for id in WORK if id not in NOTICED])
def test_work_is_not_noticed(id: str):
    assert max(scores(TALKS[id])) < LEVELS.notice


@pytest.mark.parametrize("id", sorted(NOTICED))
def test_work_that_repeats_itself_is_noticed_at_most(id: str):
    assert max(scores(TALKS[id])) < LEVELS.quiet
