"""Rooms that are not for everybody, on the command line: asking, deciding, and what is shown."""

from __future__ import annotations

import pytest
from cli_shell import Shell


@pytest.fixture
def shared(shell: Shell) -> Shell:
    """A shell whose rooms are on a server, where keys tell who is who."""
    shell.env["ROOM_MCP_URL"] = shell.start("serve", "--port", "0").line()
    return shell


def test_who_asks_to_come_in_waits_until_the_owner_admits_him(shared: Shell):
    shared("create", "review", "--access", "approval", "--as", "ann")
    asked = shared("join", "review", "--as", "bob")
    shown = shared("settings", "review", "--as", "ann")
    listed = shared("rooms")
    waiting = shared.start("wait", "review", "--as", "bob")
    not_yet = waiting.line()
    admitted = shared("admit", "review", "bob", "--as", "ann")
    told = waiting.line()
    sent = shared("send", "review", "hello", "--as", "bob")

    assert 'The owner of "review" lets people in one by one: you have asked, as bob.' in asked.out
    assert "Wait for it: room-mcp wait review" in asked.out
    assert "Asks to come in: bob" in shown.out
    assert "0 messages" in listed.out
    assert admitted.out == 'bob may come into "review".\n'
    assert not_yet == 'The owner of "review" has not let you in yet.'
    assert told == 'The owner of "review" has let you in.'
    assert sent.code == 0


def test_who_is_declined_is_told_so(shared: Shell):
    shared("create", "review", "--access", "approval", "--as", "ann")
    shared("join", "review", "--as", "bob")
    shared("decline", "review", "bob", "--as", "ann")
    again = shared("join", "review", "--as", "bob")

    assert again.code == 1
    assert "has not let you in" in again.err


def test_a_muted_member_reads_and_a_removed_one_is_out(shared: Shell):
    shared("create", "review", "--as", "ann")
    shared("join", "review", "--as", "bob")
    muted = shared("mute", "review", "@bob", "--as", "ann")
    silent = shared("send", "review", "hello", "--as", "bob")
    shown = shared("settings", "review", "--as", "ann")
    shared("mute", "review", "bob", "--off", "--as", "ann")
    heard = shared("send", "review", "hello", "--as", "bob")
    shared("remove", "review", "bob", "--as", "ann")
    gone = shared("send", "review", "hello again", "--as", "bob")

    assert muted.out == 'bob reads on in "review", and cannot speak.\n'
    assert (silent.code, heard.code, gone.code) == (1, 0, 1)
    assert "Member bob (muted)" in shown.out
    assert "has sent 'bob' away" in gone.err


@pytest.mark.parametrize("act", ["admit", "decline", "mute", "remove"])
def test_nobody_but_the_owner_decides(shared: Shell, act: str):
    shared("create", "review", "--as", "ann")
    shared("join", "review", "--as", "bob")
    refused = shared(act, "review", "bob", "--as", "bob")

    assert refused.code == 1
    assert "Only the owner of this room may do this." in refused.err


def test_members_of_a_keyed_room_read_it_with_the_keys_that_were_kept(shared: Shell):
    shared("create", "review", "--access", "keyed", "--as", "ann")
    shared("join", "review", "--as", "bob")
    shared("send", "review", "hello", "--as", "bob")
    listed = shared("rooms", "--json").json["rooms"][0]
    shared.env["ROOM_MCP_AGENT"] = "bob"
    read = shared("history", "review")
    found = shared("search", "hello", "--room", "review")
    shared.env["ROOM_MCP_AGENT"] = "eve"
    refused = shared("history", "review")

    assert (listed["access"], listed["messageCount"]) == ("keyed", 0)
    assert "bob: hello" in read.out
    assert "hello" in found.out
    assert (refused.code, "only its members read it" in refused.err) == (1, True)


def test_whoever_has_the_store_sees_its_unlisted_rooms(shell: Shell):
    shell.env["ROOM_MCP_URL"] = shell.start("serve", "--port", "0", "--require-key").line()
    key = shell_of_store(shell)("keys", "create", "ann").out.strip()
    shell.env["ROOM_MCP_KEY"] = key
    created = shell("create", "review")
    id = shell("rooms", "--json").json["rooms"][0]["id"]
    rooms = shell_of_store(shell)("rooms")

    assert f'join_room(room="{id}")' in created.out  # others do not find it by its name
    assert '"review" · open' in rooms.out
    assert "unlisted" in rooms.out


def shell_of_store(shell: Shell) -> Shell:
    """The same person, at the machine that has the rooms."""
    return Shell(shell.home, shell.capsys, shell.monkeypatch)
