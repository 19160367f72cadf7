"""`wait` and `watch` in processes of their own, while others speak."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from cli_shell import PATIENCE_S, Shell

# ---- wait -----------------------------------------------------------------------------------


def test_one_process_waits_until_another_sends(shell: Shell):
    shell.room("review")
    shell("send", "review", "I was here before", "--as", "ann")
    waiting = shell.start("wait", "review", "--as", "ann", "--timeout", "60")
    shell.until_waiting("ann")

    shell("send", "review", "news", "--as", "bob")

    assert waiting.line().endswith("bob: news")
    assert waiting.ended() == 0


def test_a_member_is_shown_what_he_has_not_read_and_is_not_woken_by_himself(shell: Shell):
    shell.room("review", "from ann")
    waiting = shell.start("wait", "review", "--as", "ann")
    shell.until_waiting("ann")
    shell("send", "review", "ann again", "--as", "ann")

    shell("send", "review", "from bob", "--as", "bob")

    assert [line.split(": ")[1] for line in waiting.rest()] == ["from bob"]


def test_what_was_shown_once_is_not_shown_again(shell: Shell):
    shell.room("review", "from ann")
    shell("send", "review", "from bob", "--as", "bob")

    first = shell("wait", "review", "--as", "ann", "--timeout", "0")
    second = shell("wait", "review", "--as", "ann", "--timeout", "0")

    assert (first.code, second.code) == (0, 3)
    assert first.out.endswith("bob: from bob\n")


def test_a_member_of_several_rooms_waits_for_all_of_them(shell: Shell):
    shell.room("docs", "hello")
    shell.room("review", "hello")
    shell("send", "docs", "in docs", "--as", "bob")

    first = shell("wait", "--as", "ann", "--timeout", "0")
    second = shell("wait", "--as", "ann", "--timeout", "0", "--json")

    assert first.out.startswith('"docs" #2 ')
    assert (second.code, second.json["rooms"]) == (3, [])


def test_a_cursor_says_from_where_on_something_is_new(shell: Shell):
    shell.room("review", "one", "two")

    said = shell("wait", "review", "--after", "1", "--json")

    assert [one["content"] for one in said.json["messages"]] == ["two"]
    assert said.json["nextCursor"] == 2


@pytest.mark.parametrize("room", [("review",), ()])
def test_a_wait_that_runs_out_ends_with_code_3_and_says_nothing(
    shell: Shell, room: tuple[str, ...]
):
    shell.room("review", "old")

    said = shell("wait", *room, "--timeout", "0.2")

    assert (said.code, said.out, said.err) == (3, "", "")


def test_a_wait_in_a_closed_room_ends_at_once_and_says_why(shell: Shell):
    shell.room("review")
    shell("close", "review")

    said = shell("wait", "review")

    assert said.code == 1
    assert said.err == 'room-mcp: "review" is closed; nothing more will come.\n'


def test_a_wait_ends_when_the_room_closes(shell: Shell):
    shell.room("review", "hello")
    waiting = shell.start("wait", "review", "--as", "ann")
    shell.until_waiting("ann")

    shell("close", "review", "done", "--as", "bob")

    assert waiting.line().endswith("[room.closed]: closed by bob: done")
    assert waiting.ended() == 0


def test_an_interrupted_wait_says_nothing(shell: Shell):
    shell.room("review", "hello")
    waiting = shell.start("wait", "review", "--as", "ann")
    shell.until_waiting("ann")

    waiting.signal(signal.SIGINT)

    assert (waiting.ended(), waiting.err) == (130, "")


# ---- watch ----------------------------------------------------------------------------------


def test_a_watched_room_shows_its_newest_messages_then_each_as_it_comes(shell: Shell):
    shell.room("review", *(f"text {number}" for number in range(1, 13)))
    watching = shell.start("watch", "review")

    assert watching.line() == '"review" · open · 12 messages'
    assert [watching.line().split(" ")[0] for _ in range(10)] == [f"#{n}" for n in range(3, 13)]
    shell("send", "review", "news", "--as", "bob")
    assert watching.line().endswith("bob: news")


def test_watching_one_room_ends_well_when_it_closes(shell: Shell):
    shell.room("review")
    watching = shell.start("watch", "review")
    watching.line()

    shell("send", "review", "ship it", "--type", "decision", "--as", "ann")

    assert [line.split(" ")[0] for line in watching.rest()] == ["#1", "#2"]
    assert watching.ended() == 0


def test_watching_a_closed_room_shows_its_end_first(shell: Shell):
    shell.room("review", "hello")
    shell("close", "review", "all done")

    said = shell("watch", "review")

    assert said.code == 0
    assert said.lines[0] == "Closed: all done"


def test_watching_everything_shows_rooms_that_are_opened_meanwhile(shell: Shell):
    shell.room("old", "said before")
    shell.room("closed", "said before")
    shell("close", "closed")
    watching = shell.start("watch")
    assert watching.line() == "Following 1 open room, and new ones as they open."

    shell("send", "old", "in the old room", "--as", "bob")
    shell("create", "new")
    shell("send", "new", "in the new room", "--as", "bob")
    shell("close", "new")

    assert watching.line().startswith('"old" #2 ')
    assert watching.line().startswith('"new" #1 ')
    assert watching.line().startswith('"new" #2 ')


def test_a_program_gets_one_json_object_a_line(shell: Shell):
    id = shell.room("review", "two\nlines")

    message = json.loads(shell.start("watch", "review", "--format", "json").line())

    assert (message["roomId"], message["content"]) == (id, "two\nlines")


def test_only_what_is_meant_for_a_name_is_shown_with_mentions(shell: Shell):
    shell.room("review", "for all")
    shell("send", "review", "for bob", "--to", "bob", "--as", "ann")
    shell("send", "review", "I am bob", "--as", "bob")
    shell("send", "review", "ask @bob", "--as", "ann")
    shell("close", "review")

    said = shell("watch", "review", "--mentions", "Bob")

    assert [line.split(" ")[0] for line in said.lines[2:]] == ["#2", "#4", "#5"]


def test_ctrl_c_ends_a_watch_without_a_word(shell: Shell):
    shell.room("review")
    watching = shell.start("watch", "review")
    watching.line()

    watching.signal(signal.SIGINT)

    assert (watching.ended(), watching.err) == (130, "")


def test_a_reader_that_goes_away_ends_the_output_without_a_word(shell: Shell):
    shell.room("review", *["x" * 60_000] * 3)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*shell.argv, "history", "review"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env=shell.whole_environment,
            timeout=PATIENCE_S,
            check=False,
        )

    assert (done.returncode, done.stderr) == (141, b"")
