"""`room-mcp templates`: what there is, what one says, and what is wrong in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell

INCIDENT: dict[str, Any] = {
    "about": "Find the cause of an outage.",
    "roles": {
        "lead": {"min": 1, "max": 1, "who": ["ann", "human"], "may": ["alarm", "note", "done"]},
        "helper": {"may": ["note", "vote"]},
    },
    "types": {
        "alarm": {"body": {"type": "object", "required": ["broken"]}, "example": {"broken": "x"}},
        "vote": {
            "body": {
                "type": "object",
                "required": ["cause"],
                "properties": {"cause": {"enum": ["disk", "network"]}},
            }
        },
    },
    "terminal": [
        {
            "type": "done",
            "by": "lead",
            "need": "no_open_work",
            "outcome_from": "how",
            "when": {"required": ["how"]},
        },
        {"type": "vote", "by": "helper", "need": "majority_of_role", "outcome_from": "cause"},
    ],
    "good": ["*"],
    "bad": ["disk"],
    "budget": {"messages": 30, "bytes": 9000, "lifetime_s": 90, "per_member": 5},
    "guard": False,
}


@pytest.fixture
def own(shell: Shell) -> Path:
    """The folder of one's own templates."""
    folder = shell.home / "templates"
    folder.mkdir(parents=True)
    return folder


def written(folder: Path, name: str, document: Any) -> str:
    file = folder / f"{name}.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(file)


# ---- list and show ------------------------------------------------------------------------------


def test_every_template_stands_in_the_list_with_its_sentence(shell: Shell):
    said = shell("templates")

    assert said.code == 0
    assert [line.split(":")[0] for line in said.lines[:5]] == [
        *("open", "code-review", "handoff", "decision", "task-queue"),
    ]
    assert said.lines[0].startswith("open: Everybody may say everything;")
    assert said.lines[5] == f"Your own belong into {shell.home}/templates, a JSON file each."


def test_own_templates_stand_behind_and_broken_files_at_the_end(shell: Shell, own: Path):
    written(own, "incident", INCIDENT)
    written(own, "broken", '{"good": 3}')

    said = shell("templates")

    assert said.lines[5] == "incident (own): Find the cause of an outage."
    assert said.lines[6].startswith("Not usable: broken: The contract is wrong at good:")
    assert len(said.lines) == 7


def test_the_list_for_scripts_is_in_the_words_of_the_wire(shell: Shell, own: Path):
    written(own, "incident", INCIDENT)

    found = shell("templates", "--json").json

    assert [one["builtIn"] for one in found["templates"]] == [True] * 5 + [False]
    assert found["problems"] == []


@pytest.mark.parametrize("name", ["open", "code-review", "handoff", "decision", "task-queue"])
def test_what_is_shown_of_a_template_can_be_changed_and_used(
    shell: Shell, tmp_path: Path, name: str
):
    shown = shell("templates", "show", name)
    file = written(tmp_path, "mine", shown.out)

    assert shown.out.startswith('{\n  "name": ')
    assert shown.json["name"] == name
    assert shell("templates", "check", file).code == 0
    assert shell("create", "room", "--template", file).code == 0


def test_what_is_shown_cannot_act_on_the_terminal(shell: Shell, own: Path):
    body = {"const": "\x9b2J\u202eüber"}
    written(own, "mine", {"types": {"odd": {"body": body, "example": body["const"]}}})

    said = shell("templates", "show", "mine")

    assert said.out.isascii()
    assert said.json["types"]["odd"]["body"] == body


def test_a_template_that_is_not_there_is_wrong_use_and_a_broken_one_says_why(
    shell: Shell, own: Path
):
    written(own, "broken", '{"good": 3}')

    unknown = shell("templates", "show", "incidnt")
    broken = shell("templates", "show", "broken")

    assert (unknown.code, unknown.out) == (2, "")
    assert "There is no template 'incidnt'. Known templates: open, code-review" in unknown.err
    assert (broken.code, broken.out) == (1, "")
    assert "The template broken: The contract is wrong at good" in broken.err


# ---- check --------------------------------------------------------------------------------------


