"""What is written into each host's file, and what of it stays."""

from __future__ import annotations

import json
import os
import stat
import tomllib

import pytest

from room_mcp.installing import files
from room_mcp.installing.merging import CannotMerge, with_entry

FLAT = {"command": "ROOM-MCP", "args": []}
STDIO = {"type": "stdio", **FLAT}

SUPPORT = "home/Library/Application Support"

FILES = [
    ("claude-desktop", "home/.config/Claude/claude_desktop_config.json", "mcpServers", FLAT),
    ("claude-code", "home/.claude.json", "mcpServers", STDIO),
    ("cursor", "home/.cursor/mcp.json", "mcpServers", STDIO),
    ("vscode", "home/.config/Code/User/mcp.json", "servers", STDIO),
    ("gemini", "home/.gemini/settings.json", "mcpServers", FLAT),
    (
        "copilot",
        "home/.copilot/mcp-config.json",
        "mcpServers",
        {"type": "local", **FLAT, "tools": ["*"]},
    ),
    (
        "opencode",
        "home/.config/opencode/opencode.json",
        "mcp",
        {"type": "local", "command": ["ROOM-MCP"], "enabled": True},
    ),
    ("cline", "home/.cline/data/settings/cline_mcp_settings.json", "mcpServers", FLAT),
    (
        "cline-vscode",
        "home/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/"
        "cline_mcp_settings.json",
        "mcpServers",
        FLAT,
    ),
    ("windsurf", "home/.codeium/windsurf/mcp_config.json", "mcpServers", FLAT),
    ("zed", "home/.config/zed/settings.json", "context_servers", FLAT),
]

CODEX = """\
[mcp_servers.room]
command = "ROOM-MCP"
args = ["--agent", "rex"]

[mcp_servers.room.env]
ROOM_MCP_URL = "https://rooms.example"
"""

GOOSE = """\
extensions:
  room:
    name: room
    type: stdio
    description: Rooms in which agents talk
    cmd: ROOM-MCP
    args:
    - --agent
    - rex
    envs:
      ROOM_MCP_URL: https://rooms.example
    timeout: 300
    enabled: true
"""

ZED = """\
// My settings.
{
    "theme": "One Dark", // at night
    /* servers */
    "context_servers": {
        "docs": {"command": "docs", "args": []} // mine
    },
    "tabs": {"git_status": true,},
}
"""

ZED_WITH_ROOM = """\
// My settings.
{
    "theme": "One Dark", // at night
    /* servers */
    "context_servers": {
        "docs": {"command": "docs", "args": []}, // mine
        "room": {
            "command": "ROOM-MCP",
            "args": []
        }
    },
    "tabs": {"git_status": true,},
}
"""

CODEX_OWN = """\
# What I like
model = "big"   # for now

[mcp_servers.docs]
command = "docs"

[profiles.quick]
model = "small"
"""

GOOSE_OWN = """\
# What I like
GOOSE_MODE: smart_approve   # ask me
extensions:
  developer:
    enabled: true
    args:
      - "quoted"
GOOSE_MODEL: 'big'
"""


@pytest.mark.parametrize(
    ("host", "name", "container", "entry"), FILES, ids=lambda value: str(value)
)
def test_each_json_host_gets_the_entry_it_understands(desk, host, name, container, entry):
    said = desk.install(host)

    assert said.code == 0
    text = desk.read(name).replace(desk.room_mcp, "ROOM-MCP")
    assert json.loads(text) == {container: {"room": entry}}


def test_codex_gets_a_table(desk):
    desk.env["ROOM_MCP_URL"] = "https://rooms.example"

    desk.install("codex", "--agent", "rex")

    assert desk.read("home/.codex/config.toml").replace(desk.room_mcp, "ROOM-MCP") == CODEX


def test_goose_gets_an_extension(desk):
    desk.env["ROOM_MCP_URL"] = "https://rooms.example"

    desk.install("goose", "--agent", "rex")

    assert desk.read("home/.config/goose/config.yaml").replace(desk.room_mcp, "ROOM-MCP") == GOOSE


def test_opencode_gets_arguments_in_the_command_and_its_own_word_for_the_environment(desk):
    desk.env["ROOM_MCP_URL"] = "https://rooms.example"

    desk.install("opencode", "--agent", "rex")

    entry = json.loads(desk.read("home/.config/opencode/opencode.json"))["mcp"]["room"]
    assert entry["command"] == [desk.room_mcp, "--agent", "rex"]
    assert entry["environment"] == {"ROOM_MCP_URL": "https://rooms.example"}


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("claude-desktop", f"{SUPPORT}/Claude/claude_desktop_config.json"),
        ("vscode", f"{SUPPORT}/Code/User/mcp.json"),
        ("zed", "home/.config/zed/settings.json"),
    ],
)
def test_a_mac_keeps_its_files_elsewhere(desk, host, name):
    desk.platform = "darwin"

    desk.install(host)

    assert list(desk.everything()) == [name]


