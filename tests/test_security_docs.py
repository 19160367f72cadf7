"""The page on security names what exists: commands, options, settings, calls, keys and limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from room_mcp.backend.callers import CODE_PREFIX, SERVER_KEY_PREFIX, new_key
from room_mcp.backend.errors import KINDS
from room_mcp.backend.limiting import DEMO_ROOMS
from room_mcp.backend.operations import OPERATIONS
from room_mcp.backend.pages import PAGES
from room_mcp.cli.parser import build
from room_mcp.settings import SETTINGS, Settings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
COMMANDS = {
    name: parser
    for action in build()._subparsers._group_actions  # type: ignore[union-attr]
    for name, parser in action.choices.items()  # type: ignore[union-attr]
}


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`room-mcp ([a-z]+)", PAGE))))
def test_every_command_exists(command: str):
    assert command in COMMANDS


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z][a-z-]+", PAGE))))
def test_every_option_exists(option: str):
    helps = build().format_help() + "".join(one.format_help() for one in COMMANDS.values())
    nested = "".join(
        inner.format_help()
        for one in COMMANDS.values()
        if one._subparsers is not None
        for action in one._subparsers._group_actions
        for inner in action.choices.values()  # type: ignore[union-attr]
    )

    assert re.search(rf"{option}\b", helps + nested)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"ROOM_MCP_[A-Z_]+", PAGE))))
def test_every_setting_exists(name: str):
    assert name in {one.name for one in SETTINGS}


@pytest.mark.parametrize(
    ("method", "path"), sorted(set(re.findall(r"`(GET|POST|DELETE) (/[\w/]+)`", PAGE)))
)
def test_every_call_exists(method: str, path: str):
    known = {(one.method, one.path) for one in (*OPERATIONS, *PAGES)}

    assert (method, path.replace("ROOM", "{id}")) in known


def test_keys_begin_as_the_table_says():
    table = {
        cells[0]: cells[1] for cells in re.findall(r"^\| ([A-Z][\w ]+) \| `(\w+)` \|", PAGE, re.M)
    }

    assert table == {
        "Server key": SERVER_KEY_PREFIX,
        "Member key": new_key()[:3],
        "Owner key": new_key()[:3],
        "Invitation": CODE_PREFIX,
    }


def test_the_demo_has_the_limits_that_it_says():
    words = {3: "three"}

    assert f"{words[DEMO_ROOMS]} open rooms" in PAGE
    assert f"{Settings(home=ROOT, store='').demo_room_bytes // 1024} KiB each" in PAGE


def test_every_way_to_be_kept_out_has_a_status_of_its_own_kind():
    kept_out = ("key_required", "key_invalid", "barred", "muted", "name_not_yours", "admins_only")

    assert {KINDS[code].status for code in kept_out} == {401, 403}


def test_how_to_report_leads_to_the_page():
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text("utf-8")
    assert "(../SECURITY.md)" in PAGE
