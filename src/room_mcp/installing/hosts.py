"""The hosts we know, as a table: where each keeps its servers and how it spells one.

A file name may begin with a place: `{home}`, `{config}`, `{support}` or a host's own folder,
which an environment variable can move; `places` fills them in. Of several files the first that
exists is used, and the first of all is made where none exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the help text of every command reads this table, so it stays light
    from .launch import Launch
    from .machine import Machine

SERVER = "room"  # short: hosts put it before every tool name and cut what gets too long

Entry = dict[str, Any]


def _flat(launch: Launch) -> Entry:
    entry: Entry = {"command": launch.command, "args": list(launch.args)}
    return entry | ({"env": dict(launch.env)} if launch.env else {})


def _stdio(launch: Launch) -> Entry:
    return {"type": "stdio", **_flat(launch)}


def _copilot(launch: Launch) -> Entry:
    return {"type": "local", **_flat(launch), "tools": ["*"]}


def _opencode(launch: Launch) -> Entry:
    entry: Entry = {"type": "local", "command": launch.argv, "enabled": True}
    return entry | ({"environment": dict(launch.env)} if launch.env else {})


def _goose(launch: Launch) -> Entry:
    return {
        "name": SERVER,
        "type": "stdio",
        "description": "Rooms in which agents talk",
        "cmd": launch.command,
        "args": list(launch.args),
        "envs": dict(launch.env),
        "timeout": 300,
        "enabled": True,
    }


@dataclass(frozen=True, slots=True)
class Host:
    """One program that starts MCP servers."""

    name: str
    title: str
    files: tuple[str, ...]
    container: str
    """The key under which the host keeps its servers by name."""
    entry: Callable[[Launch], Entry]
    allow: str
    """How to allow the tools once and for all; `{file}` stands for the host's file."""
    reload: str
    aliases: tuple[str, ...] = ()
    language: str = "json"
    """"json" (comments and trailing commas allowed), "toml" or "yaml"."""
    clues: tuple[str, ...] = ()
    """Files or folders that show the host is here; beside them its program on the PATH."""
    program: str | None = None
    add: str | None = None
    """Arguments for the host's own program; see `commands.filled_in` for the {} words."""
    add_replaces: bool = True
    """Whether `add` writes over an entry of the same name instead of failing."""
    remove: str | None = None
    project_files: tuple[str, ...] = ()
    project_entry: Callable[[Launch], Entry] | None = None
    project_note: str = ""


