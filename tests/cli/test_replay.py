"""`room-mcp replay`: what rules would have made of a conversation that took place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell

POLITE = ("Absolutely! Ready when you are.", "Perfect. Whenever you're ready!")


def past(tmp_path: Path, *messages: Any) -> str:
    """A file with a line for each message."""
    file = tmp_path / "past.jsonl"
    lines = [one if isinstance(one, str) else json.dumps(one) for one in messages]
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


def said_by(sender: str, content: Any = "See parser.py:88.", **fields: Any) -> dict[str, Any]:
    return {"sender": sender, "content": content, **fields}


def polite(count: int) -> list[dict[str, Any]]:
    """Ann and bob take turns at being ready."""
    return [said_by(("ann", "bob")[turn % 2], POLITE[turn % 2]) for turn in range(count)]


def rules(tmp_path: Path, **sections: Any) -> str:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"terminal": [{"type": "decision"}], **sections}))
    return str(file)


# ---- what is told -------------------------------------------------------------------------------


def test_a_polite_loop_is_noticed_made_quiet_and_refused(shell: Shell, tmp_path: Path):
    said = shell("replay", past(tmp_path, *polite(12)), "--template", "open")

    kinds = [line.split(":")[1].split(",")[0].strip() for line in said.lines[:-1]]
    assert said.code == 0
    assert kinds == [*["notice"] * 2, *["quiet"] * 3, *["refused (hushed)"] * 3]
    assert said.lines[0].startswith("#5 ann: notice, score 4: No progress for 5 messages")
    assert said.lines[-1] == (
        "12 messages of 2 members: 9 kept, 3 refused; highest score 9; not ended."
    )


def test_where_the_room_would_have_ended_and_what_came_too_late(shell: Shell, tmp_path: Path):
    file = past(
        tmp_path,
        said_by("ann", type="question"),
        said_by("bob", {"outcome": "go", "summary": "We\ngo."}, type="decision"),
        said_by("ann", "Wonderful!"),
        said_by("bob", "Thanks!"),
    )

    said = shell("replay", file, "--template", rules(tmp_path, good=["decision"]))

    assert said.lines == [
        "#2 bob [decision] ends the room: decision (good), by bob with #2: We go.",
        "After that 2 messages would have been refused.",
        "4 messages of 2 members: 2 kept, 0 refused, 2 after the end; highest score 0; "
        "ended: decision.",
    ]


def test_the_message_that_decides_need_not_be_the_last(shell: Shell, tmp_path: Path):
    file = past(
        tmp_path,
        said_by("ann", {"ref": "x", "summary": "Done."}, type="submit"),
        said_by("rex", {"verdict": "approved"}, type="review_complete"),
        said_by("kim", "Let me see."),
        said_by("kim", {"verdict": "rejected"}, type="review_complete"),
        said_by("rex", {"verdict": "approved"}, type="review_complete"),
    )
    kim = ("--role", "kim=reviewer")

    alone = shell("replay", file, "--template", "code-review", *kim)
    file = past(
        tmp_path,
        said_by("ann", {"ref": "x", "summary": "Done."}, type="submit"),
        said_by("kim", "Let me see."),
        said_by("rex", {"verdict": "rejected"}, type="review_complete"),
        said_by("kim", {"verdict": "approved"}, type="review_complete"),
    )
    both = shell("replay", file, "--template", "code-review", *kim)

    assert alone.lines[0] == (
        "#2 rex [review_complete] ends the room: approved (good), by rex with #2"
    )
    assert both.lines[0] == (
        "#4 kim [review_complete] ends the room: rejected (not good), by rex with #3"
    )


def test_a_refusal_is_told_with_its_code_and_sentence(shell: Shell, tmp_path: Path):
    file = past(
        tmp_path,
        said_by("ann", {"ref": "x"}, type="submit"),
        said_by("rex"),
        said_by("zoe"),
    )
    parts = ("--role", "ann=author", "--role", "rex=author")

    said = shell("replay", file, "--template", "code-review", *parts)

    assert said.lines == [
        "#1 ann [submit]: refused (contract_violation): "
        "The body of this submit is wrong: summary is missing.",
        "#2 rex: refused (role_taken): The role author is taken: 1 of 1.",
        "3 messages of 3 members: 1 kept, 2 refused; highest score 0; not ended.",
    ]


def test_members_take_the_role_that_is_given_else_the_one_that_is_needed(
    shell: Shell, tmp_path: Path
):
    file = past(tmp_path, said_by("Ann"), said_by("bob", type="cancel"))

    usual = shell("replay", file, "--template", "code-review")
    given = shell("replay", file, "--template", "code-review", "--role", "ANN=reviewer")

    assert usual.lines[0] == (
        "#2 bob [cancel]: refused (role_may_not): As reviewer you may not send cancel."
    )
    assert given.lines[0].startswith("#2 bob [cancel] ends the room: cancelled (not good)")
    assert "After that" not in given.out


def test_a_budget_is_told_and_ends_the_room(shell: Shell, tmp_path: Path):
    file = past(tmp_path, *(said_by("ann", f"File {n}.py:{n} is read.") for n in range(8)))
    template = rules(tmp_path, terminal=[], budget={"messages": 4, "on_budget": "unfinished"})

    said = shell("replay", file, "--template", template)

    assert said.lines == [
        "#3 ann: budget: the room has 1 of 4 messages left. Come to the end.",
        "#4 ann ends the room: unfinished (not good), by itself (budget): "
        "The budget of this room is spent.",
        "After that 4 messages would have been refused.",
        "8 messages of 1 member: 4 kept, 0 refused, 4 after the end; highest score 0; "
        "ended: unfinished.",
    ]


# ---- time ---------------------------------------------------------------------------------------


def test_a_silence_ends_the_room_before_the_message_that_breaks_it(shell: Shell, tmp_path: Path):
    file = past(
        tmp_path,
        said_by("ann", timestamp="2026-01-01T12:00:00.000Z"),
        said_by("bob", timestamp="2026-01-01T12:09:59+00:00"),
        said_by("ann", timestamp="2026-01-01T14:20:00+02:00"),
        said_by("bob", timestamp="2026-01-01T12:31"),
        said_by("ann"),
    )

    said = shell("replay", file, "--template", rules(tmp_path, budget={"idle_s": 630}))

    assert said.lines[:2] == [
        "Before #4 bob the room ends: idle (not good), by itself (idle): "
        "Nobody has spoken for too long.",
        "After that 2 messages would have been refused.",
    ]


def test_messages_without_times_come_a_minute_apart(shell: Shell, tmp_path: Path):
    file = past(tmp_path, *(said_by("ann", f"See part{n}.py:{n}") for n in range(9)))

    said = shell("replay", file, "--template", rules(tmp_path, budget={"lifetime_s": 240}))

    assert said.lines[1].startswith("Before #5 ann the room ends: expired (not good)")


def test_time_never_runs_backwards(shell: Shell, tmp_path: Path):
    times = ("12:00", "13:00", "12:01")
    file = past(
        tmp_path,
        *(said_by("ann", f"See {at}.py", timestamp=f"2026-01-01T{at}Z") for at in times),
        said_by("ann"),
    )

    said = shell("replay", file, "--template", rules(tmp_path, budget={"lifetime_s": 3630}))

    assert said.lines[1].startswith("Before #4 ann the room ends: expired")


# ---- what a file may hold -----------------------------------------------------------------------


def test_an_export_is_replayed_under_its_own_numbers(shell: Shell, tmp_path: Path):
    shell.room("docs", "one", "two")
    shell("send", "docs", "Done.", "--type", "decision", "--as", "ann")
    file = str(tmp_path / "docs.jsonl")
    shell("export", "docs", "--format", "jsonl", "-o", file)

    said = shell("replay", file, "--template", "open")

    assert said.lines[0] == "#3 ann [decision] ends the room: decided (good), by ann with #3: Done."
    assert said.lines[1] == "Left out: 1 message of the room itself, or erased."
    assert "3 messages of 1 member: 3 kept" in said.lines[2]


def test_a_reply_finds_its_message_however_the_numbers_have_moved(shell: Shell, tmp_path: Path):
    asked = said_by("ann", "Which file?", type="question", to="bob", seq=14)
    file = past(
        tmp_path,
        said_by("bob", "x", type="boast", seq=7),
        {"sender": "room", "senderType": "system", "type": "room.paused", "content": {}, "seq": 9},
        said_by("bob", "To nothing.", type="answer", replyTo=7, seq=11),
        asked,
        said_by("bob", type="answer", replyTo=14, seq=20),
        said_by("ann", "Done.", type="done", seq=21),
    )
    template = rules(
        tmp_path,
        types={"boast": {"body": {"const": "y"}}, "job": {"expects": "answer"}},
        terminal=[{"type": "done"}],
    )

    told = shell("replay", file, "--template", template, "--json").json["conversations"][0]

    assert [(one["seq"], one["code"]) for one in told["events"]] == [(7, "contract_violation")]
    assert (told["end"]["seq"], told["kept"], told["skipped"]) == (21, 4, 1)


def test_an_answer_to_what_was_refused_answers_nothing(shell: Shell, tmp_path: Path):
    work = {"expects": "result", "body": {"const": "y"}}
    ends = [{"type": "done", "need": "no_open_work"}]
    template = rules(tmp_path, types={"job": work}, terminal=ends)
    good = said_by("ann", "y", type="job")
    bad = said_by("ann", "n", type="job")
    rest = [said_by("bob", type="result", replyTo=2), said_by("ann", type="done")]

    answered = shell("replay", past(tmp_path, bad, good, *rest), "--template", template)
    dropped = shell("replay", past(tmp_path, good, bad, *rest), "--template", template)

    assert "#4 ann [done] ends the room" in answered.out
    assert "not ended" not in dropped.out


def test_a_person_speaks_without_a_role_and_resets_the_guard(shell: Shell, tmp_path: Path):
    loop = polite(8)
    file = past(tmp_path, *loop, said_by("eve", "Go on.", senderType="human"), *loop[:3])

    said = shell("replay", file, "--template", "code-review", "--role", "bob=reviewer", "--json")

    events = said.json["conversations"][0]["events"]
    assert [one["seq"] for one in events if one["sender"] == "eve"] == []
    assert max(one["score"] or 0 for one in events if one["seq"] > 9) == 0


def test_a_person_takes_a_role_that_is_for_people(shell: Shell, tmp_path: Path):
    file = past(tmp_path, said_by("eve", senderType="human"), said_by("bob"))
    roles = {"judge": {"who": "human"}, "other": {}}
    template = rules(tmp_path, roles=roles)

    person = shell("replay", file, "--template", template, "--role", "eve=judge")
    agent = shell("replay", file, "--template", template, "--role", "bob=judge")

    assert "2 kept, 0 refused" in person.out
    assert "#2 bob: refused (role_taken): The role judge is for human." in agent.out


def test_a_line_may_hold_a_whole_conversation(shell: Shell, tmp_path: Path):
    whole = {"id": "evil\x1b[2J\nLine 9", "messages": polite(6)}
    file = past(tmp_path, whole, {"messages": [said_by("ann", type="decision"), said_by("bob")]})

    said = shell("replay", file, "--template", "open")

    assert said.lines[0] == r"Line 1, evil\x1b[2J Line 9"
    assert said.lines[1].startswith("#5 ann: notice, score 4:")
    assert said.lines[4] == "Line 2"
    assert said.lines[-1] == (
        "Together 2 conversations with 8 messages: 7 kept, 0 refused; "
        "1 ended, and in 1 the guard spoke."
    )


def test_the_input_may_be_the_file(shell: Shell):
    said = shell("replay", "-", "--template", "open", stdin=json.dumps(said_by("ann")))
    bad = shell("replay", "-", "--template", "open", stdin="{")

    assert said.lines == ["1 message of 1 member: 1 kept, 0 refused; highest score 0; not ended."]
    assert bad.err.startswith("room-mcp: the input, line 1: it is not JSON")


def test_an_erased_message_is_left_out(shell: Shell, tmp_path: Path):
    file = past(tmp_path, said_by("ann", None), said_by("bob"))

    said = shell("replay", file, "--template", "open")

    assert said.lines[0] == "Left out: 1 message of the room itself, or erased."


def test_what_was_said_cannot_act_on_the_terminal(shell: Shell, tmp_path: Path):
    file = past(tmp_path, said_by("ann", "\x1b[2J\u202ewe go\n#9 bob: no", type="decision"))

    said = shell("replay", file, "--template", "open")

    assert said.lines[0].endswith(r"by ann with #1: \x1b[2J\u202ewe go #9 bob: no")


def test_a_replay_for_scripts_is_one_object(shell: Shell, tmp_path: Path):
    file = past(tmp_path, *polite(5), said_by("ann", {"outcome": "go"}, type="decision"))

    told = shell("replay", file, "--template", "open", "--json").json

    one = told["conversations"][0]
    assert told["template"] == "open"
    assert (one["messages"], one["kept"], one["highestScore"]) == (6, 6, 4.0)
    assert [one["events"][0][name] for name in ("seq", "kind", "score")] == [5, "notice", 4.0]
    assert one["end"] == {
        "seq": 6,
        "beforeIt": False,
        "outcome": "go",
        "good": one["end"]["good"],
        "by": "ann",
        "bySeq": 6,
        "reason": "terminal",
        "conclusion": "",
    }


# ---- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: it is not JSON"),
        ("[1]", "line 2: it must be an object."),
        ('{"content":"hi"}', "line 2: The sender is missing."),
        ('{"sender":"ann"}', "line 2: content is wrong: Field required."),
        ('{"sender":"ann","content":3}', "line 2: content is wrong: "),
        ('{"sender":"\\n","content":"x"}', "line 2: The name holds characters that a name may"),
        ('{"sender":"human","content":"x"}', "line 2: The name 'human' is reserved."),
        ('{"sender":"ann","content":"x","type":"a b"}', "line 2: A type is one word"),
        ('{"sender":"ann","content":"x","timestamp":"noon"}', "line 2: timestamp must be as in"),
        ('{"sender":"ann","content":"x","timestamp":12}', "line 2: timestamp must be as in"),
        ('{"sender":"ann","content":"x","seq":1}', "line 2: seq must be a number above those"),
        ('{"sender":"ann","content":"x","replyTo":"one"}', "line 2: replyTo is wrong: "),
        ('{"messages":{}}', "line 2: messages must be a list."),
        ('{"messages":[{"sender":"ann","content":"x"},7]}', "line 2, messages[1]: it must be an"),
    ],
)
def test_a_bad_line_is_told_with_its_place(shell: Shell, tmp_path: Path, line: str, told: str):
    file = past(tmp_path, said_by("ann"), line)

    said = shell("replay", file, "--template", "open")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"room-mcp: {file}, {told}")


def test_a_file_without_messages_cannot_be_replayed(shell: Shell, tmp_path: Path):
    empty = shell("replay", past(tmp_path), "--template", "open")
    missing = shell("replay", str(tmp_path / "missing"), "--template", "open")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    binary = shell("replay", str(tmp_path / "binary"), "--template", "open")

    assert [empty.code, missing.code, binary.code] == [1, 1, 1]
    assert empty.err.endswith("past.jsonl holds no messages.\n")
    assert missing.err.endswith("missing cannot be read: No such file or directory.\n")
    assert binary.err.endswith("binary is not UTF-8.\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--template", "nothing"), "There is no template 'nothing'. Known templates: open"),
        (("--template", "code-review", "--role", "ann=boss"), "code-review has no role 'boss'."),
        (("--template", "open", "--role", "ann=author"), "open has no role 'author'."),
        (("--template", "code-review", "--role", "kim=author"), "Nobody called 'kim' speaks in"),
        (("--template", "code-review", "--role", "ann"), "'ann' is no NAME=ROLE"),
        ((), "--template"),
    ],
)
def test_rules_and_roles_that_are_not_there_are_wrong_use(
    shell: Shell, tmp_path: Path, words: tuple[str, ...], told: str
):
    said = shell("replay", past(tmp_path, said_by("ann")), *words)

    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_a_template_of_ones_own_is_replayed_by_name_or_file(shell: Shell, tmp_path: Path):
    (shell.home / "templates").mkdir(parents=True)
    (shell.home / "templates" / "mine.json").write_text('{"terminal":[{"type":"bye"}]}')
    file = past(tmp_path, said_by("ann", type="bye"))

    named = shell("replay", file, "--template", "mine")
    in_file = shell("replay", file, "--template", rules(tmp_path))
    missing = shell("replay", file, "--template", "./mine.json")

    assert "ends the room: bye" in named.out
    assert "not ended" in in_file.out
    assert (missing.code, missing.err.count("\n")) == (1, 1)
