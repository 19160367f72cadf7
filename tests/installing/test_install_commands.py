"""A host's own program is used where it has one, and its file where that fails."""

from __future__ import annotations

import json

import pytest

from room_mcp.installing import machine


def servers(desk, **more: object) -> str:
    return json.dumps({"mcpServers": {"room": {"command": desk.room_mcp, "args": [], **more}}})


COMMANDS = [
    ("claude-code", "claude", "mcp|add|-s|user|room|-e|ROOM_MCP_URL=u|--|BIN|--agent|rex|"),
    ("codex", "codex", "mcp|add|room|--env|ROOM_MCP_URL=u|--|BIN|--agent|rex|"),
    ("gemini", "gemini", "mcp|add|-s|user|room|-e|ROOM_MCP_URL=u|BIN|--|--agent|rex|"),
    ("copilot", "copilot", "mcp|add|room|--env|ROOM_MCP_URL=u|--|BIN|--agent|rex|"),
    ("opencode", "opencode", "mcp|add|room|--env|ROOM_MCP_URL=u|--|BIN|--agent|rex|"),
    (
        "vscode",
        "code",
        '--add-mcp|{"name": "room", "type": "stdio", "command": "BIN", '
        '"args": ["--agent", "rex"], "env": {"ROOM_MCP_URL": "u"}}|',
    ),
]


@pytest.mark.parametrize(("host", "program", "words"), COMMANDS)
def test_a_hosts_own_command_is_called_with_the_launch(desk, host, program, words):
    desk.program(program)
    desk.env["ROOM_MCP_URL"] = "u"

    desk.install(host, "--agent", "rex")

    assert desk.calls() == [f"{program} {words}".replace("BIN", desk.room_mcp)]


def test_clines_own_command_is_called_when_there_is_no_environment_to_pass(desk):
    desk.program("cline")

    desk.install("cline")

    assert desk.calls() == [f"cline mcp|install|room|--yes|--|{desk.room_mcp}|"]


def test_clines_file_is_edited_when_there_is_an_environment_to_pass(desk):
    desk.program("cline")
    desk.env["ROOM_MCP_URL"] = "u"

    desk.install("cline")

    entry = json.loads(desk.read("home/.cline/data/settings/cline_mcp_settings.json"))
    assert entry["mcpServers"]["room"]["env"] == {"ROOM_MCP_URL": "u"}
    assert desk.calls() == []


def test_what_the_command_wrote_is_left_as_the_host_wrote_it(desk):
    written = servers(desk, type="stdio", env={})
    desk.program("claude", on={"add": ("home/.claude.json", written)})

    said = desk.install("claude")

    assert said.code == 0
    assert "Its own command did it: claude mcp add -s user room" in said.out
    assert desk.everything() == {"home/.claude.json": written}


def test_a_command_that_fails_is_quoted_in_one_line_and_the_file_is_edited(desk):
    desk.program("claude", says="\x1b[31mError: not today\nand more", code=3)

    said = desk.install("claude-code")

    assert said.code == 0
    assert "Its own command failed (Error: not today), so its file was edited." in said.out
    entry = json.loads(desk.read("home/.claude.json"))["mcpServers"]["room"]
    assert entry["command"] == desk.room_mcp


def test_a_command_that_reports_success_but_writes_nothing_is_not_believed(desk):
    desk.program("code")

    said = desk.install("code")

    assert "reported success but wrote nothing there" in said.out
    assert desk.room_mcp in desk.read("home/.config/Code/User/mcp.json")


def test_a_command_that_never_answers_is_given_up(desk, monkeypatch):
    monkeypatch.setattr(machine, "COMMAND_TIMEOUT_S", 0.05)
    desk.write("bin/claude", "#!/bin/sh\nexec /bin/sleep 60\n").chmod(0o755)

    said = desk.install("claude")

    assert said.code == 0
    assert "Its own command failed (no answer within 0.05 s)" in said.out


def test_a_command_that_cannot_be_started_is_given_up(desk):
    desk.write("bin/claude", "#!/no/such/interpreter\n").chmod(0o755)

    said = desk.install("claude")

    assert said.code == 0
    assert "it could not be started" in said.out


