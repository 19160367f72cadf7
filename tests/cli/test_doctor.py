"""`doctor` finds what is wrong, says what to do, and speaks to a real server."""

from __future__ import annotations

import fcntl
import os
from typing import Any

import pytest
from cli_shell import Said, Shell, run_python

from room_mcp.cli import checks, handshake
from room_mcp.cli.doctor import OK, Finding
from room_mcp.settings import Settings


def finding(said: Said, check: str) -> dict[str, Any]:
    return next(one for one in said.json["checks"] if one["check"] == check)


@pytest.fixture
def no_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds, and is the same in every test."""

    def left_out(settings: object) -> Finding:
        return Finding("mcp", OK, "left out")

    monkeypatch.setattr(handshake, "legacy", left_out)
    monkeypatch.setattr(handshake, "modern", left_out)


def test_a_sound_installation_passes_and_lists_the_tools_in_both_eras(shell: Shell):
    said = shell("doctor", "--json")

    assert (said.code, said.json["ok"]) == (0, True)
    for era in ("mcp 2025-11-25", "mcp 2026-07-28"):
        assert finding(said, era)["status"] == "ok"
        assert finding(said, era)["detail"] == "started, and listed 8 tools"
        assert finding(said, era)["tookMs"] > 0


@pytest.mark.usefixtures("no_handshake")
def test_every_finding_is_a_line_with_its_advice_behind_an_arrow(shell: Shell):
    shell.room("review")
    os.chmod(shell.home, 0o755)

    said = shell("doctor")

    assert said.code == 0
    assert f"warn home: Other users can open {shell.home} (mode 755). (0 ms)" in said.lines
    assert f"     → chmod 700 {shell.home}" in said.lines
    assert said.lines[-1].startswith("0 failed, ")


@pytest.mark.usefixtures("no_handshake")
def test_the_lock_of_a_store_is_found_however_its_file_is_named(shell: Shell):
    shell.room("review")
    file = shell.home / "rooms.db"
    shell.env["ROOM_MCP_STORE"] = f"sqlite:///{file}"

    said = shell("doctor", "--json")

    assert finding(said, "lock")["detail"] == f"{file}.lock is free."


@pytest.mark.usefixtures("no_handshake")
def test_a_store_that_is_none_fails(shell: Shell):
    shell.home.mkdir(mode=0o700)
    (shell.home / "rooms.db").write_text("no database, but long enough to be looked at" * 50)

    said = shell("doctor", "--json")

    assert (said.code, said.json["ok"]) == (1, False)
    assert finding(said, "backend")["status"] == "fail"
    assert finding(said, "backend")["advice"]


@pytest.mark.usefixtures("no_handshake")
def test_a_server_that_does_not_answer_fails_at_once(shell: Shell):
    shell.env |= {"ROOM_MCP_URL": "http://127.0.0.1:1", "ROOM_MCP_KEY": "very-secret"}

    said = shell("doctor", "--json")

    assert finding(said, "backend")["status"] == "fail"
    assert "very-secret" not in said.out + said.err


def test_a_held_lock_names_its_holder(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    shell.room("review")
    monkeypatch.setattr(checks, "LOCK_PATIENCE_S", 0.05)
    with open(shell.home / "rooms.db.lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        said = checks.lock(Settings.from_env(shell.environment))

    assert said.status == "fail"
    assert f"process {os.getpid()} " in said.detail


def test_settings_that_exclude_each_other_are_a_finding(shell: Shell):
    shell.env |= {"ROOM_MCP_URL": "http://127.0.0.1:1", "ROOM_MCP_STORE": "x.db"}

    said = shell("doctor", "--json")

    assert (said.code, finding(said, "settings")["status"]) == (1, "fail")


@pytest.mark.usefixtures("no_handshake")
def test_a_home_that_is_a_file_fails(shell: Shell):
    shell.home.write_text("not a folder")

    told = finding(shell("doctor", "--json"), "home")

    assert (told["status"], told["detail"]) == ("fail", f"{shell.home} is not a folder.")


def test_a_server_that_breaks_is_reported_with_its_last_words_and_without_the_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        handshake, "SERVER", ("-c", "import sys; sys.exit('broken by very-secret')")
    )
    shell.env["ROOM_MCP_KEY"] = "very-secret"

    told = handshake.modern(Settings.from_env(shell.environment))

    assert told.status == "fail"
    assert told.detail.endswith("broken by <ROOM_MCP_KEY>")


def test_doctor_itself_does_not_import_mcp(shell: Shell):
    shell.env["ROOM_MCP_URL"] = "http://127.0.0.1:1"
    code = (
        "import sys, os\n"
        "from room_mcp.cli import doctor, main\n"
        "sys.stdout = open(os.devnull, 'w')\n"
        "main(['doctor'])\n"
        "print('mcp' in sys.modules, file=sys.__stdout__)"
    )

    assert run_python(code, env=shell.whole_environment) == ["False"]
