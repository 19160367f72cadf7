"""Rooms that are kept for long, or not, on the command line: rename, archive, purge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_shell import Shell

from room_mcp.backend import retention


def in_files(home: Path, word: str) -> bool:
    return any(word.encode() in one.read_bytes() for one in home.glob("rooms.db*"))


def test_a_room_is_renamed_and_says_so(shell: Shell):
    shell.room("draft", "hello")

    told = shell("rename", "draft", "the final", "--as", "ann")

    assert told.out == '"draft" is "the final" now.\n'
    assert shell("history", "draft").code == 2
    assert (
        shell("history", "the final")
        .lines[-1]
        .endswith('room [room.renamed]: ann: "draft" is "the final" now')
    )


def test_the_owners_key_renames_a_room_of_a_server(shell: Shell):
    shell.env["ROOM_MCP_URL"] = shell.start("serve", "--port", "0").line()
    shell.room("draft")
    refused = shell("rename", "draft", "mine", "--as", "bob")
    told = shell("rename", "draft", "final", "--as", "ann")

    assert refused.code == 1
    assert told.out == '"draft" is "final" now.\n'


def test_an_archived_room_is_listed_apart_and_comes_back(shell: Shell):
    id = shell.room("old", "a word")
    shell.room("new")
    shell("close", "old", "done", "--as", "ann")
    told = shell("archive", "old", "--as", "ann")
    listed, apart = shell("rooms", "--all"), shell("rooms", "--archived")
    by_name, by_id = shell("history", "old"), shell("history", id)
    found = shell("search", "word")
    back = shell("archive", "old", "--undo", "--as", "ann")

    assert told.out == f'"old" is archived: {id}. Back: room-mcp archive old --undo\n'
    assert ('"old"' in listed.out, '"new"' in listed.out) == (False, True)
    assert ('"old"' in apart.out, '"new"' in apart.out) == (True, False)
    assert (by_name.code, by_id.code) == (2, 0)
    assert found.out == "No message holds all of: word\n"
    assert back.out == '"old" is in the lists again.\n'
    assert '"old"' in shell("rooms", "--all").out


def test_an_open_room_is_archived_only_if_it_may_be_closed(shell: Shell):
    shell.room("open")
    refused = shell("archive", "open", "--as", "ann")
    told = shell("archive", "open", "--close", "--as", "ann")

    assert refused.code == 1
    assert "room-mcp close" in refused.err
    assert told.code == 0
    assert "closed" in shell("rooms", "--archived").out


def test_purging_leaves_no_text_behind(shell: Shell):
    id = shell.room("review", "the xylophone")
    shell("close", "review", "with bassoons", "--as", "ann")
    meant = shell("purge", "review", "--as", "ann")
    before = in_files(shell.home, "xylophone")
    done = shell("purge", "review", "--yes", "--as", "ann")

    assert (meant.code, done.code) == (2, 0)
    assert meant.err.rstrip().endswith("Say --yes if that is meant.")
    assert done.out == 'Removed all texts of "review", with 2 messages.\n'
    assert (before, in_files(shell.home, "xylophone")) == (True, False)
    assert not in_files(shell.home, "bassoon")
    assert [line.rpartition(": ")[2] for line in shell("history", id).lines[-2:]] == [
        "(erased)",
        "(erased)",
    ]


def test_an_open_room_is_purged_only_if_it_may_be_closed(shell: Shell):
    shell.room("review", "the xylophone")
    refused = shell("purge", "review", "--yes", "--as", "ann")
    done = shell("purge", "review", "--yes", "--close", "--as", "ann")

    assert (refused.code, done.code) == (2, 0)
    assert "room-mcp close review" in refused.err
    assert shell("send", "review", "more", "--as", "ann").code == 1


def test_deleting_leaves_no_text_behind(shell: Shell):
    shell.room("review", "the xylophone")
    shell("delete", "review", "--yes", "--as", "ann")

    assert not in_files(shell.home, "xylophone")


def test_rooms_past_what_is_kept_are_listed_and_removed(shell: Shell):
    for name in ("first", "second"):
        shell.room(name, "the xylophone")
        shell("close", name, "--as", "ann")
    shell.env["ROOM_MCP_RETENTION_ROOMS"] = "1"
    listed = shell("purge", "--expired", "--dry-run")
    asked = shell("purge", "--expired")
    done = shell("purge", "--expired", "--yes")
    again = shell("purge", "--expired", "--yes")

    assert asked.code == 2
    assert "(1 now), for good. Say --yes if that is meant" in asked.err
    assert re.fullmatch(r'\w{8}  "first" · .*\nPast what is kept: 1.\n', listed.out)
    assert done.lines[-1] == "Removed: 1."
    assert again.out == "Removed: 0.\n"
    assert '"second"' in shell("rooms", "--all").out


def test_what_was_removed_is_told_as_one_document(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    for name in ("first", "second", "third", "fourth"):
        shell.room(name)
        shell("close", name, "--as", "ann")
    shell.env["ROOM_MCP_RETENTION_ROOMS"] = "1"
    monkeypatch.setattr(retention, "STEP_ROOMS", 2)

    listed = shell("purge", "--expired", "--dry-run", "--json").json
    done = shell("purge", "--expired", "--yes", "--json").json

    assert ([one["name"] for one in listed["rooms"]], listed["more"]) == (["first", "second"], True)
    assert ([one["name"] for one in done["rooms"]], done["more"]) == (
        ["first", "second", "third"],
        False,
    )


@pytest.mark.parametrize("value", ["0.5", "-1", "1e3", "36501", "1000000", "9" * 5_000, "some"])
def test_days_to_keep_rooms_are_a_whole_number_within_bounds(shell: Shell, value: str):
    shell.env["ROOM_MCP_RETENTION_DAYS"] = value

    refused = shell("rooms")

    assert refused.code != 0
    assert "takes a whole number of days, 0 to 36,500." in refused.err


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("DAYS", "36500", 0),
        ("DAYS", "0", 0),
        ("ROOMS", "10000000", 0),
        ("ROOMS", "10000001", 2),
    ],
)
def test_what_is_kept_has_bounds(shell: Shell, name: str, value: str, code: int):
    shell.env[f"ROOM_MCP_RETENTION_{name}"] = value

    assert shell("purge", "--expired", "--dry-run").code == code


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("review", "--expired"),
        ("review", "--dry-run"),
        ("--expired", "--close"),
    ],
)
def test_what_to_purge_has_to_be_clear(shell: Shell, words: tuple[str, ...]):
    assert shell("purge", *words).code == 2


def test_a_setting_of_what_is_kept_that_means_nothing_is_refused(shell: Shell):
    shell.env["ROOM_MCP_RETENTION_OF"] = "some"

    refused = shell("rooms")

    assert refused.code != 0
    assert "ROOM_MCP_RETENTION_OF is 'some'; use closed or all." in refused.err
