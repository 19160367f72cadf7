"""`room-mcp migrate`: what it says, and what the commands of this machine say after it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from cli_shell import Shell, run_python
from postgres_databases import empty_database

from room_mcp.compose import open_client
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings

PASSWORD = "ill-kept-" + "word"


def told(url: str) -> str:
    """The database without the login."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def place(url: str) -> str:
    """The database with its user, and without what is secret."""
    return told(url).replace("//", f"//{urlsplit(url).username}@", 1)


def run_sql(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def test_the_rooms_of_this_machine_move_and_its_commands_say_where_to(shell: Shell):
    room_id = shell.room("review", "hello", "world")
    database = empty_database()

    said = shell("migrate", "--to", database)

    assert said.code == 0
    assert f"Moved 1 room with 2 messages to {told(database)}" in said.out
    assert f"ROOM_MCP_STORE={place(database)}, with its password in ~/.pgpass" in said.out
    assert "100 %: 2 of 2 messages" in said.err
    assert "room-mcp admit ROOM NAME lets in" in " ".join(said.out.split())
    for words in (["history", room_id], ["send", room_id, "more", "--as", "ann"], ["rooms"]):
        refused = shell(*words)
        assert refused.code == 1
        assert f"were moved to {place(database)} on " in refused.err
        assert f"ROOM_MCP_STORE={place(database)}, with its password" in refused.err
        assert "room-mcp connect" in refused.err


def test_commands_and_hosts_use_the_database_that_is_their_store(shell: Shell):
    room_id = shell.room("review", "hello")
    database = empty_database()
    shell("migrate", "--to", database)
    shell.env["ROOM_MCP_STORE"] = database

    assert shell("send", room_id, "more", "--as", "ann").code == 0
    assert "more" in shell("history", room_id).out
    assert "move" in shell("audit").out


def test_agents_without_keys_are_let_into_their_rooms_again_on_the_command_line(shell: Shell):
    made = shell("create", "review", "--access", "approval", "--as", "ann", "--json")
    room_id = json.loads(made.out)["id"]
    shell("join", room_id, "--as", "ann")
    database = empty_database()
    shell("migrate", "--to", database)
    shell.env["ROOM_MCP_STORE"] = database

    async def ask(name: str) -> None:
        settings = Settings(home=shell.home, store=database)
        async with open_client(settings, trusted=False) as agent:
            await agent.join(room_id, name, protect=True)

    with pytest.raises(BackendRefused, match="belongs to somebody else"):
        asyncio.run(ask("ann"))
    asyncio.run(ask("ann-2"))
    asked = shell("settings", room_id)
    acts = (("admit", "ann-2"), ("remove", "ann"), ("close",))
    done = [shell(act, room_id, *names).code for act, *names in acts]

    assert "ann-2" in asked.out
    assert done == [0, 0, 0]


def test_there_and_back_again(shell: Shell, tmp_path: Path):
    room_id = shell.room("review", "hello")
    database, back = empty_database(), tmp_path / "back.db"
    shell("migrate", "--to", database)

    facts = shell("migrate", "--from", database, "--to", str(back), "--json").json
    shell.env["ROOM_MCP_STORE"] = str(back)

    assert facts.keys() == {"to", "rooms", "messages", "passes", "blockedMs"}
    assert (facts["to"], facts["rooms"], facts["messages"]) == (str(back), 1, 1)
    assert "hello" in shell("history", room_id).out
    assert shell("check").code == 0


def test_what_was_moved_away_is_no_empty_target(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    database, back = empty_database(), tmp_path / "back.db"
    shell("migrate", "--to", database)
    shell("migrate", "--from", database, "--to", str(back))

    said = shell("migrate", "--from", str(back), "--to", database)

    assert said.code == 1
    assert f"is the old store of rooms that were moved to {back}" in said.err
    assert (
        f"Name an empty database. To go on with those rooms, name where they are: --from or "
        f"ROOM_MCP_STORE, {back}" in said.err
    )


@pytest.mark.parametrize("scheme", ["postgres", "PostgreSQL", "POSTGRES"])
def test_all_spellings_of_the_scheme_mean_the_same(shell: Shell, scheme: str):
    shell.room("review", "hello")
    database = empty_database()
    spelt = database.replace("postgresql:", f"{scheme}:", 1)

    said = shell("migrate", "--to", spelt)
    shell.env["ROOM_MCP_STORE"] = spelt
    found = shell("doctor", "--json")

    assert f"to {told(database)}; each" in said.out
    assert "hello" in shell("history", "review").out
    assert {one["check"]: one["status"] for one in found.json["checks"]}["postgres"] != "fail"


def test_a_database_of_another_program_is_no_target(shell: Shell):
    shell.room("review", "hello")
    database = empty_database()
    run_sql(database, "CREATE TABLE customers (no int)")

    said = shell("migrate", "--to", database)
    run_sql(database, "DROP TABLE customers")
    again = shell("migrate", "--to", database)

    assert (said.code, again.code) == (1, 0)
    assert "holds tables of another program (customers)" in said.err
    assert "Give room-mcp a database of its own; or a schema" in said.err


def test_on_a_terminal_there_is_a_bar(shell: Shell):
    shell.room("review", "hello")
    ours, terminal = pty.openpty()
    code = (
        "import sys\nfrom room_mcp.cli.migrating import Bar\nsys.stderr = open(0, 'w')\n"
        "with Bar() as bar:\n    bar(1, 2)\n    bar(1, 2)\n    bar(2, 2)\n"
    )
    try:
        import subprocess
        import sys

        subprocess.run(
            [sys.executable, "-c", code], stdin=terminal, env=shell.whole_environment, check=True
        )
        shown = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(terminal)

    assert shown.count(" 50 %") == shown.count(" 100 %") == 1
    assert "messages/s" in shown


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("a.db", "b.db", "backup and restore"),
        ("postgresql://db/a", "postgres://db/b", "pg_dump"),
    ],
)
def test_stores_of_one_kind_are_copied_otherwise(shell: Shell, source: str, target: str, why: str):
    said = shell("migrate", "--from", source, "--to", target)

    assert said.code == 2
    assert why in said.err


def test_the_rooms_of_a_server_are_moved_there(shell: Shell):
    shell.env["ROOM_MCP_URL"] = "https://rooms.example"

    said = shell("migrate", "--to", "postgresql://db/rooms")

    assert said.code == 2
    assert "its operator moves them" in said.err


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_password_is_never_said(shell: Shell, tmp_path: Path, option: str):
    shell.room("review", "hello")
    ends = {"--from": str(shell.home / "rooms.db"), "--to": str(tmp_path / "new.db")}
    ends[option] = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/rooms"

    said = shell("migrate", *(word for pair in ends.items() for word in pair))

    assert said.code == 1
    assert "postgresql://127.0.0.1:1/rooms" in said.err
    assert PASSWORD not in said.err + said.out


def test_the_help_imports_nothing_heavy(shell: Shell):
    code = (
        "import sys\nfrom room_mcp.cli import main\nsys.stdout = sys.stderr\n"
        "try:\n    main(['migrate', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.stdout = sys.__stdout__\n"
        "print(*({'apsw', 'asyncpg', 'asyncio', 'pydantic', 'anyio'} & set(sys.modules)))"
    )

    assert run_python(code, env=shell.whole_environment) == []
