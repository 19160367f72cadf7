"""The README says what the code does: tables, commands and examples are checked, not trusted.

`UPDATE_DOCS=1 pytest tests/test_readme.py` writes the tables anew; read the diff.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

from proof import PROOFS
from room_mcp.bridge.server import RoomServer, build_server
from room_mcp.cli.parser import build
from room_mcp.client import RoomsClient
from room_mcp.settings import SETTINGS, Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker}:.*?-->\n```\w+\n(.*?)```", README.read_text("utf-8"), re.S)
    assert found, f"README.md has no code block behind the mark of {marker!r}"
    return found[1]


def between(marker: str) -> re.Match[str]:
    text = README.read_text("utf-8")
    found = re.search(
        rf"(<!-- {marker}:.*?-->\n(?:.*\n){{2}})((?:\|.*\n)*)(<!-- /{marker} -->)", text
    )
    assert found, f"README.md has no table between the marks of {marker!r}"
    return found


def rows_are(marker: str, rows: Iterable[str]) -> None:
    expected = "".join(f"{row}\n" for row in rows)
    found = between(marker)
    if os.environ.get("UPDATE_DOCS"):
        text = README.read_text("utf-8")
        README.write_text(text[: found.start(2)] + expected + text[found.end(2) :], "utf-8")
        return

    assert found[2] == expected, (
        f"README.md: the table of {marker} is stale; UPDATE_DOCS=1 writes it"
    )


def test_the_settings_table_is_the_settings():
    rows_are(
        "settings",
        (
            f"| `{one.name}` | {f'`{one.default}`' if one.default else ''} | {one.unit} | "
            f"{one.meaning} |"
            for one in SETTINGS
        ),
    )


def test_the_commands_table_is_the_command_line():
    subparsers = next(
        action for action in build()._actions if isinstance(action, argparse._SubParsersAction)
    )
    described = {one.dest: one.help for one in subparsers._choices_actions}

    rows_are("commands", (f"| `room-mcp {name}` | {help} |" for name, help in described.items()))


def server(home: Path, client: RoomsClient) -> RoomServer:
    return build_server(Settings(home=home, store=str(home / "rooms.db")), client)


@pytest.mark.anyio
async def test_the_tools_table_is_the_servers(tmp_path: Path):
    async with RoomsClient("http://127.0.0.1:9") as client:
        tools = await server(tmp_path, client).list_tools()

    rows_are(
        "tools",
        (
            f"| `{tool.name}({', '.join(tool.input_schema['properties'])})` | {tool.title} | "
            f"{'no' if tool.annotations and tool.annotations.read_only_hint else 'yes'} |"
            for tool in tools
        ),
    )


@pytest.mark.anyio
async def test_the_resources_table_is_the_servers(tmp_path: Path):
    async with RoomsClient("http://127.0.0.1:9") as client:
        templates = await server(tmp_path, client).list_resource_templates()

    rows_are(
        "resources",
        (f"| `{one.uri_template}` | {one.title} | `{one.mime_type}` |" for one in templates),
    )


@pytest.mark.anyio
async def test_the_prompts_table_is_the_servers(tmp_path: Path):
    async with RoomsClient("http://127.0.0.1:9") as client:
        prompts = await server(tmp_path, client).list_prompts()

    rows_are(
        "prompts",
        (
            f"| `{one.name}({', '.join(argument.name for argument in one.arguments or [])})` | "
            f"{one.description} |"
            for one in prompts
        ),
    )


def test_the_desktop_example_is_what_install_writes():
    example = json.loads((ROOT / "claude_desktop_config.example.json").read_text("utf-8"))

    assert list(example["mcpServers"]) == ["room"]
    assert set(example["mcpServers"]["room"]) == {"command", "args", "env"}


def test_every_target_that_the_readme_names_is_in_the_makefile():
    named = set(re.findall(r"\bmake ([a-z_]+)", README.read_text("utf-8")))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    proofs = re.search(r"^PROOFS := (.*)$", makefile, re.M)
    assert proofs
    targets = {*proofs[1].split(), *re.findall(r"^([a-z_]+):", makefile, re.M)}

    assert {"demo", "test", *PROOFS} <= named
    assert named - targets == set()
    assert tuple(proofs[1].split()) == PROOFS


def test_every_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text("utf-8"))

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: install curl")
def test_the_three_curl_calls_of_the_readme_work(served: str):
    script = block("curl").replace("\\\n", "").replace("http://127.0.0.1:8750", served)
    create, send, read = (line for line in script.splitlines() if line.startswith("curl"))

    made = json.loads(_run(create))
    sent = json.loads(_run(send.replace("ROOM_ID", made["roomId"])))
    page = json.loads(_run(read.replace("ROOM_ID", made["roomId"])))

    assert sent["seq"] == 1
    assert page["messages"][-1]["content"] == "Is issue 2 a blocker?"


@pytest.mark.anyio
async def test_the_python_agent_of_the_readme_answers_until_the_room_closes(served: str):
    program = block("python").replace("http://127.0.0.1:8750", served)
    with anyio.fail_after(60):
        async with RoomsClient(served) as rooms, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.run_process, [sys.executable, "-c", program])
            room = await _room_with_member(rooms, "checker")
            await rooms.post(room, "me", "Is issue 2 a blocker?", type="question")
            answer = (await rooms.messages(room, after=1, wait_s=30)).messages[0]
            await rooms.post(room, "me", {"outcome": "done"}, type="decision")

    assert (answer.sender, answer.type, answer.reply_to) == ("checker", "answer", 1)


async def _room_with_member(rooms: RoomsClient, name: str) -> str:
    number = 0
    while True:
        found = await rooms.rooms()
        for room in found.rooms:
            if name in room.members:
                return room.id
        # Joining changes no directory number, so the next look is after a short wait.
        number = (await rooms.updates({}, directory=number, wait_s=0.2)).directory or number


def _run(command: str) -> str:
    return subprocess.run(
        shlex.split(command), capture_output=True, text=True, check=True, timeout=60
    ).stdout
