"""The command line with a store in PostgreSQL: it works, and shows its password nowhere."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_shell import PATIENCE_S, Said, Shell, run_python
from postgres_databases import empty_database, new_database

from room_mcp.cli import handshake
from room_mcp.cli.doctor import OK, Finding
from room_mcp.store.postgres.census import census
from room_mcp.store_address import holds_password, shown

PASSWORD = "ill-kept-" + "word"
CARE = {
    "backup x.db": "pg_dump",
    "restore x.db": "pg_restore",
    "check": "pg_amcheck",
    "vacuum": "VACUUM",
}
MCP = (
    {
        "method": "initialize",
        "id": 1,
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"method": "tools/call", "id": 2, "params": {"name": "list_rooms", "arguments": {}}},
)


@pytest.fixture
def database(shell: Shell) -> str:
    """The store of this shell, which logs as much as it can."""
    url = new_database()
    shell.env |= {"ROOM_MCP_STORE": url, "ROOM_MCP_LOG_LEVEL": "DEBUG"}
    return url


def secrets_of(url: str) -> list[str]:
    """The password that nobody may see; a server that lets everybody in has none."""
    password = urlsplit(url).password
    return [password] if password else []


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@{parts.netloc.rpartition('@')[2]}").geturl()


def must_hold_none(text: str, secrets: Sequence[str]) -> None:
    assert [one for one in secrets if one in text] == []


WALK = """
rooms
create review --as ann
join review --as rex
send review hello --as ann
history review
search hello
wait review --after 0 --timeout 1 --as rex
settings review
export review
audit
keys create bob
keys list
invite --url https://rooms.example
doctor
templates
rename review talk --as ann
close talk done --as ann
archive talk --as ann
purge talk --as ann --yes
purge --expired --yes
restore --done
delete talk --yes --as ann
rooms --all
"""


def test_every_command_works_and_none_shows_the_password(shell: Shell, database: str):
    said: dict[str, Said] = {line: shell(*line.split()) for line in WALK.strip().splitlines()}

    assert {line: one.out + one.err for line, one in said.items() if one.code} == {}
    must_hold_none("".join(one.out + one.err for one in said.values()), secrets_of(database))
    assert f"in {shown(database)}." in said["rooms"].out
    assert f"{shown(database)} (a database) answers" in said["doctor"].out
    assert " postgres: PostgreSQL " in said["doctor"].out


def test_a_report_tells_how_many_rows_there_are_and_nothing_of_where(
    shell: Shell, database: str, tmp_path: Path
):
    shell.room("review", "hello")

    said = shell("report", str(tmp_path / "report.zip"))

    assert said.code == 0
    with zipfile.ZipFile(tmp_path / "report.zip") as bundle:
        parts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    store = json.loads(parts["store.json"])
    assert (store["rows"]["rooms"], store["rows"]["messages"]) == (1, 1)
    assert json.loads(parts["settings.json"])["ROOM_MCP_STORE"] == "(set)"
    parsed = urlsplit(database)
    told = [parsed.hostname or "", parsed.path[1:], *secrets_of(database)]
    must_hold_none("".join(parts.values()), told)


@pytest.mark.parametrize("words", CARE, ids=lambda words: words.split()[0])
def test_what_is_done_to_a_file_has_a_tool_of_postgresql(shell: Shell, database: str, words: str):
    said = shell(*words.split())

    assert said.code == 2
    assert said.err.startswith(f"room-mcp: The rooms are in {shown(database)}. ")
    assert CARE[words] in said.err
    must_hold_none(said.err, secrets_of(database))


# ---- what is served ------------------------------------------------------------------------------


def test_a_server_notes_its_database_without_the_login(shell: Shell, database: str):
    serving = shell.start("serve", "--port", "0", "--require-key", "--tls-self-signed")
    serving.line()
    note = (shell.home / "serving.json").read_text()

    shell.env["ROOM_MCP_STORE"] = f"{database}?connection_limit=3"
    invited = shell("invite", "--human", "ann")
    shell.env["ROOM_MCP_STORE"] = new_database()
    elsewhere = shell("invite", "--human", "ann")
    serving.signal(signal.SIGTERM)
    log = serving.err

    assert (invited.code, elsewhere.code) == (0, 1)
    assert json.loads(note)["store"] == shown(database)
    assert shown(shell.env["ROOM_MCP_STORE"]) in elsewhere.err
    assert "uvicorn.error: " in log
    must_hold_none(note + invited.err + elsewhere.err + log, secrets_of(database))


def test_an_agent_is_told_which_database_it_is(shell: Shell, database: str):
    process = subprocess.Popen(
        shell.argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.whole_environment,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in MCP))
    process.stdin.flush()
    answers = [process.stdout.readline() for _ in "12"]
    rest, log = process.communicate(timeout=PATIENCE_S)

    assert f"No open rooms in {shown(database)} (database)." in answers[1]
    must_hold_none("".join(answers) + rest + log, secrets_of(database))


# ---- the password --------------------------------------------------------------------------------


@pytest.mark.parametrize("kept_in", ["PGPASSWORD", "PGPASSFILE", ".pgpass"])
def test_the_password_may_be_kept_where_other_programs_look_for_it(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_in: str
):
    url = new_database()
    parts = urlsplit(url)
    password = parts.password or ""
    file = tmp_path / (".pgpass" if kept_in == ".pgpass" else "passwords")
    file.write_text(f"{parts.hostname}:*:*:{parts.username}:{password}\n")
    file.chmod(0o600)
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    if kept_in.startswith("PG"):
        monkeypatch.setenv(kept_in, password if kept_in == "PGPASSWORD" else str(file))
    shell.env["ROOM_MCP_STORE"] = without_password(url)

    assert shell("rooms").code == 0


@pytest.fixture
def password_beside(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """The password of this shell's store, which stands in its environment alone."""
    url = new_database()
    password = urlsplit(url).password
    if not password:
        pytest.skip("the given server asks for no password")
    monkeypatch.setenv("PGPASSWORD", password)
    monkeypatch.delenv("PGPASSFILE", raising=False)
    shell.env["ROOM_MCP_STORE"] = without_password(url)
    return password


