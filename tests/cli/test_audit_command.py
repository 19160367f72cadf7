"""`room-mcp audit`: who did what, and whether anybody changed it since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from cli_shell import Shell


@pytest.fixture
def store(shell: Shell) -> Iterator[apsw.Connection]:
    """The store's file with two rooms in it, opened by somebody who may change it."""
    shell("create", "one", "--as", "ann")
    shell("create", "two", "--as", "ann")
    shell("send", "two", "hello", "--as", "rex")
    shell("send", "one", "hello", "--as", "rex")
    db = apsw.Connection(str(Path(shell.home) / "rooms.db"))
    db.execute("DROP TRIGGER audit_stays; DROP TRIGGER audit_is_as_it_was")
    yield db
    db.close()


def test_an_audit_without_entries_says_so(shell: Shell):
    assert shell("audit").out == "Nothing there.\n"


@pytest.mark.usefixtures("store")
def test_each_entry_is_a_line_and_the_links_are_checked(shell: Shell):
    said = shell("audit")

    assert said.code == 0
    *entries, last = said.lines
    assert [line.split(" ")[0] for line in entries] == ["#1", "#2", "#3", "#4"]
    assert " join: done · rex, self · room " in entries[3]
    assert last.startswith("4 entries, all links hold. Keep the last link")


@pytest.mark.usefixtures("store")
def test_one_room_is_shown_alone(shell: Shell):
    said = shell("audit", "one")

    assert [line.split(" ")[0] for line in said.lines] == ["#1", "#4", "2"]


@pytest.mark.usefixtures("store")
def test_a_part_of_it_can_be_asked_for(shell: Shell):
    said = shell("audit", "--after", "1", "--limit", "2", "--json")

    assert [json.loads(line)["no"] for line in said.lines] == [2, 3]
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE audit SET name = 'eve' WHERE no = 3", "#3 is not what was written"),
        ("DELETE FROM audit WHERE no = 3", "#3 is missing"),
        ("DELETE FROM audit WHERE no = 1", "#1 is missing"),
        ("DELETE FROM audit WHERE no = 4", "#4 is missing"),
        ("UPDATE audit SET link = 'x' WHERE no = 2", "#2 is not what was written"),
    ],
)
def test_a_change_is_found(shell: Shell, store: apsw.Connection, change: str, told: str):
    store.execute(change)

    said = shell("audit")

    assert said.code == 1
    assert told in said.err


def test_a_room_can_be_asked_about_after_it_was_deleted(shell: Shell):
    id = shell.room("one")
    shell("delete", id, "--yes")

    said = shell("audit", id)

    assert said.code == 0
    assert [line.split(" ")[2] for line in said.lines[:-1]] == ["create:", "delete:"]


def test_a_room_that_never_was_is_wrong_use(shell: Shell):
    assert shell("audit", "nothing").code == 2


def test_a_change_is_found_in_what_one_room_shows(shell: Shell, store: apsw.Connection):
    store.execute("UPDATE audit SET name = 'eve' WHERE no = 4")

    said = shell("audit", "one", "--json")

    assert (said.code, len(said.lines)) == (1, 2)
    assert "#4 is not what was written" in said.err
