"""What `room-mcp demo politeness` shows: the same two agents in three rooms, checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def shown(home: Path, **env: str) -> str:
    """What a run prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_MCP_")}
    done = subprocess.run(
        [sys.executable, "-m", "room_mcp", "demo", "politeness"],
        env={**kept, "ROOM_MCP_HOME": str(home), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> str:
    return shown(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def rounds(played: str) -> list[str]:
    """The three rounds and the table, folded lines made whole."""
    first, rest = played.split("\n2. ")
    second, third = rest.split("\n3. ")
    third, table = third.split("\nMessages stored")
    return [one.replace("\n      ", " ") for one in (first, second, third, table)]


def numbers(round: str) -> list[str]:
    """The numbers of the messages that were stored in a round."""
    return [line.split()[0] for line in round.splitlines() if line.startswith("#")]


def test_a_room_without_rules_ends_only_because_the_demo_does(rounds: list[str]):
    without_rules = rounds[0]

    assert numbers(without_rules) == [f"#{seq}" for seq in range(1, 21)]
    assert "wakes nobody" not in without_rules
    assert "refused" not in without_rules
    assert "When    at #20, because this demo stops there" in without_rules
    assert "no rule ends it; #20 has woken ada once more, and the room is open" in without_rules
    assert "Wasted  18 of 20 messages\n" in without_rules


def test_compliments_in_a_code_review_end_with_the_budget_for_notes(rounds: list[str]):
    assert "ben: That's a great point! I love how you put it.  (refused: budget_spent)" in rounds[1]
    assert "All 3 messages of type note that ben has are spent." in rounds[1]


def test_a_verdict_closes_the_code_review_and_whoever_thanks_is_told_to_stop(rounds: list[str]):
    review = rounds[1]

    *_, verdict, closing = [line for line in review.splitlines() if line.startswith("#")]
    assert verdict.startswith('#9 ben [review_complete]: {"verdict": "approved", "issues": []}')
    assert closing == "#10 room [room.closed]: approved by ben"
    assert review.count("(refused: room_closed)") == 2
    assert "This room is closed: approved, by ben (#9). It is over: send nothing more" in review
    assert "When    at #9, by ben's verdict" in review


def test_the_guard_of_an_open_room_notices_then_wakes_nobody_then_refuses(rounds: list[str]):
    guarded = rounds[2]

    assert guarded.index("Nothing was blocked.") < guarded.index("Stored, but it wakes nobody")
    assert guarded.index("fall silent here") < guarded.index("(refused: hushed)")
    assert guarded.count("(refused: hushed)") == 6
    assert "no new number, file, link or question (courtesy 1.0). You were told" in guarded
    assert "notice at #7, quiet at #9, hushed at #12" in guarded


def test_a_verdict_ends_the_room_in_which_courtesies_are_refused(rounds: list[str]):
    guarded = rounds[2]

    assert guarded.index("(refused: hushed)") < guarded.index("#12 ben [review_complete]")
    assert "#13 room [room.closed]: approved by ben" in guarded
    assert guarded.count("(refused: room_closed)") == 1


def test_the_table_says_how_many_messages_were_stored_and_what_ended_each_room(rounds: list[str]):
    rows = [line.split()[:5] for line in rounds[3].splitlines()[3:]]

    assert rows == [
        ["no-rules", "20", "18", "this", "demo"],
        ["code-review", "10", "5", "ben,", "#9"],
        ["open", "13", "9", "ben,", "#12"],
    ]


def test_it_says_the_same_every_time_and_touches_no_room_of_the_user(played: str, tmp_path: Path):
    home = tmp_path / "home"

    assert shown(home, ROOM_MCP_URL="http://127.0.0.1:1", ROOM_MCP_AGENT="eve") == played
    assert not home.exists()