@pytest.mark.parametrize(
    ("host", "variable", "name"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", "home/moved/.claude.json"),
        ("codex", "CODEX_HOME", "home/moved/config.toml"),
        ("copilot", "COPILOT_HOME", "home/moved/mcp-config.json"),
        ("zed", "XDG_CONFIG_HOME", "home/moved/zed/settings.json"),
    ],
)
def test_a_folder_that_the_environment_moves_is_followed(desk, host, variable, name):
    desk.env[variable] = "~/moved"

    desk.install(host)

    assert list(desk.everything()) == [name]


def test_comments_and_unknown_keys_stay_where_they_are(desk):
    desk.write("home/.config/zed/settings.json", ZED)

    desk.install("zed")

    text = desk.read("home/.config/zed/settings.json")
    assert text.replace(desk.room_mcp, "ROOM-MCP") == ZED_WITH_ROOM


@pytest.mark.parametrize(
    ("host", "name", "text"),
    [
        ("zed", "home/.config/zed/settings.json", ZED),
        ("codex", "home/.codex/config.toml", CODEX_OWN),
        ("goose", "home/.config/goose/config.yaml", GOOSE_OWN),
        ("cursor", "home/.cursor/mcp.json", '{\r\n\t"mcpServers": {\r\n\t\t"a": {}\r\n\t}\r\n}'),
        ("windsurf", "home/.codeium/windsurf/mcp_config.json", '{"mcpServers":{"a":{}}}'),
        ("gemini", "home/.gemini/settings.json", '\ufeff{"mcpServers":{"a":{}}}\n'),
    ],
)
def test_install_and_uninstall_leave_every_byte_as_it_was(desk, host, name, text):
    desk.write(name, text)

    desk.install(host)
    between = desk.read(name)
    desk.install(host, "--uninstall")

    assert desk.room_mcp in between
    assert desk.read(name) == text


def test_comments_of_toml_and_yaml_stay(desk):
    desk.write("home/.codex/config.toml", CODEX_OWN)
    desk.write("home/.config/goose/config.yaml", GOOSE_OWN)

    desk.install("codex", "goose")

    toml, yaml = desk.read("home/.codex/config.toml"), desk.read("home/.config/goose/config.yaml")
    assert 'model = "big"   # for now' in toml
    assert tomllib.loads(toml)["profiles"] == {"quick": {"model": "small"}}
    assert "GOOSE_MODE: smart_approve   # ask me" in yaml
    assert '      - "quoted"' in yaml


def test_a_second_install_changes_nothing(desk):
    desk.install("zed", "codex", "goose", "opencode", "copilot")
    before = desk.everything()

    said = desk.install("zed", "codex", "goose", "opencode", "copilot")

    assert desk.everything() == before
    assert said.out.count("unchanged") == 5


def test_what_a_person_added_to_our_entry_stays_when_it_is_brought_up_to_date(desk):
    desk.write(
        "home/.gemini/settings.json",
        """{"mcpServers": {"room": {
            "command": "/old/room-mcp", "trust": true, // I trust it
            "env": {"LANG": "C", "ROOM_MCP_URL": "https://old.example"}
        }}}""",
    )

    desk.install("gemini")

    text = desk.read("home/.gemini/settings.json")
    entry = json.loads(text.replace("// I trust it", ""))["mcpServers"]["room"]
    assert entry == {"command": desk.room_mcp, "args": [], "trust": True, "env": {"LANG": "C"}}
    assert "// I trust it" in text


@pytest.mark.parametrize("word", ["install", "uninstall"])
def test_another_server_under_our_name_is_left_alone(desk, word):
    text = '{"mcpServers": {"room": {"command": "hotel-booking"}}}'
    desk.write("home/.cursor/mcp.json", text)

    said = desk.install("cursor", *(["--uninstall"] if word == "uninstall" else []))

    assert said.code == 1
    assert "another server under the name 'room'" in said.out
    assert desk.everything() == {"home/.cursor/mcp.json": text}


@pytest.mark.parametrize(
    ("host", "name", "text"),
    [
        ("cursor", "home/.cursor/mcp.json", '{"mcpServers": {'),
        ("cursor", "home/.cursor/mcp.json", '{"mcpServers": ["a"]}'),
        ("cursor", "home/.cursor/mcp.json", '{"a": 1 "b": 2}'),
        ("codex", "home/.codex/config.toml", "model = = 1\n"),
        ("goose", "home/.config/goose/config.yaml", "a: [1\nb: }\n"),
    ],
)
def test_a_file_that_does_not_parse_is_left_alone_and_the_snippet_is_shown(desk, host, name, text):
    desk.write(name, text)

    said = desk.install(host)

    assert said.code == 1
    assert "was left as it is" in said.out
    assert desk.room_mcp in said.out
    assert desk.everything() == {name: text}


def test_a_file_that_is_not_text_is_left_alone(desk):
    path = desk.root / "home/.cursor/mcp.json"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe{\x00}\x00")

    said = desk.install("cursor")

    assert said.code == 1
    assert "not text in UTF-8" in said.out
    assert path.read_bytes() == b"\xff\xfe{\x00}\x00"


