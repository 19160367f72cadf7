"""The command that holds the guard against labelled conversations: `python -m bench.loops`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Talk = dict[str, Any]


def talk(id: str, *texts: str, loop: int | None = None) -> Talk:
    """A conversation of two, who take turns."""
    messages = [{"sender": "ab"[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"id": id, "messages": messages, "loop_start": loop, "loop_end": None}


THANKS = ["Thank you!", "You're welcome!", "Thanks again!", "My pleasure!", "Goodbye!", "Bye!"]
WORK = [f"upload_{at}.py:{at * 7} sleeps while it holds lock {at}" for at in range(12)]

LOOPING = talk("x/loop", "Rename orders.sql", "Done in 3f9a1c2", *THANKS, *THANKS, loop=2)
WORKING = talk("y/work", *WORK)
PARROTS = talk("y/parrots", "Rename orders.sql", *["Who is a pretty bird then"] * 9, loop=1)


def held(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.loops", str(path), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def written(path: Path, *talks: Talk) -> Path:
    path.write_text("\n".join(map(json.dumps, talks)) + "\n", encoding="utf-8")
    return path


def rows(printed: str) -> dict[str, list[str]]:
    """The figures of each row by its name, the first of a name."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        found.setdefault(line[:24].strip(), line[24:].split())
    return found


def test_it_prints_how_well_the_guard_and_the_baselines_do(tmp_path: Path):
    file = written(tmp_path / "two.jsonl", LOOPING, WORKING, PARROTS)

    shown = rows(held(file, "--quick").stdout)

    # Precision, recall, F1, tp, fp, fn, tn, false alarms per 1,000, delay, premature closes.
    assert " ".join(shown["guard, S >= 5"]) == "1.00 1.00 1.00 2 0 0 1 0.0 5 0"
    assert shown["guard, S >= 9"][3:7] == ["1", "0", "1", "1"]
    assert " ".join(shown["max turns, 10"]) == "0.67 1.00 0.80 2 1 0 0 66.7 7.5 1"
    assert shown["exact repeat, 3x"][3:7] == ["1", "0", "1", "1"]
    assert shown["text mention, farewell"][3:7] == ["1", "0", "1", "1"]


def test_an_alarm_before_the_loop_is_false_and_the_loop_missed(tmp_path: Path):
    late = talk("x/late", "Rename orders.sql", "Done in 3f9a1c2", *THANKS * 3, loop=17)
    file = written(tmp_path / "late.jsonl", late)

    shown = rows(held(file, "--quick").stdout)

    assert shown["guard, S >= 5"][3:7] == ["0", "1", "1", "0"]
    assert shown["guard, S >= 5"][-1] == "1"  # and 9 was reached before the loop, too


def test_sources_are_told_apart_and_each_is_left_out_in_turn(tmp_path: Path):
    written(tmp_path / "one.jsonl", LOOPING)
    written(tmp_path / "other.jsonl", WORKING, PARROTS)

    printed = held(tmp_path, "--quick").stdout
    _, _, left_out = printed.partition("one source left out")

    assert rows(printed)["x (1)"][3:7] == ["1", "0", "0", "0"]
    assert rows(printed)["y (2)"][3:7] == ["1", "0", "0", "1"]
    assert [name.split(",")[0] for name in rows(left_out)][2:5] == ["x", "y", "guard"]
    assert "max turns, all" in rows(left_out)


def test_a_setting_is_chosen_on_the_other_sources_only(tmp_path: Path):
    brief = talk("x/brief", "Rename orders.sql", "Done in 3f9a1c2", *THANKS[:5], loop=2)
    polite = talk("y/polite", *WORK[:4], *THANKS[:4])
    file = written(tmp_path / "both.jsonl", brief, polite, {**brief, "id": "y/brief"})

    _, _, left_out = held(file, "--quick").stdout.partition("one source left out")

    # On x alone 3 does best; y shows that mere politeness reaches it.
    assert "y, S >= 3 " in left_out
    assert "x, S >= 3 " not in left_out


def test_one_source_alone_has_nothing_to_choose_from(tmp_path: Path):
    printed = held(written(tmp_path / "one.jsonl", LOOPING), "--quick").stdout

    assert "only one source" in printed


def test_times_are_told_for_features_and_fold_apart(tmp_path: Path):
    printed = held(written(tmp_path / "one.jsonl", LOOPING)).stdout

    for name in ("features:", "take:", "judge, take:"):
        (line,) = [line for line in printed.splitlines() if line.startswith(name)]
        assert all(word in line for word in ("median", "p99", "worst"))
    assert "slowest hostile inputs" in printed


def test_only_messages_are_required(tmp_path: Path):
    bare = {"messages": LOOPING["messages"]}
    file = tmp_path / "bare.jsonl"
    file.write_text("\n\n" + json.dumps(bare) + "\n\n", encoding="utf-8")

    done = held(file, "--quick")

    assert done.returncode == 0
    assert "1 conversations, 0 of them loop" in done.stdout


def test_the_type_of_a_message_is_heeded(tmp_path: Path):
    messages = [{**message, "type": "heartbeat"} for message in LOOPING["messages"]]
    file = written(tmp_path / "typed.jsonl", {**LOOPING, "messages": messages})

    assert rows(held(file, "--quick").stdout)["guard, S >= 4"][3] == "0"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "line 2: Expecting property name"),
        ("[]", "line 2: a conversation is an object, not a list"),
        ("{}", "line 2: messages must be a list with something in it, not missing or null"),
        ('{"messages": []}', "messages must be a list with something in it"),
        ('{"messages": ["hello"]}', "messages[0] must be an object, not text"),
        ('{"messages": [{"sender": "a"}]}', "messages[0].content must be text, not missing"),
        ('{"messages": [{"sender": 3, "content": ""}]}', "messages[0].sender must be text, not 3"),
        (json.dumps({**WORKING, "loop_start": 12}), "loop_start must be null or from 0 to 11"),
        (json.dumps({**WORKING, "loop_start": True}), "loop_start must be null or from 0 to 11"),
        (json.dumps({**WORKING, "loop_end": 3}), "loop_end stands without loop_start"),
        (json.dumps({**LOOPING, "loop_end": 1}), "loop_end 1 lies before loop_start 2"),
        (json.dumps({**WORKING, "id": 7}), "id must be text, not 7"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(tmp_path: Path, line: str, wrong: str):
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(WORKING) + "\n" + line + "\n", encoding="utf-8")

    done = held(tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("bad.jsonl, line 2: ")
    assert wrong in done.stderr


def test_a_folder_without_conversations_is_named(tmp_path: Path):
    done = held(tmp_path)

    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
