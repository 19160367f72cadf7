"""The page on data names what exists, and all of it: tables, files, commands and settings."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import apsw
import pytest

from room_mcp import certificates, connected, serving
from room_mcp.cli.parser import build
from room_mcp.settings import SETTINGS, Settings
from room_mcp.store.opening import open_store
from room_mcp.store.postgres import schema
from room_mcp.store.sqlite.transactions import MAX_WAL_PAGES

ROOT = Path(__file__).parent.parent
SOURCE = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")
COMMANDS = {
    name: parser
    for action in build()._subparsers._group_actions  # type: ignore[union-attr]
    for name, parser in action.choices.items()  # type: ignore[union-attr]
}


def first_cells(heading: str) -> list[str]:
    """What stands in code in the first column of the table below a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", part, re.M)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_tables_are_those_of_the_schema(tmp_path: Path):
    async def make() -> None:
        store = open_store(tmp_path / "rooms.db")
        await store.open()
        await store.aclose()

    anyio.run(make)
    db = apsw.Connection(str(tmp_path / "rooms.db"))
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
    db.close()

    assert set(first_cells("What the store holds")) == tables
    assert len(first_cells("What the store holds")) == len(tables)


def test_the_tables_of_postgresql_are_those_but_for_what_is_said():
    of_sqlite_alone = {"words", "words_data", "words_idx", "words_docsize", "words_config"}
    of_sqlite_alone |= {"sqlite_sequence"}

    told = {*first_cells("What the store holds"), *first_cells("In PostgreSQL")}

    scripts = "\n".join(schema.scripts().values())
    tables = {"meta", *re.findall(r"^CREATE (?:UNLOGGED )?TABLE (\w+)", scripts, re.M)}
    assert told - of_sqlite_alone == tables


def test_the_files_are_those_that_the_code_writes():
    files = first_cells("Where it is")
    ends = [name.removeprefix("rooms.db").rstrip("…") for name in files if "rooms.db" in name]
    others = {name.rstrip("/") for name in files if "rooms.db" not in name}

    assert [end for end in ends if end not in SOURCE and end != ".rooms.db."] == []
    assert {connected.FILE, serving.NOTE} < others
    assert {name for name in others if f'"{name}"' not in SOURCE} == set()
    folders = set(re.findall(r'(?:home|_folder)\) ?/ "(\w+)"|home / "(\w+)"', SOURCE))
    assert {name for pair in folders for name in pair if name} <= {*others, "rooms.db"}
    assert (certificates.OWN, certificates.SHOWN) == ("server.pem", "certificate.pem")


def test_a_home_that_is_used_holds_nothing_else(tmp_path: Path):
    from room_mcp.cli import main

    named = {name.rstrip("/") for name in first_cells("Where it is")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROOM_MCP_HOME", str(tmp_path / "home"))
        assert main(["create", "review", "--as", "ann"]) == 0
        assert main(["backup", str(tmp_path / "copy.db")]) == 0
        assert main(["restore", str(tmp_path / "copy.db"), "--yes"]) == 0
        assert main(["vacuum"]) == 0

    kept = {re.sub(r"-\d{8}-\d{6}$", "-…", file.name) for file in (tmp_path / "home").iterdir()}
    assert kept <= named


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:`|\$ )room-mcp ([a-z]+)", PAGE))))
def test_every_command_exists(command: str):
    assert command in COMMANDS


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z][a-z-]+", PAGE))))
def test_every_option_exists(option: str):
    helps = "".join(one.format_help() for one in COMMANDS.values())

    assert re.search(rf"{option}\b", helps)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"ROOM_MCP_[A-Z_]+", PAGE))))
def test_every_setting_exists(name: str):
    assert name in {one.name for one in SETTINGS}


def test_the_home_and_the_bound_of_the_wal_are_as_it_says():
    assert str(Settings.from_env({}).home) == str(Path("~/.room-mcp").expanduser())
    assert f"{MAX_WAL_PAGES * 4096 // 1024**2} MiB at most" in PAGE