HOSTS = (
    Host(
        name="claude-desktop",
        title="Claude Desktop",
        files=("{support}/Claude/claude_desktop_config.json",),
        container="mcpServers",
        entry=_flat,
        clues=("{support}/Claude",),
        allow="choose 'Always allow' when Claude first asks for a tool of 'room'.",
        reload="Quit Claude Desktop fully and start it again.",
    ),
    Host(
        name="claude-code",
        title="Claude Code",
        aliases=("claude",),
        files=("{claude}/.claude.json",),
        container="mcpServers",
        entry=_stdio,
        clues=("{claude}/.claude.json",),
        program="claude",
        add="mcp add -s user room {-e} -- {argv}",
        add_replaces=False,
        remove="mcp remove -s user room",
        project_files=(".mcp.json",),
        project_note="Claude Code asks each person once whether this project's servers may run.",
        allow='start `claude --allowedTools mcp__room`, or add "mcp__room" to '
        "permissions.allow in ~/.claude/settings.json.",
        reload="Sessions that are open see it after a restart.",
    ),
    Host(
        name="cursor",
        title="Cursor",
        files=("{home}/.cursor/mcp.json",),
        container="mcpServers",
        entry=_stdio,
        clues=("{home}/.cursor",),
        program="cursor",
        project_files=(".cursor/mcp.json",),
        allow="put Cursor's auto-run on the allowlist mode and choose to add the tool when it "
        'first asks; the rule for all of them is "room:*".',
        reload="Turn 'room' on under Settings > MCP if Cursor shows it as off.",
    ),
    Host(
        name="vscode",
        title="VS Code",
        aliases=("code", "vs-code", "github-copilot-vscode"),
        files=("{support}/Code/User/mcp.json",),
        container="servers",
        entry=_stdio,
        clues=("{support}/Code/User",),
        program="code",
        add="--add-mcp {json}",
        project_files=(".vscode/mcp.json",),
        allow="open the arrow beside 'Allow' when VS Code first asks, and choose the tools of "
        "this server for always.",
        reload="Run 'MCP: List Servers' in the command palette and start 'room'.",
    ),
    Host(
        name="codex",
        title="Codex",
        aliases=("codex-cli", "openai-codex"),
        files=("{codex}/config.toml",),
        container="mcp_servers",
        entry=_flat,
        language="toml",
        clues=("{codex}",),
        program="codex",
        add="mcp add room {--env} -- {argv}",
        remove="mcp remove room",
        project_files=(".codex/config.toml",),
        project_note="Codex reads this file only in a project that you told it to trust.",
        allow='write default_tools_approval_mode = "approve" below [mcp_servers.room] in {file}.',
        reload="Sessions that are open see it after a restart.",
    ),
    Host(
        name="gemini",
        title="Gemini CLI",
        aliases=("gemini-cli",),
        files=("{home}/.gemini/settings.json",),
        container="mcpServers",
        entry=_flat,
        clues=("{home}/.gemini/settings.json",),
        program="gemini",
        add="mcp add -s user room {-e} {command} -- {args}",
        remove="mcp remove -s user room",
        project_files=(".gemini/settings.json",),
        allow="write \"trust\": true into the entry 'room' of {file}, or choose to always "
        "allow the server when Gemini first asks.",
        reload="Start Gemini anew, in a folder that it trusts: elsewhere it starts no servers.",
    ),
    Host(
        name="copilot",
        title="Copilot CLI",
        aliases=("copilot-cli", "github-copilot"),
        files=("{copilot}/mcp-config.json",),
        container="mcpServers",
        entry=_copilot,
        clues=("{copilot}/config.json", "{copilot}/mcp-config.json"),
        program="copilot",
        add="mcp add room {--env} -- {argv}",
        add_replaces=False,
        remove="mcp remove room",
        project_files=(".mcp.json",),
        project_entry=_stdio,  # Claude Code reads this file too and does not know "local"
        project_note="Copilot reads this file only in a folder that you told it to trust.",
        allow="start `copilot --allow-tool=room`.",
        reload="Sessions that are open see it after a restart.",
    ),
    Host(
        name="opencode",
        title="opencode",
        aliases=("open-code",),
        files=("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc"),
        container="mcp",
        entry=_opencode,
        clues=("{config}/opencode",),
        program="opencode",
        add="mcp add room {--env} -- {argv}",
        project_files=("opencode.json", "opencode.jsonc"),
        allow='nothing to do unless you made it ask; then write "room_*": "allow" below '
        '"permission" in {file}.',
        reload="Sessions that are open see it after a restart.",
    ),
    Host(
        name="cline",
        title="Cline",
        files=("{cline}/data/settings/cline_mcp_settings.json",),
        container="mcpServers",
        entry=_flat,
        clues=("{cline}/data",),
        program="cline",
        add="mcp install room --yes -- {argv}",
        remove="mcp uninstall room",
        allow="tick 'Auto-approve' beside the tools in Cline's list of MCP servers, or name them "
        'in "autoApprove" in the entry.',
        reload="Cline notices the change by itself.",
    ),
    Host(
        name="cline-vscode",
        title="Cline in VS Code (versions with a settings file of their own)",
        files=(
            "{support}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/"
            "cline_mcp_settings.json",
        ),
        container="mcpServers",
        entry=_flat,
        clues=(
            "{support}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/"
            "cline_mcp_settings.json",
        ),
        allow="tick 'Auto-approve' beside the tools in Cline's list of MCP servers.",
        reload="Cline notices the change by itself.",
    ),
    Host(
        name="windsurf",
        title="Windsurf",
        files=("{home}/.codeium/windsurf/mcp_config.json",),
        container="mcpServers",
        entry=_flat,
        clues=("{home}/.codeium/windsurf",),
        program="windsurf",
        allow="choose to always allow when Cascade first asks for a tool of 'room'.",
        reload="Press refresh in Cascade's list of MCP servers.",
    ),
    Host(
        name="zed",
        title="Zed",
        files=("{config}/zed/settings.json",),
        container="context_servers",
        entry=_flat,
        clues=("{config}/zed",),
        program="zed",
        allow="choose 'Always allow' when the agent panel first asks for a tool of 'room'.",
        reload="Zed notices the change by itself.",
    ),
    Host(
        name="goose",
        title="Goose",
        files=("{config}/goose/config.yaml",),
        container="extensions",
        entry=_goose,
        language="yaml",
        # Not by its program: a well-known database tool is called `goose` too.
        clues=("{config}/goose",),
        allow="choose 'Always Allow' when Goose first asks, or set it in `goose configure` "
        "under the tool permissions.",
        reload="Start a new session.",
    ),
)

BY_NAME = {name: host for host in HOSTS for name in (host.name, *host.aliases)}


def places(machine: Machine) -> dict[str, str]:
    """The folders that file names begin with, as this machine's environment has them."""
    home = str(machine.home)

    def moved(variable: str, default: str) -> str:
        return str(machine.absolute(machine.env.get(variable) or default))

    config = moved("XDG_CONFIG_HOME", f"{home}/.config")
    is_mac = machine.platform == "darwin"
    return {
        "home": home,
        "config": config,
        "support": f"{home}/Library/Application Support" if is_mac else config,
        "claude": moved("CLAUDE_CONFIG_DIR", home),
        "codex": moved("CODEX_HOME", f"{home}/.codex"),
        "copilot": moved("COPILOT_HOME", f"{home}/.copilot"),
        "cline": moved("CLINE_DIR", f"{home}/.cline"),
    }


def files_of(host: Host, machine: Machine, *, project: bool) -> list[Path]:
    """The files that may hold the host's servers, best first; empty: it has none for projects."""
    if project:
        return [machine.cwd / name for name in host.project_files]
    known = places(machine)
    return [Path(name.format_map(known)) for name in host.files]


def entry_of(host: Host, launch: Launch, *, project: bool) -> Entry:
    """What stands under our name in the host's file."""
    make = host.project_entry if project and host.project_entry else host.entry
    return make(launch)


def is_here(host: Host, machine: Machine) -> bool:
    """Whether the host shows itself on this machine."""
    known = places(machine)
    if any(os.path.exists(clue.format_map(known)) for clue in host.clues):
        return True
    return host.program is not None and machine.which(host.program) is not None