def test_an_entry_that_is_right_already_costs_no_command(desk):
    desk.program("claude")
    desk.write("home/.claude.json", servers(desk, type="stdio", env={}))

    said = desk.install("claude")

    assert "Claude Code: unchanged" in said.out
    assert desk.calls() == []


def test_clines_own_spelling_of_our_entry_is_known_as_ours(desk):
    nested = {"transport": {"type": "stdio", "command": desk.room_mcp}}
    desk.write(
        "home/.cline/data/settings/cline_mcp_settings.json",
        json.dumps({"mcpServers": {"room": nested}}),
    )

    said = desk.install("cline")

    assert "Cline: unchanged" in said.out


def test_clines_own_spelling_gives_way_when_the_entry_changes(desk):
    nested = {"transport": {"type": "stdio", "command": desk.room_mcp}}
    name = "home/.cline/data/settings/cline_mcp_settings.json"
    desk.write(name, json.dumps({"mcpServers": {"room": nested}}))

    desk.install("cline", "--agent", "rex")

    entry = json.loads(desk.read(name))["mcpServers"]["room"]
    assert entry == {"command": desk.room_mcp, "args": ["--agent", "rex"]}


def test_a_command_that_cannot_write_over_an_entry_is_called_after_a_removal(desk):
    desk.write(
        "home/.claude.json", '{"mcpServers": {"room": {"command": "/old/room-mcp", "args": []}}}'
    )
    desk.program(
        "claude",
        on={
            "remove": ("home/.claude.json", '{"mcpServers": {}}'),
            "add": ("home/.claude.json", servers(desk)),
        },
    )

    said = desk.install("claude")

    assert "Claude Code: updated" in said.out
    assert desk.calls() == [
        "claude mcp|remove|-s|user|room|",
        f"claude mcp|add|-s|user|room|--|{desk.room_mcp}|",
    ]


def test_a_command_that_would_lose_what_a_person_added_is_not_used(desk):
    desk.program("codex")
    desk.write(
        "home/.codex/config.toml",
        '[mcp_servers.room]\ncommand = "/old/room-mcp"\ndefault_tools_approval_mode = "approve"\n',
    )

    desk.install("codex")

    text = desk.read("home/.codex/config.toml")
    assert desk.calls() == []
    assert desk.room_mcp in text
    assert 'default_tools_approval_mode = "approve"' in text


def test_a_broken_file_is_not_handed_to_the_hosts_command_either(desk):
    desk.program("claude")
    desk.write("home/.claude.json", "{")

    said = desk.install("claude")

    assert said.code == 1
    assert desk.calls() == []


@pytest.mark.parametrize("words", [["claude"], ["claude", "--uninstall"]])
def test_another_server_under_our_name_is_not_handed_to_the_hosts_command(desk, words):
    desk.program("claude")
    desk.write("home/.claude.json", '{"mcpServers": {"room": {"command": "hotel-booking"}}}')

    said = desk.install(*words)

    assert said.code == 1
    assert desk.calls() == []


def test_uninstalling_uses_the_hosts_command(desk):
    desk.write("home/.claude.json", servers(desk))
    desk.program("claude", on={"remove": ("home/.claude.json", '{"mcpServers": {}}')})

    said = desk.install("claude", "--uninstall")

    assert "Claude Code: removed. Its own command did it: claude mcp remove" in said.out
    assert desk.calls() == ["claude mcp|remove|-s|user|room|"]


def test_uninstalling_edits_the_file_when_the_command_fails(desk):
    desk.write("home/.claude.json", servers(desk))
    desk.program("claude", says="error: no", code=1)

    said = desk.install("claude", "--uninstall")

    assert said.code == 0
    assert "Its own command failed (error: no), so its file was edited." in said.out
    assert json.loads(desk.read("home/.claude.json")) == {"mcpServers": {}}


def test_uninstalling_what_is_not_there_runs_nothing(desk):
    desk.program("claude")

    said = desk.install("claude", "--uninstall")

    assert said.code == 0
    assert "Claude Code: absent" in said.out
    assert desk.calls() == []


def test_a_project_file_is_edited_directly(desk):
    desk.program("claude")

    desk.install("claude", "--scope", "project")

    assert desk.calls() == []
    assert desk.room_mcp in desk.read("project/.mcp.json")