def test_a_check_says_what_a_template_means(shell: Shell, tmp_path: Path):
    file = written(tmp_path, "incident", INCIDENT)

    said = shell("templates", "check", file)

    assert said.code == 0
    assert said.lines == [
        f"{file} is the template incident: Find the cause of an outage.",
        "Role lead (1, for ann or human) may send: alarm, note, done (can end the room)",
        "Role helper (any number) may send: note, vote (can end the room)",
        "done from lead with a body that fits ends the room as soon as no work is open; "
        'outcome: what its "how" says, else done',
        "vote from helper ends the room once more than half of all helpers say the same; "
        "outcome: disk or network",
        "30 messages, 9000 bytes or 90 s end the room; outcome: budget_spent, expired or idle",
        "Good outcomes: all that a message gives but disk",
        "Budget: 30 messages; 9000 bytes",
        "Budget of each member: 5 messages",
        "Guard: off",
        'Body of alarm: {"broken": "x"}',
        'Body of vote: {"cause": "disk"}',
    ]


def test_an_empty_template_has_no_end(shell: Shell, tmp_path: Path):
    said = shell("templates", "check", written(tmp_path, "empty", {}))

    assert said.lines[1:3] == [
        "No roles: everybody may send everything.",
        "Nothing ends the room but people and its owner.",
    ]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('{"roles": {"a": {"min": 2, "max": 1}}}', "at roles.a.max: it must not be less than min"),
        ('{"terminal": [{"type": "x", "by": "boss"}]}', "at terminal[0].by: there is no role"),
        ('{"colour": 1}', "at colour: it is not known here"),
        ('{"good": [NaN]}', "it must be JSON"),
        ("", "It is not JSON"),
        ("[" * 100_000, "It is not JSON"),
        ("[]", "it must be an object"),
    ],
)
def test_a_check_fails_with_the_place_and_the_reason(
    shell: Shell, tmp_path: Path, document: str, told: str
):
    file = written(tmp_path, "mine", document)

    said = shell("templates", "check", file)

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"room-mcp: {file}: ")
    assert told in said.err
    assert "templates check" not in said.err


def test_a_file_that_cannot_be_read_is_no_template(shell: Shell, tmp_path: Path):
    missing = shell("templates", "check", str(tmp_path / "missing.json"))
    folder = shell("templates", "check", str(tmp_path))
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")

    assert [missing.code, folder.code, shell("templates", "check", str(binary)).code] == [1, 1, 1]
    assert missing.err.endswith("missing.json cannot be read: No such file or directory.\n")
    assert folder.err.endswith("cannot be read: Is a directory.\n")


def test_a_file_cannot_have_the_name_of_a_template_that_comes_with_us(shell: Shell, tmp_path: Path):
    said = shell("templates", "check", written(tmp_path, "open", INCIDENT))

    assert said.code == 1
    assert said.err.endswith("'open' is the name of a built-in template. Rename the file.\n")


def test_a_check_for_scripts_is_one_object_in_either_case(shell: Shell, tmp_path: Path):
    good = shell("templates", "check", written(tmp_path, "incident", INCIDENT), "--json")
    bad = shell("templates", "--json", "check", written(tmp_path, "bad", {"good": 3}))

    assert (good.code, good.json["ok"], good.json["name"]) == (0, True, "incident")
    assert good.json["roles"]["lead"]["may"] == ["alarm", "note", "done"]
    assert good.json["examples"] == {"alarm": {"broken": "x"}, "vote": {"cause": "disk"}}
    assert (bad.code, bad.json["ok"]) == (1, False)
    assert "wrong at good" in bad.json["error"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("check",), "the following arguments are required: FILE"),
        (("show",), "the following arguments are required: NAME"),
        (("burn", "open"), "invalid choice: 'burn'"),
        (("show", "a", "b"), "unrecognized arguments: b"),
    ],
)
def test_what_templates_cannot_do_is_wrong_use(shell: Shell, words: tuple[str, ...], told: str):
    said = shell("templates", *words)

    assert (said.code, said.out) == (2, "")
    assert told in said.err