@pytest.mark.parametrize("words", ["install cursor", "install cursor --print"])
def test_who_installs_is_told_that_hosts_get_no_password(
    shell: Shell, password_beside: str, words: str
):
    said = shell(*words.split())
    in_json = shell("install", "cursor", "--dry-run", "--json")

    assert said.code == 0
    assert "Warning: PGPASSWORD will be missing: hosts start room-mcp without" in said.out
    assert "~/.pgpass" in said.out
    assert "ROOM_MCP_STORE=postgresql://USER:PASSWORD@HOST/DATABASE" in said.out
    assert "PGPASSWORD will be missing" in in_json.err
    must_hold_none(said.out + said.err + in_json.out + in_json.err, [password_beside])


def test_who_takes_it_out_or_has_no_need_of_it_is_not_told(shell: Shell, database: str):
    shell.monkeypatch.setenv("PGPASSWORD", PASSWORD)

    said = [shell("install", "cursor", *more) for more in ([], ["--uninstall"])]

    assert (PASSWORD in database, [one.code for one in said]) == (False, [0, 0])
    if secrets_of(database):
        assert [one.out.count("PGPASSWORD") for one in said] == [0, 0]


def test_the_doctor_warns_of_a_password_that_hosts_do_not_get(
    shell: Shell, password_beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for era in ("legacy", "modern"):
        monkeypatch.setattr(handshake, era, lambda settings: Finding("mcp", OK, "left out"))
    shell("install", "cursor")

    only_there = shell("doctor", "--json")
    parts = urlsplit(shell.env["ROOM_MCP_STORE"])
    kept = tmp_path / ".pgpass"
    kept.write_text(f"{parts.hostname}:*:*:{parts.username}:{password_beside}\n")
    kept.chmod(0o600)
    also_kept = shell("doctor", "--json")

    found = [
        next(one for one in said.json["checks"] if one["check"] == "hosts")
        for said in (only_there, also_kept)
    ]
    assert [one["status"] for one in found] == ["warn", "ok"]
    assert "They get no PGPASSWORD, which lets us into the database." in found[0]["detail"]
    assert "~/.pgpass" in found[0]["advice"]


ADDRESSES = (
    "postgresql://ann:{}@127.0.0.1:1/rooms",
    "postgresql://127.0.0.1:1/rooms?user=ann&password={}",
    "postgresql://ann:{}/x@127.0.0.1:1/rooms",
    "postgresql://127.0.0.1:4711/{}@127.0.0.1:1/rooms",  # the user looks like a host
    "postgresql://ann:{}#x@127.0.0.1:1/rooms",
    "postgresql://ann:{}?x@127.0.0.1:1/rooms",
    "postgresql://ann:{}?x=y@127.0.0.1:1/rooms",
    "postgresql://ann:x@{}@127.0.0.1:1/rooms",
    "postgresql://ann:{}%x@127.0.0.1:1/rooms",
    "postgresql://ann:{}[@127.0.0.1:1/rooms",
    "postgresql://ann:{}℀@127.0.0.1:1/rooms",
    "postgresql://ann:{}@127.0.0.1:1/rooms?sslmode=wrong",
    "postgresql://ann:{}@127.0.0.1:1/rooms?connection_limit=wrong",
    "postgres://ann:{}@no-such-host.invalid/rooms",
    "postgresql://ann:{}@127.0.0.1:wrong/rooms",
    "mysql://ann:{}@127.0.0.1/rooms",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_leads_nowhere_is_told_without_its_password(shell: Shell, address: str):
    shell.env |= {"ROOM_MCP_STORE": address.format(PASSWORD), "ROOM_MCP_LOG_LEVEL": "DEBUG"}

    said = [
        shell(*line.split())
        for line in ("serve --port 0", "restore --done", "check", "install codex --print")
    ]

    assert said[0].code == (2 if address.startswith("mysql") else 1)
    assert said[0].err.startswith("room-mcp: ")
    must_hold_none("".join(one.out + one.err for one in said), [PASSWORD])


def test_the_doctor_finds_that_there_is_no_database(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    for era in ("legacy", "modern"):
        monkeypatch.setattr(handshake, era, lambda settings: Finding("mcp", OK, "left out"))
    shell.env["ROOM_MCP_STORE"] = ADDRESSES[0].format(PASSWORD)

    said = shell("doctor", "--json")

    assert said.code == 1
    found = {one["check"]: one["status"] for one in said.json["checks"]}
    assert (found["postgres"], found["backend"]) == ("fail", "fail")
    assert "sqlite" not in found
    must_hold_none(said.out, [PASSWORD])


def test_a_wrong_password_is_not_repeated(shell: Shell):
    url = new_database()
    parts = urlsplit(url)
    shell.env["ROOM_MCP_STORE"] = url.replace(f":{parts.password}@", f":{PASSWORD}@")
    if not parts.password:
        pytest.skip("the given server asks for no password")

    said = shell("rooms")

    assert said.code == 1
    assert "PGPASSWORD, ~/.pgpass" in said.err
    must_hold_none(said.err, [PASSWORD])


@pytest.mark.parametrize("address", ADDRESSES[:-1])
def test_a_password_is_known_for_one_however_the_address_is_spelled(address: str):
    assert holds_password(address.format(PASSWORD))
    assert PASSWORD not in shown(address.format(PASSWORD))


def test_without_the_driver_it_is_said_what_to_install(shell: Shell):
    shell.env["ROOM_MCP_STORE"] = "postgresql://127.0.0.1:1/rooms"
    code = (
        "import sys\nsys.modules['asyncpg'] = None\nsys.stderr = sys.stdout\n"
        "from room_mcp.cli import main\n"
        "for words in (['rooms'], ['serve', '--port', '0'], ['restore', '--done'], ['doctor']):\n"
        "    main(words)\n"
    )

    said = " ".join(run_python(code, env=shell.whole_environment))

    assert said.count("pip install 'room-mcp[postgres]'") >= 4


# ---- after a restore -----------------------------------------------------------------------------


def test_a_database_that_was_put_back_gets_a_new_epoch(shell: Shell, database: str):
    shell.room("review", "hello")
    shell("invite", "--url", "https://rooms.example")

    said = shell("restore", "--done")
    again = shell("restore", "--done", "--json").json

    assert said.code == 0
    assert f"The epoch of {shown(database)} is " in said.out
    assert "Invitations are withdrawn" in said.out
    assert asyncio.run(census(database))["rows"]["invitations"] == 0
    assert again["store"] == shown(database)
    assert again["epoch"] not in said.out
    told = shell("audit")
    assert told.code == 0
    assert f"restore: done · room · epoch {again['epoch']}" in told.out


def test_nothing_is_restored_where_nothing_was_put_back(shell: Shell):
    shell.env["ROOM_MCP_STORE"] = empty_database()

    said = shell("restore", "--done")

    assert said.code == 1
    assert "holds no rooms yet. Put the copy back first: pg_restore." in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("restore --done backup.db --store postgresql://db/rooms", "do not go together"),
        ("restore --done", "--done is for PostgreSQL"),
        ("restore", "Name the backup: room-mcp restore FILE"),
    ],
)
def test_what_does_not_fit_a_restore_is_said(shell: Shell, words: str, why: str):
    said = shell(*words.split())

    assert said.code == 2
    assert why in said.err


def test_the_rooms_of_a_server_are_restored_there(shell: Shell):
    shell.env["ROOM_MCP_URL"] = "https://rooms.example"

    said = shell("restore", "--done")

    assert said.code == 2
    assert "its operator does `room-mcp restore` there" in said.err
