"""What the command line finds, says, shows and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from room_mcp.installing.hosts import BY_NAME, HOSTS

SECRET = "s3cret-key"


def test_without_a_name_every_host_that_is_found_is_done(desk):
    desk.write("home/.cursor/argv.json", "{}")
    desk.program("gemini")

    said = desk.install()

    assert said.code == 0
    assert [line.split(":")[0] for line in said.out.splitlines() if ": added" in line] == [
        "Cursor",
        "Gemini CLI",
    ]


def test_where_no_host_is_found_the_names_are_listed(desk):
    said = desk.install()

    assert said.code == 1
    assert all(host.name in said.err for host in HOSTS)
    assert desk.everything() == {}


def test_a_database_tool_called_goose_is_not_taken_for_the_host(desk):
    desk.program("goose")

    said = desk.install()

    assert said.code == 1
    assert "No host was found" in said.err


def test_a_named_host_that_is_not_found_gets_its_file_all_the_same(desk):
    said = desk.install("windsurf")

    assert said.code == 0
    assert "mcp_config.json was made." in said.out


def test_an_unknown_host_is_refused_with_the_known_ones(desk):
    said = desk.install("cursor", "emacs")

    assert said.code == 2
    assert "Unknown host: emacs." in said.err
    assert "claude-desktop" in said.err
    assert desk.everything() == {}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("claude", "claude-code"),
        ("code", "vscode"),
        ("vs-code", "vscode"),
        ("gemini-cli", "gemini"),
        ("copilot-cli", "copilot"),
        ("codex-cli", "codex"),
    ],
)
def test_a_host_has_several_spellings(spelling, name):
    assert BY_NAME[spelling].name == name


def test_help_lists_the_hosts_with_their_spellings(desk):
    with pytest.raises(SystemExit):
        desk.install("--help")

    out = desk.capsys.readouterr().out
    assert all(f"  {host.name} " in out for host in HOSTS)
    assert "(also: claude)" in out


def test_names_may_be_written_in_capitals_and_twice(desk):
    said = desk.install("Cursor", "cursor")

    assert said.out.count("Cursor: ") == 1


@pytest.mark.parametrize("flag", ["--print", "--dry-run"])
def test_looking_changes_nothing(desk, flag):
    desk.write("home/.cursor/mcp.json", "{}")
    desk.program("claude")
    before = desk.everything()

    said = desk.install(*(host.name for host in HOSTS), flag)

    assert said.code == 0
    assert desk.everything() == before
    assert desk.calls() == []


def test_a_dry_uninstall_changes_nothing(desk):
    desk.install("cursor")
    before = desk.everything()

    said = desk.install("cursor", "--uninstall", "--dry-run")

    assert "Cursor: would be removed. In " in said.out
    assert desk.everything() == before


def test_a_dry_run_names_the_command_or_the_file(desk):
    desk.program("claude")

    said = desk.install("claude", "cursor", "--dry-run")

    command = f"claude mcp add -s user room -- {desk.room_mcp}"
    assert f"Claude Code: would be added. By: {command}\n" in said.out
    assert f"Cursor: would be added. In {desk.home}/.cursor/mcp.json, which would be" in said.out


def test_print_shows_the_file_the_snippet_and_the_command(desk):
    desk.program("codex")

    said = desk.install("codex", "--print")

    assert f"{desk.home}/.codex/config.toml" in said.out
    assert f'    [mcp_servers.room]\n    command = "{desk.room_mcp}"\n    args = []' in said.out
    assert f"codex mcp add room -- {desk.room_mcp}" in said.out


def test_print_and_uninstall_do_not_go_together(desk):
    assert desk.install("cursor", "--print", "--uninstall").code == 2


@pytest.mark.parametrize("flag", ["--print", "--dry-run", "--json", "--uninstall", "--scope=user"])
def test_the_key_is_never_said(desk, flag):
    desk.env["ROOM_MCP_URL"] = "https://rooms.example"
    desk.env["ROOM_MCP_KEY"] = SECRET
    desk.program("codex")
    desk.write("home/.gemini/settings.json", "{ broken")

    first = desk.install("cursor", "gemini", "codex", "goose", flag)
    second = desk.install("cursor", "gemini", "codex", "goose", flag)

    assert SECRET not in first.out + first.err + second.out + second.err
    assert not any(SECRET in call for call in desk.calls())


def test_print_names_the_key_in_the_place_of_its_value(desk):
    desk.env["ROOM_MCP_KEY"] = SECRET

    assert '"ROOM_MCP_KEY": "<ROOM_MCP_KEY>"' in desk.install("cursor", "--print").out


def test_a_key_is_written_for_one_person_and_it_is_said_where(desk):
    desk.env["ROOM_MCP_KEY"] = SECRET

    said = desk.install("cursor")

    assert SECRET in desk.read("home/.cursor/mcp.json")
    assert f"ROOM_MCP_KEY stands readable in: {desk.home}/.cursor/mcp.json." in said.out


def test_a_key_stays_out_of_a_hosts_command_line(desk):
    desk.env["ROOM_MCP_KEY"] = SECRET
    desk.program("claude")

    desk.install("claude")

    assert desk.calls() == []
    assert SECRET in desk.read("home/.claude.json")


def test_a_key_is_left_out_of_a_file_that_a_project_shares(desk):
    desk.env["ROOM_MCP_URL"] = "https://rooms.example"
    desk.env["ROOM_MCP_KEY"] = SECRET

    said = desk.install("claude", "codex", "opencode", "--scope", "project")

    assert not any(SECRET in text for text in desk.everything().values())
    assert "https://rooms.example" in desk.read("project/.mcp.json")
    assert "ROOM_MCP_KEY was left out" in said.out


def test_a_password_in_a_url_is_as_secret_as_a_key(desk):
    desk.env["ROOM_MCP_STORE"] = f"postgresql://me:{SECRET}@rooms.example/rooms"

    assert "<ROOM_MCP_STORE>" in desk.install("cursor", "--print").out
    assert SECRET not in str(desk.install("cursor", "--scope", "project"))
    assert SECRET not in desk.read("project/.cursor/mcp.json")


@pytest.mark.parametrize("url", ["https://me:{}@rooms.example", "https://rooms.example?key={}"])
def test_a_key_in_the_address_of_a_server_is_written_nowhere(desk, url: str):
    desk.env["ROOM_MCP_URL"] = url.format(SECRET)

    said = desk.install("cursor")

    assert said.code == 2
    assert "put the key into ROOM_MCP_KEY" in said.err
    assert SECRET not in str(said)
    assert not any(SECRET in text for text in desk.everything().values())


def test_settings_that_hold_now_are_written_with_paths_made_absolute(desk):
    desk.env["ROOM_MCP_HOME"] = "~/rooms"
    desk.env["ROOM_MCP_STORE"] = "data/rooms.db"
    desk.env["ROOM_MCP_AGENT"] = "rex"
    desk.env["ROOM_MCP_LOG_LEVEL"] = "DEBUG"

    desk.install("cursor")

    entry = json.loads(desk.read("home/.cursor/mcp.json"))["mcpServers"]["room"]
    assert entry["env"] == {
        "ROOM_MCP_HOME": f"{desk.home}/rooms",
        "ROOM_MCP_STORE": f"{desk.project}/data/rooms.db",
        "ROOM_MCP_AGENT": "rex",
    }


def test_a_name_that_is_given_takes_the_place_of_the_one_that_is_set(desk):
    desk.env["ROOM_MCP_AGENT"] = "old"

    desk.install("cursor", "--agent", "rex")

    entry = json.loads(desk.read("home/.cursor/mcp.json"))["mcpServers"]["room"]
    assert entry["args"] == ["--agent", "rex"]
    assert "env" not in entry


def test_a_name_that_no_agent_may_have_is_refused(desk):
    assert desk.install("cursor", "--agent", "all").code == 2


def test_settings_that_contradict_each_other_are_refused_before_they_are_written(desk):
    desk.env |= {"ROOM_MCP_URL": "https://rooms.example", "ROOM_MCP_STORE": "/x.db"}

    assert desk.install("cursor").code == 2
    assert desk.everything() == {}


def test_one_name_for_several_hosts_is_warned_about(desk):
    said = desk.install("cursor", "zed", "--agent", "rex")

    assert "only one process at a time can" in said.out


def test_without_a_script_beside_python_the_one_on_the_path_is_used(desk):
    Path(desk.room_mcp).unlink()
    desk.program("room-mcp")

    said = desk.install("cursor", "--print")

    assert f'"command": "{desk.root}/bin/room-mcp"' in said.out


def test_a_script_in_a_cache_that_may_be_emptied_is_warned_about(desk):
    Path(desk.room_mcp).unlink()
    desk.env["PATH"] = str(desk.root / ".cache/uv/bin")
    desk.write(".cache/uv/bin/room-mcp", "").chmod(0o755)

    said = desk.install("cursor")

    assert "stands in a cache that may be emptied" in said.out


def test_without_any_script_the_module_is_run(desk):
    Path(desk.room_mcp).unlink()

    desk.install("cursor")

    entry = json.loads(desk.read("home/.cursor/mcp.json"))["mcpServers"]["room"]
    assert entry["command"] == f"{desk.root}/venv/bin/python"
    assert entry["args"] == ["-m", "room_mcp"]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_every_host_says_how_to_allow_the_tools_and_what_to_restart(desk, host):
    said = desk.install(host.name)

    assert f"To allow its tools once: {host.allow.split('{file}')[0]}" in said.out
    assert "{file}" not in said.out
    assert host.reload in said.out


def test_uninstalling_says_what_stays_and_how_to_delete_it(desk):
    desk.install("cursor")

    said = desk.install("cursor", "--uninstall")

    assert f"rm -r {desk.home}/.room-mcp" in said.out
    assert "Backups" in said.out


def test_json_answers_with_one_row_for_each_host(desk):
    desk.program("claude")

    rows = json.loads(desk.install("claude", "cursor", "--dry-run", "--json").out)

    assert [(row["host"], row["action"]) for row in rows] == [
        ("claude-code", "would be added"),
        ("cursor", "would be added"),
    ]
    assert rows[0]["command"] == f"claude mcp add -s user room -- {desk.room_mcp}"
    assert rows[1]["path"] == f"{desk.home}/.cursor/mcp.json"


def test_a_project_is_not_the_home_folder(desk):
    desk.project = desk.home

    said = desk.install("cursor", "--scope", "project")

    assert said.code == 2
    assert desk.everything() == {}
