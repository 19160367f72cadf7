"""`room-mcp keys`: made, listed, ended, here and on a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cli_shell import Shell


def test_a_key_alone_goes_to_stdout_and_how_to_use_it_beside(shell: Shell):
    made = shell("keys", "create", "ann", "--admin", "--human", "--expires", "30d")

    (key,) = made.lines
    assert key.startswith("rks_")
    assert key not in made.err
    assert "the person and admin ann, until " in made.err
    assert "ROOM_MCP_URL=http://127.0.0.1:8750 ROOM_MCP_KEY=…" in made.err
    assert "curl -H 'Authorization: Bearer …'" in made.err


def test_keys_are_listed_without_what_lets_one_in(shell: Shell):
    key = shell("keys", "create", "ann", "--human").lines[0]
    shell("keys", "create", "rex", "--admin", "--expires", "2h")

    plain, listed = shell("keys"), shell("keys", "list")
    rows = shell("keys", "list", "--json").json["keys"]

    assert plain.out == listed.out
    assert listed.lines[0] == f"{key[:12]}  ann  (person)  valid, never used"
    assert "rex  (agent, admin)  valid until " in listed.lines[1]
    assert key not in listed.out
    assert [row["name"] for row in rows] == ["ann", "rex"]
    assert not any(field in row for row in rows for field in ("key", "hash"))


def test_no_keys_is_told_with_how_to_make_one(shell: Shell):
    assert "room-mcp keys create NAME --admin" in shell("keys", "list").out


@pytest.mark.parametrize(
    ("words", "left"),
    [("90s", timedelta(seconds=90)), ("12h", timedelta(hours=12)), ("2w", timedelta(weeks=2))],
)
def test_a_key_ends_when_it_was_said(shell: Shell, words: str, left: timedelta):
    made = shell("keys", "create", "ann", "--expires", words, "--json").json

    created, ends = (datetime.fromisoformat(made[one]) for one in ("createdAt", "expiresAt"))
    assert ends - created == left


def test_a_date_is_a_day_of_this_machine(shell: Shell):
    made = shell("keys", "create", "ann", "--expires", "2099-01-31", "--json").json

    ends = datetime(2099, 1, 31).astimezone(UTC)
    assert datetime.fromisoformat(made["expiresAt"]) == ends


@pytest.mark.parametrize("when", ["soon", "3x", "0d", "-1d", "2020-01-01", "", "999999w"])
def test_a_time_that_cannot_be_meant_is_refused(shell: Shell, when: str):
    said = shell("keys", "create", "ann", f"--expires={when}")

    assert said.code != 0
    assert said.out == ""
    assert "Traceback" not in said.err
    assert shell("keys", "list", "--json").json["keys"] == []


def test_a_key_is_revoked_by_its_id_or_its_name(shell: Shell):
    ann = shell("keys", "create", "ann").lines[0]
    shell("keys", "create", "Bob")

    by_id, by_name = shell("keys", "revoke", ann[:12]), shell("keys", "revoke", "bob")

    assert by_id.out == f"{ann[:12]} of ann lets nobody in any more.\n"
    assert "of Bob lets nobody in any more" in by_name.out
    assert all("  revoked " in line for line in shell("keys").lines)


def test_a_name_that_several_valid_keys_have_is_no_key(shell: Shell):
    first, second = (shell("keys", "create", "ann").lines[0][:12] for _ in range(2))

    several = shell("keys", "revoke", "ann")
    shell("keys", "revoke", first)
    the_other = shell("keys", "revoke", "ann")
    none = shell("keys", "revoke", "ann")
    unknown = shell("keys", "revoke", "eve")

    assert [one.code for one in (several, the_other, none, unknown)] == [1, 0, 1, 1]
    assert f"Say which by its id: {first}, {second}." in several.err
    assert second in the_other.out
    assert "No key of 'ann' is valid any more" in none.err
    assert "There is no key 'eve'" in unknown.err


def test_an_admin_keeps_the_keys_of_a_server_from_elsewhere_and_others_do_not(shell: Shell):
    admin = shell("keys", "create", "root", "--admin").lines[0]
    url = shell.start("serve", "--port", "0", "--require-key").line()
    away = Shell(shell.home.parent / "away", shell.capsys, shell.monkeypatch)
    away.env |= {"ROOM_MCP_URL": url, "ROOM_MCP_KEY": admin}

    ann = away("keys", "create", "ann").lines[0]
    away.env["ROOM_MCP_KEY"] = ann
    refused = away("keys", "create", "eve")
    away.env["ROOM_MCP_KEY"] = admin
    away("keys", "revoke", "ann")
    away.env["ROOM_MCP_KEY"] = ann
    outside = away("rooms")

    assert refused.code == 1
    assert "Only an admin's key does this." in refused.err
    assert "The key lets nobody in" in outside.err
    assert [one["name"] for one in shell("keys", "--json").json["keys"]] == ["root", "ann"]


def test_who_speaks_with_a_key_speaks_as_whom_it_stands_for(shell: Shell):
    key = shell("keys", "create", "ann", "--human").lines[0]
    url = shell.start("serve", "--port", "0", "--require-key").line()
    shell.env |= {"ROOM_MCP_URL": url, "ROOM_MCP_KEY": key}

    shell("create", "review")
    said = shell("send", "review", "hello")
    as_agent = shell("send", "review", "hi", "--as", "ann/claude")
    as_other = shell("send", "review", "hi", "--as", "bob")

    assert (said.code, as_agent.code, as_other.code) == (0, 0, 1)
    assert "Speak as 'ann' or as 'ann/…'" in as_other.err
    senders = [one["sender"] for one in shell("history", "review", "--json").json["messages"]]
    assert senders == ["ann", "ann/claude"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:rks_secret@rooms.example", "put the key into ROOM_MCP_KEY"),
        ("https://rooms.example/?key=rks_secret", "put the key into ROOM_MCP_KEY"),
        ("http://192.0.2.1:8750", "the key would travel readable"),
        ("http://rooms.example", "the key would travel readable"),
    ],
)
def test_a_key_is_neither_shown_nor_sent_where_others_could_read_it(
    shell: Shell, url: str, told: str
):
    shell.env |= {"ROOM_MCP_URL": url, "ROOM_MCP_KEY": "rks_secret"}

    said = shell("rooms")

    assert said.code != 0
    assert told in said.err
    assert "rks_secret" not in said.err
