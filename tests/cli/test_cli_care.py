"""The commands that care for the store: what they do, say and refuse."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import apsw
import pytest
from cli_shell import Shell, run_python

from room_mcp.cli.reporting import of_store

CARE = [["backup", "x.db"], ["restore", "x.db"], ["check"], ["vacuum"]]


def test_a_backup_says_what_it_holds(shell: Shell, tmp_path: Path):
    shell.room("review", "hello", "world")

    said = shell("backup", str(tmp_path / "copy.db"))
    facts = shell("backup", str(tmp_path / "other.db"), "--json").json

    assert said.code == 0
    assert "1 room with 2 messages" in said.out
    assert str(tmp_path / "copy.db") in said.out
    assert facts["epoch"] in said.out
    assert (facts["rooms"], facts["messages"]) == (1, 2)
    assert facts["bytes"] == (tmp_path / "other.db").stat().st_size


def test_a_backup_is_not_put_over_a_file_unless_that_is_meant(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    (tmp_path / "copy.db").write_text("mine")

    said = shell("backup", str(tmp_path / "copy.db"))

    assert said.code == 1
    assert "--force" in said.err
    assert shell("backup", str(tmp_path / "copy.db"), "--force").code == 0


def test_a_backup_is_no_stream(shell: Shell):
    said = shell("backup", "-")

    assert said.code == 2
    assert "name one" in said.err


def test_a_store_is_restored_when_that_is_meant(shell: Shell, tmp_path: Path):
    copy = str(tmp_path / "copy.db")
    room_id = shell.room("review", "kept")
    shell("backup", copy)
    shell("send", room_id, "lost", "--as", "ann")

    asked = shell("restore", copy)
    done = shell("restore", copy, "--yes")

    assert asked.code == 2
    assert "1 room with 1 message " in asked.err
    assert "with 2 messages" in asked.err
    assert "--yes" in asked.err
    assert done.code == 0
    assert "is kept" in done.out
    assert ".before-restore-" in done.out
    history = shell("history", room_id).out
    assert "kept" in history
    assert "lost" not in history
    assert json.loads(shell("audit", "--json").lines[-1])["act"] == "restore"


def test_a_damaged_store_is_restored_too(shell: Shell, tmp_path: Path):
    copy = str(tmp_path / "copy.db")
    room_id = shell.room("review", "kept")
    shell("backup", copy)
    (shell.home / "rooms.db").write_bytes(b"garbage" * 1_000)

    told = shell("restore", copy, "--yes", "--json").json

    assert ".damaged-" in told["savedTo"]
    assert "kept" in shell("history", room_id).out


def test_a_sound_store_passes_the_check(shell: Shell):
    shell.room("review", "hello")

    said = shell("check")

    assert said.code == 0
    assert "no faults" in said.out
    assert shell("check", "--json").json == {"ok": True, "faults": []}


def test_a_fault_is_told_with_what_to_do(shell: Shell, tmp_path: Path):
    room_id = shell.room("review", "one", "two")
    copy = tmp_path / "copy.db"
    shell("backup", str(copy))
    db = apsw.Connection(str(copy))
    db.execute("DELETE FROM messages WHERE key & 0xff = 1")
    db.close()

    said = shell("check", str(copy))
    told = shell("check", str(copy), "--json")

    assert said.code == told.code == 1
    assert f"log: room {room_id}: It should have 2 messages and has 1" in said.out
    assert "→ Put a backup in its place" in said.out
    assert told.json["ok"] is False
    assert told.json["faults"][0]["roomId"] == room_id
    assert shell("check").code == 0


def test_vacuuming_says_what_was_freed_and_how_long_others_waited(shell: Shell):
    shell.room("review", "hello")

    said = shell("vacuum")

    assert said.code == 0
    assert "Freed" in said.out
    assert "Nobody could write for" in said.out
    assert {"freedBytes", "blockedMs"} <= shell("vacuum", "--json").json.keys()


@pytest.mark.parametrize("words", CARE, ids=lambda words: words[0])
def test_the_store_of_a_server_is_cared_for_there(shell: Shell, words: list[str]):
    shell.env["ROOM_MCP_URL"] = "https://rooms.example"

    said = shell(*words)

    assert said.code == 2
    assert f"its operator does `room-mcp {words[0]}` there" in said.err


@pytest.mark.parametrize("words", CARE, ids=lambda words: words[0])
def test_a_store_in_postgresql_has_tools_of_its_own(shell: Shell, words: list[str]):
    said = shell(*words, "--store", "postgresql://ann:pass" + "word@db/rooms")

    assert said.code == 1
    assert "pg_dump" in said.err
    assert "password" not in said.err


@pytest.mark.parametrize("words", [["backup", "x.db"], ["check"], ["vacuum"]])
def test_where_no_store_is_none_is_made(shell: Shell, words: list[str]):
    said = shell(*words)

    assert said.code == 1
    assert "There is no store" in said.err
    assert not shell.home.exists()


def test_the_help_imports_nothing_heavy(shell: Shell):
    code = (
        "import sys\nfrom room_mcp.cli import main\nsys.stdout = sys.stderr\n"
        "for command in ('backup', 'restore', 'check', 'vacuum', 'report'):\n"
        "    try:\n        main([command, '--help'])\n    except SystemExit:\n        pass\n"
        "sys.stdout = sys.__stdout__\nprint(*({'apsw', 'pydantic', 'anyio'} & set(sys.modules)))"
    )

    assert run_python(code, env=shell.whole_environment) == []


# ---- the report ---------------------------------------------------------------------------------

MARK = "quetzal"  # in everything that anybody can write


def marked(shell: Shell) -> str:
    """A room with the mark in every text field; its id."""
    shell.env["ROOM_MCP_AGENT"] = f"{MARK}-me"
    room_id = shell(
        *("create", f"{MARK} room", "--purpose", f"{MARK} purpose", "--as", f"{MARK}-ann"),
        *("--chain", "--json"),
    ).json["id"]
    body = json.dumps({"text": f"{MARK} text", MARK: f"{MARK} value"})
    shell("send", room_id, f"@{MARK}-rex {MARK} content", "--as", f"{MARK}-ann")
    shell("send", room_id, "--body", body, "--as", f"{MARK}-ann", "--to", f"{MARK}-rex")
    template = shell.home / f"{MARK}.json"
    template.write_text(json.dumps({"terminal": [{"type": f"{MARK}-done"}]}))
    other = shell("create", f"{MARK} two", "--template", str(template), "--json").json["id"]
    shell("close", room_id, f"{MARK} conclusion", "--as", f"{MARK}-ann")
    shell("keys", "create", f"{MARK}-key")
    return other


def test_a_report_holds_nothing_that_anybody_wrote(shell: Shell, tmp_path: Path):
    room_id = marked(shell)
    store = (shell.home / "rooms.db").read_bytes()
    db = apsw.Connection(str(shell.home / "rooms.db"))
    # A fault of every room: its sentence is in the report.
    db.execute("UPDATE rooms SET name_key = ? WHERE state IS NOT NULL", (f"{MARK} name",))
    secret = db.execute("SELECT value FROM meta WHERE name = 'secret'").get
    db.close()

    said = shell("report", str(tmp_path / "report.zip"))

    with zipfile.ZipFile(tmp_path / "report.zip") as bundle:
        parts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert said.code == 0
    assert all(name in said.out for name in parts)
    assert store.count(MARK.encode()) > 10
    for private in (MARK, room_id, secret, str(tmp_path), str(shell.home)):
        assert [name for name, text in parts.items() if private in text] == []
    kept = json.loads(parts["store.json"])
    assert kept["rows"]["messages"] == 3
    assert len(kept["rooms"]) == 2
    assert json.loads(parts["check.json"])["kinds"] == {"state": 2}
    assert json.loads(parts["settings.json"])["ROOM_MCP_AGENT"] == "(set)"
    assert "sqlite" in json.loads(parts["versions.json"])
    assert {one["check"] for one in json.loads(parts["doctor.json"])} >= {"sqlite", "backend"}


def test_a_store_that_is_broken_can_be_reported(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    (shell.home / "rooms.db").write_bytes(b"garbage" * 1_000)

    parts = of_store(shell.home / "rooms.db")

    assert parts["check.json"]["kinds"] == {"database": 1}
    assert str(tmp_path) not in json.dumps(parts)
    assert parts["store.json"].keys() == {"unavailable"}
