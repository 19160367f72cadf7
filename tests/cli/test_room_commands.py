"""The commands that read and write rooms, through `main`, on a store of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_shell import Shell

OTHER_ROOM = "00000000-0000-4000-8000-000000000000"


# ---- create, send, history ------------------------------------------------------------------


def test_a_room_is_opened_and_says_its_id(shell: Shell):
    said = shell("create", "review", "--purpose", "PR 12")

    assert said.code == 0
    assert re.fullmatch(r'Room "review" opened: [0-9a-f-]{36}', said.lines[0])


def test_an_open_room_of_that_name_is_used_again(shell: Shell):
    id = shell.room("review", "hello")

    again = shell("create", "review")

    assert again.lines[0] == f'Room "review" is open already, with 1 message: {id}'
    assert len(shell("rooms", "--json").json["rooms"]) == 1


def test_what_was_sent_stands_in_the_history(shell: Shell):
    shell.room("review")

    sent = shell("send", "review", "Is it ready?", "--type", "question", "--to", "bob", "--as", "x")
    read = shell("history", "review")

    assert sent.lines[0] == 'Sent #1 [question] to bob in "review".'
    assert read.lines[0] == '"review" · open · 1 message'
    assert re.fullmatch(r"#1 \d\d:\d\d x → bob \[question\]: Is it ready\?", read.lines[1])


def test_options_may_stand_between_the_room_and_the_text(shell: Shell):
    shell.room("review")

    assert shell("send", "review", "--type", "decision", "go", "--as", "ann").code == 0
    assert shell("history", "review", "--json").json["messages"][0]["content"] == "go"


@pytest.mark.parametrize("words", [(), ("-",)])
def test_a_text_may_be_piped_in(shell: Shell, words: tuple[str, ...]):
    shell.room("review")

    shell("send", "review", *words, stdin="two\nlines\n")

    assert shell("history", "review", "--json").json["messages"][0]["content"] == "two\nlines"


def test_a_body_is_sent_as_an_object(shell: Shell):
    shell.room("review")

    shell("send", "review", "--body", '{"ref": "PR 12"}', "--type", "submit")

    message = shell("history", "review", "--json").json["messages"][0]
    assert (message["type"], message["content"]) == ("submit", {"ref": "PR 12"})


def test_a_reply_names_what_it_replies_to_with_or_without_the_sign(shell: Shell):
    shell.room("review", "one", "two")

    shell("send", "review", "three", "--reply-to", "#1")
    shell("send", "review", "four", "--reply-to", "2")

    messages = shell("history", "review", "--json").json["messages"]
    assert [one["replyTo"] for one in messages] == [None, None, 1, 2]


def test_who_sends_is_told_what_he_missed(shell: Shell):
    shell.room("review")
    shell("send", "review", "I am here", "--as", "bob")
    shell("send", "review", "read this", "--as", "ann")

    said = shell("send", "review", "done", "--as", "bob")

    assert said.lines[0] == "Before it you missed 1:"
    assert said.lines[1].endswith("ann: read this")


def test_the_speaker_is_the_name_given_else_the_setting_else_the_user(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOGNAME", "Ünsal (admin)")
    shell.room("review")

    shell("send", "review", "as the user")
    shell.env["ROOM_MCP_AGENT"] = "codex"
    shell("send", "review", "as the setting")
    shell("send", "review", "as given", "--as", "claude")

    messages = shell("history", "review", "--json").json["messages"]
    assert [one["sender"] for one in messages] == ["Ünsal-admin", "codex", "claude"]


def test_history_shows_the_newest_and_how_to_see_the_rest(shell: Shell):
    shell.room("review", "one", "two", "three")

    newest = shell("history", "review", "--limit", "2")
    oldest = shell("history", "review", "--limit", "2", "--after", "0")
    before = shell("history", "review", "--before", "2")

    assert [line[:2] for line in newest.lines[1:3]] == ["#2", "#3"]
    assert newest.lines[3] == "Older ones: room-mcp history review --before 2"
    assert oldest.lines[3] == "More follow: room-mcp history review --after 2"
    assert [line[:2] for line in before.lines[1:]] == ["#1"]


def test_what_others_wrote_cannot_act_on_the_terminal(shell: Shell):
    shell.room("review", "\x1b[2J\u202eevil\n#9 12:00 bob: yes")

    told = shell("history", "review")

    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    assert told.lines[2] == "    #9 12:00 bob: yes"


# ---- rooms, close, search, export -------------------------------------------------------------


def test_the_directory_shows_open_rooms_and_closed_ones_when_asked(shell: Shell):
    shell.room("docs")
    shell.room("review")
    shell("close", "docs", "written")

    open_ones, all_ones = shell("rooms"), shell("rooms", "--all")

    assert [line.split('"')[1] for line in open_ones.lines] == ["review"]
    assert [line.split('"')[1] for line in all_ones.lines] == ["docs", "review"]
    assert all_ones.lines[0].endswith("· written")


def test_an_empty_directory_says_where_it_looked_and_what_to_do(shell: Shell):
    said = shell("rooms")

    assert said.code == 0
    assert str(shell.home / "rooms.db") in said.out
    assert "room-mcp create NAME" in said.out


def test_a_closed_room_shows_its_conclusion_first(shell: Shell):
    shell.room("review", "all done")
    shell("close", "review", "--as", "ann", "2 issues fixed")

    assert shell("history", "review").lines[:2] == [
        "Closed: 2 issues fixed",
        '"review" · closed · 2 messages',
    ]


def test_a_search_finds_messages_that_hold_every_word(shell: Shell):
    shell.room("review", "the token expires", "the key expires")
    shell.room("docs", "no token here")

    everywhere = shell("search", "token", "expires")
    in_one = shell("search", "--room", "docs", "token")
    nowhere = shell("search", "absent")

    assert [line.split(" ")[:2] for line in everywhere.lines] == [['"review"', "#1"]]
    assert [line.split(" ")[:2] for line in in_one.lines] == [['"docs"', "#1"]]
    assert (nowhere.code, nowhere.out) == (0, "No message holds all of: absent\n")


def test_an_export_writes_the_whole_room(shell: Shell, tmp_path: Path):
    shell.room("review", "one", "two")
    file = tmp_path / "review.jsonl"

    shell("export", "review", "--format", "jsonl", "-o", str(file))
    markdown = shell("export", "review")

    assert [json.loads(line)["content"] for line in file.read_text().splitlines()] == ["one", "two"]
    assert file.stat().st_mode & 0o077 == 0
    assert markdown.lines[0] == "# review"


def test_an_export_overwrites_nothing(shell: Shell, tmp_path: Path):
    shell.room("review", "one")
    file = tmp_path / "notes.md"
    file.write_text("mine")

    said = shell("export", "review", "-o", str(file))

    assert (said.code, file.read_text()) == (1, "mine")
    assert said.err == f"room-mcp: {file} exists already. Name another file, or remove it.\n"


def test_a_room_is_deleted_only_when_that_is_meant(shell: Shell):
    shell.room("review", "one")

    doubted = shell("delete", "review")
    done = shell("delete", "review", "--yes")

    assert (doubted.code, done.code) == (2, 0)
    assert "Say --yes if that is meant." in doubted.err
    assert shell("history", "review").code == 2


# ---- JSON for scripts ---------------------------------------------------------------------------


def test_every_answer_for_scripts_is_one_json_object_in_the_words_of_the_wire(shell: Shell):
    shell.room("review", "one")

    answers = [
        shell("create", "docs", "--json"),
        shell("send", "docs", "hi", "--json"),
        shell("rooms", "--json"),
        shell("history", "docs", "--json"),
        shell("wait", "docs", "--after", "0", "--json"),
        shell("search", "hi", "--json"),
        shell("close", "docs", "done", "--json"),
    ]

    assert [sorted(said.json)[:2] for said in answers] == [
        ["access", "archivedAt"],
        ["closed", "content"],
        ["directory", "nextCursor"],
        ["closed", "conclusion"],
        ["closed", "conclusion"],
        ["hits"],
        ["access", "budget"],
    ]
    assert answers[1].json["roomId"] == answers[0].json["id"]


def test_the_key_of_a_room_is_never_shown(shell: Shell):
    assert "ownerKey" not in shell("create", "review", "--json").out


# ---- which room ---------------------------------------------------------------------------------


def test_a_room_is_meant_by_name_id_or_the_beginning_of_its_id(shell: Shell):
    id = shell.room("review", "one")

    for meant in ("review", "REVIEW", id, id.upper(), id[:8]):
        assert shell("history", meant, "--json").json["lastSeq"] == 1


def test_an_open_room_goes_before_closed_ones_of_its_name(shell: Shell):
    shell.room("review", "old")
    shell("close", "review")
    shell.room("review", "new")

    assert shell("history", "review", "--json").json["messages"][0]["content"] == "new"


def test_an_exact_name_goes_before_one_that_holds_it(shell: Shell):
    shell.room("review", "one")
    shell.room("review-2")

    assert shell("history", "review", "--json").json["lastSeq"] == 1


def test_several_closed_rooms_of_a_name_are_told_apart_by_id(shell: Shell):
    ids: list[str] = []
    for conclusion in ("first", "second"):
        ids.append(shell.room("review"))
        shell("close", "review", conclusion)

    said = shell("history", "review")

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("room-mcp: 2 rooms fit 'review'. Use the id of the one you mean: ")
    assert all(id[:8] in said.err for id in ids)


def test_an_unknown_room_is_answered_with_the_nearest_name(shell: Shell):
    shell.room("api-review")

    said = shell("send", "api-reviw", "hi")

    assert (said.code, said.out) == (2, "")
    assert said.err == ("room-mcp: No room is called 'api-reviw'. Nearest: 'api-review' (open).\n")


def test_three_characters_are_too_few_to_mean_an_id(shell: Shell):
    id = shell.room("review")

    assert shell("history", id[:3]).code == 2


# ---- what goes wrong ----------------------------------------------------------------------------


def test_a_closed_room_refuses_in_one_line(shell: Shell):
    shell.room("review")
    shell("close", "review", "2 issues\nfixed")

    said = shell("send", "review", "wait!")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith("room-mcp: This room is closed")


def test_a_backend_that_is_down_is_one_line_with_what_to_do(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.cli.speaking.RETRY_FOR_S", 0)
    shell.env |= {"ROOM_MCP_URL": "http://127.0.0.1:1", "ROOM_MCP_KEY": "very-secret"}

    said = shell("rooms")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith("room-mcp: Nothing answers at http://127.0.0.1:1")
    assert "very-secret" not in said.err


def test_a_url_and_a_store_together_are_wrong_use(shell: Shell):
    shell.env |= {"ROOM_MCP_URL": "http://127.0.0.1:1", "ROOM_MCP_STORE": "x.db"}

    said = shell("rooms")

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("room-mcp: ROOM_MCP_URL and ROOM_MCP_STORE are both set.")


@pytest.mark.parametrize("body", ["{x", "[1]", '{"a": NaN}', "[" * 100_000])
def test_a_body_that_is_no_json_object_is_wrong_use(shell: Shell, body: str):
    shell.room("review")

    said = shell("send", "review", "--body", body)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("room-mcp: --body ")


@pytest.mark.parametrize("stdin", [b"", b" \n", b"\xff"])
def test_an_input_without_text_is_not_sent(shell: Shell, stdin: bytes):
    shell.room("review")

    said = shell("send", "review", stdin=stdin)

    assert said.code == 2
    assert said.err.endswith("nothing was sent.\n")


def test_only_somebody_at_a_terminal_is_a_person(shell: Shell):
    shell.room("review")

    said = shell("send", "review", "hi", "--human")

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "no terminal" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("rooms", "--as", "x"),
        ("nonsense",),
        ("history", "r", "--limit", "0"),
        ("history", "r", "--after", "x"),
        ("history", "r", "--after", "1", "--before", "3"),
        ("send", "r", "hi", "--as", "not/ \n"),
        ("send", "r", "one", "two"),
        ("wait", "--after", "3"),
        ("serve", "--port", "70000"),
        ("--agent", "x", "rooms"),
        ("--transport", "sse", "--host", "0.0.0.0"),
        ("--transport", "sse", "--agent", "ann"),
        ("--transport", "sse", "--path", "nowhere"),
        ("--port", "8750"),
        ("--transport", "carrier-pigeon"),
    ],
)
def test_wrong_use_ends_with_code_2_and_changes_nothing(shell: Shell, words: tuple[str, ...]):
    said = shell(*words, stdin="x")

    assert (said.code, said.out) == (2, "")
    assert "room-mcp" in said.err
    assert "Traceback" not in said.err
    assert not (shell.home / "rooms.db").exists()


def test_a_store_that_cannot_be_opened_is_one_line(shell: Shell):
    shell.home.mkdir()
    (shell.home / "rooms.db").write_text("no database, but long enough to be looked at" * 50)

    said = shell("rooms")

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "Traceback" not in said.err


def test_an_id_of_no_room_is_not_found(shell: Shell):
    assert shell("history", OTHER_ROOM).code == 2
