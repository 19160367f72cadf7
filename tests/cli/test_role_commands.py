"""Rooms with rules on the command line: opening one, joining it with a role, and its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_shell import Said, Shell

APPROVED = {"verdict": "approved", "summary": "Nothing left."}
SMALL = {
    "roles": {"asker": {"min": 1, "max": 1, "may": ["question", "solved"]}},
    "terminal": [{"type": "solved", "by": "asker"}],
}


@pytest.fixture
def small(tmp_path: Path) -> str:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SMALL))
    return str(file)


def served(shell: Shell) -> None:
    """From now on the commands go to a server of their rooms."""
    shell.env["ROOM_MCP_URL"] = shell.start("serve", "--port", "0").line()


# ---- create -------------------------------------------------------------------------------------


def test_a_room_is_made_from_a_template_and_its_creator_takes_a_role(shell: Shell):
    said = shell("create", "pr-12", "--template", "code-review", "--role", "author", "--as", "ann")

    assert said.code == 0
    assert said.lines[1:3] == ["Rules: code-review", 'You are ann, author, in "pr-12".']
    assert said.lines[-1] == 'Agents: join_room(room="pr-12"). People: room-mcp watch pr-12'
    assert shell("settings", "pr-12", "--json").json["roles"][0]["members"] == ["ann"]


def test_a_room_is_made_from_a_file_of_rules(shell: Shell, small: str):
    said = shell("create", "help", "--template", small)

    assert said.lines[1] == "Rules: small"
    assert shell("settings", "help", "--json").json["terminalTypes"] == ["solved"]


def test_a_room_may_differ_from_its_template_in_budget_and_guard(shell: Shell):
    shell(
        *("create", "pr-12", "--template", "code-review"),
        *("--budget", '{"messages":9}', "--guard", "off"),
    )

    info = shell("settings", "pr-12", "--json").json
    assert (info["budget"]["messages"], info["contract"]["guard"]["on"]) == (9, False)
    assert info["budget"]["idleS"] == 7200


def test_a_role_for_scripts_is_in_the_one_object_that_is_the_answer(shell: Shell):
    said = shell(
        *("create", "pr-12", "--template", "code-review"),
        *("--role", "author", "--as", "ann", "--json"),
    )

    assert (said.json["agentName"], said.json["role"]) == ("ann", "author")
    assert "Key" not in said.out


def test_a_room_that_is_open_keeps_its_rules_and_says_so(shell: Shell):
    shell.room("review")

    other = shell("create", "review", "--template", "code-review")
    same = shell("create", "review", "--template", "open")
    less = shell("create", "review", "--budget", '{"messages":1}')

    assert other.lines[1] == "Its rules stay: open. See room-mcp settings review"
    assert "rules" not in same.out
    assert less.lines[1] == other.lines[1]


def test_a_role_that_does_not_exist_is_refused_once_the_room_is_told(shell: Shell):
    said = shell("create", "pr-12", "--template", "code-review", "--role", "boss")

    assert said.code == 1
    assert said.lines[0].startswith('Room "pr-12" opened')
    assert said.err == "room-mcp: There is no role 'boss' here. Roles: author, reviewer.\n"


def test_an_unknown_template_opens_nothing_and_names_the_known_ones(shell: Shell):
    said = shell("create", "pr-12", "--template", "code-reviw")

    assert (said.code, said.out) == (1, "")
    assert "There is no template 'code-reviw'. Known templates: open, code-review" in said.err
    assert shell("rooms", "--json").json["rooms"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file or directory."),
        ("{", "It is not JSON"),
        ("[]", "it must be an object"),
        ('{"budget":{"mesages":3}}', "wrong at budget.mesages: it is not known here"),
    ],
)
def test_a_file_that_is_no_template_opens_nothing(
    shell: Shell, tmp_path: Path, text: str | None, told: str
):
    file = tmp_path / "broken.json"
    if text is not None:
        file.write_text(text)

    said = shell("create", "help", "--template", str(file))

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"room-mcp: {file}")
    assert told in said.err
    assert not (shell.home / "rooms.db").exists()


@pytest.mark.parametrize("command", ["create", "settings"])
@pytest.mark.parametrize("option", ["--budget", "--guard"])
@pytest.mark.parametrize("value", ["{x", "[1]", '{"a": NaN}', "often"])
def test_limits_that_are_no_json_object_are_wrong_use(
    shell: Shell, command: str, option: str, value: str
):
    said = shell(command, "review", option, value)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"room-mcp: {option} ")
    assert not (shell.home / "rooms.db").exists()


# ---- join ---------------------------------------------------------------------------------------


def test_who_joins_hears_the_role_what_it_may_send_and_what_ends_the_room(shell: Shell):
    shell.review(ann="author")

    said = shell("join", "pr-12", "--role", "reviewer", "--as", "rex")

    assert said.lines == [
        'You are rex, reviewer, in "pr-12".',
        "Your part: Wait for what is submitted, report issues that have to be mended, and give "
        "one verdict when nothing is left to say.",
        "You may send: review, review_complete (can end the room), question, answer, note, "
        "progress, heartbeat, ack, pass",
        "review_complete from reviewer ends the room once every reviewer has sent one; outcome: "
        "approved or rejected",
        "cancel from author ends the room; outcome: cancelled",
        "60 messages or 2 h of silence end the room; outcome: no_verdict",
        "Good outcomes: approved",
        "Here: ann (author)",
        "Speak: room-mcp send pr-12 TEXT --as rex",
    ]


def test_without_a_role_the_first_that_lacks_somebody_is_taken(shell: Shell):
    shell.review(ann="author")

    assert shell("join", "pr-12", "--as", "rex").lines[0] == 'You are rex, reviewer, in "pr-12".'


def test_an_open_room_has_no_roles_and_lets_everything_be_said(shell: Shell):
    shell.room("docs", "hello")

    said = shell("join", "docs", "--as", "bob")

    assert said.lines[:2] == [
        'You are bob in "docs".',
        "You may send: everything; review_complete or decision can end the room",
    ]
    assert said.lines[-3:] == [
        "Here: ann",
        "Read the 1 message so far: room-mcp history docs",
        "Speak: room-mcp send docs TEXT --as bob",
    ]


def test_a_person_joins_without_taking_a_role_and_may_say_everything(shell: Shell):
    shell.review(ann="author")

    said = shell.typed("join", "pr-12", "--human", "--as", "eve")

    assert said.code == 0
    assert said.lines[:2] == ['You are eve in "pr-12".', "You may send: everything"]
    members = shell("settings", "pr-12", "--json").json["members"]
    assert [(one["type"], one["role"]) for one in members] == [("agent", "author"), ("human", None)]


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("boss", "There is no role 'boss' here. Roles: author, reviewer."),
        ("author", "The role author is taken: 1 of 1. Join with another role: reviewer."),
    ],
)
def test_a_role_that_cannot_be_taken_is_refused_in_one_line(shell: Shell, role: str, told: str):
    shell.review(ann="author")

    said = shell("join", "pr-12", "--role", role, "--as", "rex")

    assert (said.code, said.out, said.err) == (1, "", f"room-mcp: {told}\n")


def test_whoever_speaks_without_a_role_is_told_the_command_that_gets_one(shell: Shell):
    shell.review()

    said = shell("send", "pr-12", "hi", "--as", "zoe")

    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("first: room-mcp join pr-12 --role author|reviewer\n")


def test_on_a_server_the_key_of_a_join_is_kept_and_never_shown(shell: Shell):
    served(shell)
    shell.review()

    joined = shell("join", "pr-12", "--role", "author", "--as", "ann", "--json")
    sent = shell.says("ann", "pr-12", "submit", ref="a branch", summary="It is ready.")
    again = shell("join", "pr-12", "--as", "ann")
    elsewhere = {"HOME": str(shell.home), "ROOM_MCP_HOME": str(shell.home / "other")}
    shell.env |= elsewhere
    other = shell("join", "pr-12", "--as", "ann")

    assert [joined.code, sent.code, again.code, other.code] == [0, 0, 0, 1]
    assert "Key" not in joined.out
    assert "agentSessionId" not in joined.out


def test_what_members_wrote_cannot_act_on_the_terminal_of_who_joins(shell: Shell):
    shell("create", "docs", "--purpose", "\x1b[2J\u202ewrite\nit", "--as", "ann")

    said = shell("join", "docs", "--as", "bob")

    assert said.lines[1] == r"Purpose: \x1b[2J\u202ewrite it"


# ---- sending ------------------------------------------------------------------------------------


def test_what_the_room_tells_a_sender_is_shown_to_him(shell: Shell):
    shell("create", "docs", "--budget", '{"messages":4}')
    shell("send", "docs", "one", "--as", "ann")
    before = shell("send", "docs", "two", "--as", "ann")

    said = shell("send", "docs", "three", "--as", "ann")

    assert "Notice" not in before.out
    assert said.lines[1].startswith("Notice: Budget: the room has 1 of 4 messages left.")


# ---- close and reopen ---------------------------------------------------------------------------


def test_a_room_that_ends_by_roles_is_closed_by_people_alone(shell: Shell):
    shell.review(ann="author")

    refused = shell("close", "pr-12", "--as", "ann")
    closed = shell.typed("close", "pr-12", "No longer needed", "--human")

    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "ends by review_complete from reviewer or cancel from author." in refused.err
    assert "say --human, at a terminal" in refused.err
    assert (closed.code, closed.err) == (0, "")
    assert shell("history", "pr-12").lines[0] == "Closed: No longer needed"


def test_a_person_lets_a_closed_room_go_on(shell: Shell):
    shell.room("docs")
    shell.says("ann", "docs", "decision", outcome="go")

    opened = shell.typed("reopen", "docs", "--human", "--as", "ann")
    again = shell.typed("reopen", "docs", "--human")

    assert (opened.code, opened.lines) == (0, ['"docs" is open again, with its budget anew.'])
    assert again.lines == ['"docs" is open already.']
    assert shell("send", "docs", "on we go", "--as", "ann").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("reopen", "docs"), "Only people reopen rooms;"),
        (("reopen", "docs", "--human"), "the input is no terminal. Ask your user."),
        (("join", "docs", "--human"), "the input is no terminal. Leave it out."),
        (("close", "docs", "--human"), "the input is no terminal. Leave it out."),
    ],
)
def test_a_program_is_no_person(shell: Shell, words: tuple[str, ...], told: str):
    shell.room("docs")

    said = shell(*words)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


# ---- settings -----------------------------------------------------------------------------------


def settings_of(shell: Shell) -> Said:
    """Of a review in which one of two reviewers has given a verdict, and one was asked."""
    shell.review(ann="author", rex="reviewer", kim="reviewer")
    shell.says("rex", "pr-12", "review_complete", **APPROVED)
    shell(
        "send",
        "pr-12",
        "Is the expiry checked anywhere in it?",
        "--type",
        "question",
        "--to",
        "kim",
        "--as",
        "ann",
    )
    return shell("settings", "pr-12")


def test_the_settings_show_limits_roles_verdicts_and_what_is_open(shell: Shell):
    said = settings_of(shell)

    assert said.lines[:4] == [
        '"pr-12" · open · 2 messages',
        "Rules: code-review",
        "Budget: 58 of 60 messages left; at most 8 review, 8 revise; "
        "then 2 messages in reserve that can end the room",
        "Budget of each member: 30 messages; at most 3 note",
    ]
    assert said.lines[4].startswith("Time: 2 h of silence; closes by itself at ")
    assert said.lines[5:] == [
        "Guard: notice from score 4, quiet from 6, hush from 9; the strongest is hush",
        "Role author (1): ann",
        "Role reviewer (1 to 3): rex and kim",
        "Member ann: 1 message, 29 left, score 0",
        "Member rex: 1 message, 29 left, score 0",
        "Member kim: 0 messages, 30 left, score 0",
        "Verdict: approved, review_complete #1 of rex",
        "Open: #2 question of ann, answer expected from kim",
    ]


def test_a_room_without_limits_says_so(shell: Shell):
    shell.room("docs")

    lines = shell("settings", "docs").lines

    assert lines[2:4] == ["Budget: no limit", "Time: no limit"]


def test_limits_and_thresholds_change_and_the_rest_stays(shell: Shell):
    shell.review(ann="author")

    said = shell("settings", "pr-12", "--budget", '{"messages":80}', "--guard", '{"hush":11}')

    assert said.code == 0
    assert said.lines[1] == "Changed. Now:"
    assert "80 of 80 messages left; at most 8 review" in said.out
    assert "Guard: notice from score 4, quiet from 6, hush from 11" in said.out


def test_the_guard_is_switched_off_and_on_with_its_thresholds_kept(shell: Shell):
    shell("create", "docs", "--guard", '{"hush":11,"numbers":"ignore"}')

    off = shell("settings", "docs", "--guard", "off")
    on = shell("settings", "docs", "--guard", "on")

    assert "Guard: off" in off.lines
    assert "Guard: notice from score 4, quiet from 6, hush from 11; the strongest is hush" in on.out


def test_only_the_owner_changes_the_settings_of_a_room_on_a_server(shell: Shell):
    served(shell)
    shell("create", "docs", "--as", "ann")

    refused = shell("settings", "docs", "--guard", "off", "--as", "bob")
    changed = shell("settings", "docs", "--guard", "off", "--as", "ann")

    assert (refused.code, changed.code) == (1, 0)
    assert refused.err.startswith("room-mcp: Only the owner of this room may do this.")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--budget", '{"mesages":1}', "wrong at budget.mesages: it is not known here"),
        ("--guard", '{"hush":2}', "the thresholds must rise"),
    ],
)
def test_limits_that_cannot_be_are_refused_with_their_place(
    shell: Shell, option: str, value: str, told: str
):
    shell.room("docs")

    said = shell("settings", "docs", option, value)

    assert (said.code, said.out) == (1, "")
    assert told in said.err
