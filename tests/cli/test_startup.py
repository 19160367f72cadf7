"""What the command line says about itself, and how little it loads to say it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import Shell, run_python

import room_mcp

OPTIONS = {
    "rooms": ["QUERY", "--all", "--json"],
    "create": [
        *("NAME", "--purpose", "--template", "--role", "--budget", "--guard", "--as", "--json"),
    ],
    "join": ["ROOM", "--role", "--human", "--as", "--json"],
    "send": [
        *("ROOM", "TEXT", "--type", "--to", "--reply-to", "--body", "--as", "--human", "--json"),
    ],
    "history": ["ROOM", "--limit", "--after", "--before", "--json"],
    "wait": ["ROOM", "--timeout", "--after", "--as", "--json"],
    "watch": ["ROOM", "--format", "line,json", "--mentions"],
    "verdict": ["ROOM", "--wait", "--json"],
    "settings": ["ROOM", "--budget", "--guard", "--as", "--json"],
    "close": ["ROOM", "CONCLUSION", "--human", "--as", "--json"],
    "reopen": ["ROOM", "--human", "--as", "--json"],
    "delete": ["ROOM", "--yes", "--as"],
    "search": ["WORD", "--room", "--json"],
    "export": ["ROOM", "--format", "md,jsonl", "--output"],
    "templates": ["show", "check", "--json"],
    "replay": ["FILE", "--template", "--role", "NAME=ROLE", "--json"],
    "serve": ["--host", "--port", "--store", "8750", "127.0.0.1"],
    "install": ["HOST", "--agent", "--json"],
    "demo": ["review"],
    "backup": ["FILE", "--force", "--store", "--json"],
    "restore": ["FILE", "--yes", "--done", "--store", "--json"],
    "check": ["FILE", "--store", "--json"],
    "vacuum": ["--store", "--json"],
    "migrate": ["--from", "--to", "STORE", "--json"],
    "doctor": ["--json"],
    "report": ["FILE", "--store"],
    "version": [],
}
HEAVY = [
    *("mcp", "pydantic", "httpx2", "apsw", "starlette", "uvicorn", "asyncio", "anyio", "jinja2"),
    *("prometheus_client", "opentelemetry"),
]

LOADED = """
import sys
from room_mcp.cli import main
words = {words!r}
try:
    sys.stdout = sys.stderr
    main(words)
except SystemExit:
    pass
sys.stdout = sys.__stdout__
print(*(name for name in {names!r} if name in sys.modules))
"""


def loaded(shell: Shell, words: list[str], names: list[str]) -> list[str]:
    """Those of the modules that a command line has imported when it is done."""
    return [*run_python(LOADED.format(words=words, names=names), env=shell.whole_environment)]


@pytest.mark.parametrize("command", OPTIONS)
def test_the_help_of_a_command_names_all_its_options(shell: Shell, command: str):
    said = shell(command, "--help")

    assert said.code == 0
    assert [option for option in OPTIONS[command] if option not in said.out] == []


def test_the_help_names_every_command(shell: Shell):
    said = shell("--help")

    assert [command for command in OPTIONS if f"    {command} " not in said.out] == []
    assert "--transport" in said.out


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["version"],
        ["--version"],
        ["nonsense"],
        ["send", "--help"],
        ["templates", "check", "--help"],
        ["replay", "--help"],
    ],
)
def test_what_needs_no_room_imports_nothing_heavy(shell: Shell, words: list[str]):
    assert loaded(shell, words, HEAVY) == []


@pytest.mark.parametrize(
    "words",
    [
        ["rooms"],
        ["create", "docs"],
        ["send", "review", "hi"],
        ["history", "review"],
        ["wait", "review", "--after", "0"],
        ["watch", "closed"],
        ["join", "review"],
        ["settings", "review"],
        ["verdict", "closed"],
        ["close", "review"],
        ["templates"],
        ["search", "hi"],
        ["export", "review"],
    ],
    ids=lambda words: words[0],
)
def test_the_room_commands_do_not_import_mcp(shell: Shell, words: list[str]):
    shell.room("review", "hello")
    shell.room("closed")
    shell("close", "closed")

    assert loaded(shell, words, ["mcp", "pydantic"]) == ["pydantic"]


def test_a_template_is_checked_without_store_and_server(shell: Shell, tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text('{"terminal":[{"type":"decision"}]}')

    assert shell("templates", "check", str(file)).code == 0
    assert loaded(shell, ["templates", "check", str(file)], HEAVY) == []


def test_a_replay_opens_no_store(shell: Shell, tmp_path: Path):
    file = tmp_path / "past.jsonl"
    file.write_text('{"sender":"ann","content":"hi"}')

    words = ["replay", str(file), "--template", "open"]

    assert loaded(shell, words, ["mcp", "apsw", "httpx2", "room_mcp.rooms"]) == ["room_mcp.rooms"]
    assert not shell.home.exists()


@pytest.mark.parametrize("words", ["version", "--version"])
def test_the_version_is_that_of_the_package(shell: Shell, words: str):
    assert shell(words).out == f"room-mcp {room_mcp.__version__}\n"


def test_python_can_run_the_package(shell: Shell):
    done = subprocess.run(
        [sys.executable, "-m", "room_mcp", "version"],
        capture_output=True,
        text=True,
        env=shell.whole_environment,
        check=True,
    )

    assert done.stdout == f"room-mcp {room_mcp.__version__}\n"