def test_a_file_that_another_program_has_just_changed_is_left_alone(desk):
    path = desk.write("home/.claude.json", '{"now": 1}')

    with pytest.raises(CannotMerge, match="another program has just changed it"):
        files.replace(path, '{"then": 1}', "{}", private=True)

    assert desk.everything() == {"home/.claude.json": '{"now": 1}'}


def test_a_second_file_with_another_server_under_our_name_is_left_alone(desk):
    theirs = '{"mcp": {"room": {"type": "local", "command": ["hotel-booking"]}}}'
    desk.write("home/.config/opencode/opencode.json", theirs.replace("hotel-booking", "room-mcp"))
    desk.write("home/.config/opencode/opencode.jsonc", theirs)

    said = desk.install("opencode", "--uninstall")

    assert said.code == 1
    assert desk.read("home/.config/opencode/opencode.jsonc") == theirs


@pytest.mark.parametrize("entry", ['{"command": "hotel-booking"}', '{"url": "https://x"}', "[]"])
def test_an_entry_that_does_not_start_us_is_not_ours_to_edit(entry):
    with pytest.raises(CannotMerge, match="another server"):
        with_entry(f'{{"servers": {{"room": {entry}}}}}', "json", "servers", FLAT)


def test_the_first_original_is_never_overwritten_by_a_later_backup(desk):
    original = '{"mcpServers": {"a": {}}}'
    desk.write("home/.cursor/mcp.json", original)

    desk.install("cursor")
    desk.install("cursor", "--agent", "rex")

    assert desk.read("home/.cursor/mcp.json.room-mcp-backup") == original
    assert desk.room_mcp in desk.read("home/.cursor/mcp.json.room-mcp-backup-2")


def test_a_linked_file_stays_a_link_and_keeps_its_mode(desk):
    real = desk.write("home/dotfiles/zed.json", "{}\n")
    real.chmod(0o640)
    link = desk.root / "home/.config/zed/settings.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)

    desk.install("zed")

    assert os.readlink(link) == str(real)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "room" in real.read_text()


def test_a_new_file_of_one_person_is_for_their_eyes_only(desk):
    desk.install("cursor")

    assert stat.S_IMODE((desk.root / "home/.cursor/mcp.json").stat().st_mode) == 0o600


def test_of_two_files_that_a_host_reads_the_one_that_exists_is_used(desk):
    desk.write("home/.config/opencode/opencode.jsonc", "// mine\n{}\n")

    desk.install("opencode")

    assert "home/.config/opencode/opencode.json" not in desk.everything()
    assert desk.read("home/.config/opencode/opencode.jsonc").startswith("// mine\n")


def test_uninstalling_takes_us_out_of_both_files_of_a_host(desk):
    text = '{"mcp": {"room": {"type": "local", "command": ["/x/room-mcp"]}}}'
    desk.write("home/.config/opencode/opencode.json", text)
    desk.write("home/.config/opencode/opencode.jsonc", text)

    said = desk.install("opencode", "--uninstall")

    assert said.code == 0
    assert json.loads(desk.read("home/.config/opencode/opencode.json")) == {"mcp": {}}
    assert json.loads(desk.read("home/.config/opencode/opencode.jsonc")) == {"mcp": {}}


PROJECT_FILES = [
    ("claude-code", ".mcp.json", "mcpServers", STDIO),
    ("cursor", ".cursor/mcp.json", "mcpServers", STDIO),
    ("vscode", ".vscode/mcp.json", "servers", STDIO),
    ("gemini", ".gemini/settings.json", "mcpServers", FLAT),
    ("copilot", ".mcp.json", "mcpServers", STDIO),
    (
        "opencode",
        "opencode.json",
        "mcp",
        {"type": "local", "command": ["ROOM-MCP"], "enabled": True},
    ),
]


@pytest.mark.parametrize(("host", "name", "container", "entry"), PROJECT_FILES)
def test_a_project_gets_its_own_file(desk, host, name, container, entry):
    said = desk.install(host, "--scope", "project")

    assert said.code == 0
    assert list(desk.everything()) == [f"project/{name}"]
    text = desk.read(f"project/{name}").replace(desk.room_mcp, "ROOM-MCP")
    assert json.loads(text) == {container: {"room": entry}}


def test_codex_has_a_project_file_too(desk):
    desk.install("codex", "--scope", "project")

    assert list(desk.everything()) == ["project/.codex/config.toml"]


def test_two_hosts_that_share_a_project_file_agree_on_the_entry(desk):
    said = desk.install("claude-code", "copilot", "--scope", "project")

    assert "Claude Code: added" in said.out
    assert "Copilot CLI: unchanged" in said.out


def test_a_host_without_a_project_file_says_so(desk):
    said = desk.install("windsurf", "--scope", "project")

    assert said.code == 1
    assert "no file for one project" in said.out
    assert desk.everything() == {}
