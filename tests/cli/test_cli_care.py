"""The commands that care for the store: what they do, say and refuse."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import apsw
import pytest
from cli_shell import Shell, run_python

from room_mcp.cli.private import Private
from room_mcp.cli.reporting import of_store

CARE = [["backup", "x.db"], ["restore", "x.db"], ["check"], ["vacuum"]]


def test_a_backup_says_what_it_holds(shell: Shell, tmp_path: Path):
    shell.room("review", "hello", "world")

    said = shell("backup", str(tmp_path / "copy.db"))
    facts = shell("backup", str(tmp_path / "other.db"), "--json").json

    assert said.code == 0
    assert "1 room with 2 messages" in said.out
    assert str(tmp_path / "copy.db") in said.out
    assert facts["epoch"] in said.out
    assert (facts["rooms"], facts["messages"]) == (1, 2)
    assert facts["bytes"] == (tmp_path / "other.db").stat().st_size


def test_a_backup_is_not_put_over_a_file_unless_that_is_meant(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    (tmp_path / "copy.db").write_text("mine")

    said = shell("backup", str(tmp_path / "copy.db"))

    assert said.code == 1
    assert "--force" in said.err
    assert shell("backup", str(tmp_path / "copy.db"), "--force").code == 0


def test_a_backup_is_no_stream(shell: Shell):
    said = shell("backup", "-")

    assert said.code == 2
    assert "name one" in said.err


def test_a_store_is_restored_when_that_is_meant(shell: Shell, tmp_path: Path):
    copy = str(tmp_path / "copy.db")
    room_id = shell.room("review", "kept")
    shell("backup", copy)
    shell("send", room_id, "lost", "--as", "ann")

    asked = shell("restore", copy)
    done = shell("restore", copy, "--yes")

    assert asked.code == 2
    assert "1 room with 1 message " in asked.err
    assert "with 2 messages" in asked.err
    assert "--yes" in asked.err
    assert done.code == 0
    assert "is kept" in done.out
    assert ".before-restore-" in done.out
    history = shell("history", room_id).out
    assert "kept" in history
    assert "lost" not in history
    assert json.loads(shell("audit", "--json").lines[-1])["act"] == "restore"


def test_a_damaged_store_is_restored_too(shell: Shell, tmp_path: Path):
    copy = str(tmp_path / "copy.db")
    room_id = shell.room("review", "kept")
    shell("backup", copy)
    (shell.home / "rooms.db").write_bytes(b"garbage" * 1_000)

    told = shell("restore", copy, "--yes", "--json").json

    assert ".damaged-" in told["savedTo"]
    assert "kept" in shell("history", room_id).out


def test_a_sound_store_passes_the_check(shell: Shell):
    shell.room("review", "hello")

    said = shell("check")

    assert said.code == 0
    assert "no faults" in said.out
    assert shell("check", "--json").json == {"ok": True, "faults": []}


def test_a_fault_is_told_with_what_to_do(shell: Shell, tmp_path: Path):
    room_id = shell.room("review", "one", "two")
    copy = tmp_path / "copy.db"
    shell("backup", str(copy))
    db = apsw.Connection(str(copy))
    db.execute("DELETE FROM messages WHERE key & 0xff = 1")
    db.close()

    said = shell("check", str(copy))
    told = shell("check", str(copy), "--json")

    assert said.code == told.code == 1
    assert f"log: room {room_id}: It should have 2 messages and has 1" in said.out
    assert "→ Put a backup in its place" in said.out
    assert told.json["ok"] is False
    assert told.json["faults"][0]["roomId"] == room_id
    assert shell("check").code == 0


def test_vacuuming_says_what_was_freed_and_how_long_others_waited(shell: Shell):
    shell.room("review", "hello")

    said = shell("vacuum")

    assert said.code == 0
    assert "Freed" in said.out
    assert "Nobody could write for" in said.out
    assert {"freedBytes", "blockedMs"} <= shell("vacuum", "--json").json.keys()


@pytest.mark.parametrize("words", CARE, ids=lambda words: words[0])
def test_the_store_of_a_server_is_cared_for_there(shell: Shell, words: list[str]):
    shell.env["ROOM_MCP_URL"] = "https://rooms.example"

    said = shell(*words)

    assert said.code == 2
    assert f"its operator does `room-mcp {words[0]}` there" in said.err


@pytest.mark.parametrize("words", [["backup", "x.db"], ["check"], ["vacuum"]])
def test_where_no_store_is_none_is_made(shell: Shell, words: list[str]):
    said = shell(*words)

    assert said.code == 1
    assert "There is no store" in said.err
    assert not shell.home.exists()


def test_the_help_imports_nothing_heavy(shell: Shell):
    code = (
        "import sys\nfrom room_mcp.cli import main\nsys.stdout = sys.stderr\n"
        "for command in ('backup', 'restore', 'check', 'vacuum', 'report'):\n"
        "    try:\n        main([command, '--help'])\n    except SystemExit:\n        pass\n"
        "sys.stdout = sys.__stdout__\nprint(*({'apsw', 'pydantic', 'anyio'} & set(sys.modules)))"
    )

    assert run_python(code, env=shell.whole_environment) == []


# ---- the report ---------------------------------------------------------------------------------

MARK = "quetzal"  # in everything that anybody can write


def marked(shell: Shell) -> str:
    """A room with the mark in every text field; its id."""
    shell.env["ROOM_MCP_AGENT"] = f"{MARK}-me"
    room_id = shell(
        *("create", f"{MARK} room", "--purpose", f"{MARK} purpose", "--as", f"{MARK}-ann"),
        *("--chain", "--json"),
    ).json["id"]
    body = json.dumps({"text": f"{MARK} text", MARK: f"{MARK} value"})
    shell("send", room_id, f"@{MARK}-rex {MARK} content", "--as", f"{MARK}-ann")
    shell("send", room_id, "--body", body, "--as", f"{MARK}-ann", "--to", f"{MARK}-rex")
    template = shell.home / f"{MARK}.json"
    template.write_text(json.dumps({"terminal": [{"type": f"{MARK}-done"}]}))
    other = shell("create", f"{MARK} two", "--template", str(template), "--json").json["id"]
    shell("close", room_id, f"{MARK} conclusion", "--as", f"{MARK}-ann")
    shell("keys", "create", f"{MARK}-key")
    return other


def test_a_report_holds_nothing_that_anybody_wrote(shell: Shell, tmp_path: Path):
    shell.home = tmp_path / f"{MARK}-home"
    shell.monkeypatch.setenv("LOGNAME", f"{MARK}-user")
    room_id = marked(shell)
    store = (shell.home / "rooms.db").read_bytes()
    db = apsw.Connection(str(shell.home / "rooms.db"))
    # A fault of every room: its sentence is in the report.
    db.execute("UPDATE rooms SET name_key = ? WHERE state IS NOT NULL", (f"{MARK} name",))
    secret = db.execute("SELECT value FROM meta WHERE name = 'secret'").get
    db.close()

    said = shell("report", str(tmp_path / "report.zip"))

    parts = bundled(tmp_path / "report.zip")
    assert said.code == 0
    assert all(name in said.out for name in parts)
    assert store.count(MARK.encode()) > 10
    for private in (MARK, room_id, secret, str(tmp_path), str(shell.home)):
        assert [name for name, text in parts.items() if private in text] == []
    kept = json.loads(parts["store.json"])
    assert kept["rows"]["messages"] == 3
    assert len(kept["rooms"]) == 2
    assert json.loads(parts["check.json"])["kinds"] == {"state": 2}
    assert json.loads(parts["settings.json"])["ROOM_MCP_AGENT"] == "(set)"
    assert "sqlite" in json.loads(parts["versions.json"])
    assert {one["check"] for one in json.loads(parts["doctor.json"])} >= {"sqlite", "backend"}


BROKEN = {
    "nothing": "",
    "schema": "DROP INDEX rooms_by_rev",
    "columns": "ALTER TABLE messages DROP COLUMN reply_to",
    "log": "UPDATE rooms SET last_seq = 9 WHERE state IS NOT NULL",
    "state": "UPDATE rooms SET state = '{' WHERE state IS NOT NULL",
    "contract": "DELETE FROM contracts",
    "members": "DELETE FROM members",
    "keys": "UPDATE keys SET seq = 99",
    "words": "DELETE FROM words",
    "memory": "INSERT INTO memories (room_no, seq, data) VALUES (1, 99, '{}')",
    "chain": "UPDATE rooms SET state = json_set(state, '$.chain', 'abc') WHERE no = 1",
    "orphans": "UPDATE members SET room_no = 90",
    "tombstones": "UPDATE rooms SET lifecycle = 'deleted' WHERE no = 1",
    "audit": "DROP TRIGGER audit_is_as_it_was; UPDATE audit SET name = 'eve' WHERE no = 2;"
    " CREATE TRIGGER audit_is_as_it_was BEFORE UPDATE ON audit BEGIN SELECT 1; END",
    "another program": f"CREATE TABLE {MARK} (a); INSERT INTO {MARK} VALUES (1)",
    "no store": "DROP TABLE messages",
}
SPOKEN = BROKEN.keys() - {"nothing", "columns", "another program", "no store"}
SPOILT = ("garbage", "missing", "folder", "readable", "network")


def spoil(store: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match what:
        case "garbage":
            store.write_bytes(b"garbage" * 1_000)
        case "missing" | "folder":
            store.unlink()
            (store if what == "folder" else store.parent / "else").mkdir()
        case "readable":
            store.chmod(0o644)
        case "network":
            mounts = store.parent / "mounts"
            mounts.write_text("36 35 98:0 / / rw - nfs4 server rw\n")
            monkeypatch.setattr("room_mcp.store.sqlite.schema.MOUNTS", mounts)
        case _:
            db = apsw.Connection(str(store))
            db.execute(BROKEN[what])
            db.close()


def bundled(file: Path) -> dict[str, str]:
    with zipfile.ZipFile(file) as bundle:
        return {name: bundle.read(name).decode() for name in bundle.namelist()}


def reported(good: Path, person: Path, what: str) -> str:
    """What is told of a store with this fault, named by the mark, in a home that is, too."""
    store = person / what / f"{MARK}-rooms" / f"{MARK}-merger.db"
    store.parent.mkdir(parents=True, mode=0o700)
    shutil.copyfile(good, store)
    store.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        spoil(store, what, patch)
        return json.dumps(Private(store, [person]).hidden(of_store(store)))


def test_a_report_tells_no_place_and_no_name_whatever_is_wrong(shell: Shell, tmp_path: Path):
    marked(shell)
    shell("backup", str(tmp_path / "good.db"))
    person = tmp_path / f"{MARK}-person"

    told = {what: reported(tmp_path / "good.db", person, what) for what in (*BROKEN, *SPOILT)}

    kinds = {what: json.loads(text)["check.json"].get("kinds", {}) for what, text in told.items()}
    assert [what for what, text in told.items() if MARK in text or "/tmp" in text] == []
    assert [what for what in BROKEN if what in SPOKEN and what not in kinds[what]] == []
    assert json.loads(told["readable"])["check.json"]["first"] == [
        {"kind": "permissions", "mode": "644"}
    ]
    assert json.loads(told["network"])["check.json"]["first"] == [{"kind": "file-system"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/ann/rooms/deals.db-wal is damaged", "<store>-wal is damaged"),
        ("deals.db cannot be read", "<store> cannot be read"),
        ("nothing in /home/ann/rooms, says SQLite", "nothing in <folder>, says SQLite"),
        ("/home/ann/venv/lib.so: no symbol", "<home>/venv/lib.so: no symbol"),
        ("/home/anna/x.so and /usr/lib/y.so", "<path> and <path>"),
        ("of ann, not of Hanna", "of <user>, not of Hanna"),
        ("SQLite 3.51.3 on Linux/x86", "SQLite 3.51.3 on Linux/x86"),
    ],
)
def test_places_and_names_are_replaced(monkeypatch: pytest.MonkeyPatch, text: str, told: str):
    monkeypatch.setenv("HOME", "/home/ann")
    private = Private(Path("/home/ann/rooms/deals.db"), [Path("/home/ann")])

    assert private.hidden({"first": [{"detail": text}]}) == {"first": [{"detail": told}]}


def test_a_wrong_setting_is_reported_and_does_not_keep_from_it(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    shell.env["ROOM_MCP_SECRETS"] = "sk-live-1234567890"

    said = shell("report", str(tmp_path / "report.zip"))

    parts = bundled(tmp_path / "report.zip")
    assert said.code == 0
    assert json.loads(parts["settings.json"])["ROOM_MCP_SECRETS"] == "(wrong)"
    assert json.loads(parts["store.json"])["rows"]["messages"] == 1
    assert json.loads(parts["doctor.json"])[-1]["check"] == "settings"
    assert [name for name, text in parts.items() if "sk-live" in text] == []


def test_what_cannot_be_made_is_told_and_the_rest_is_written(shell: Shell, tmp_path: Path):
    shell.room("review", "hello")
    (tmp_path / "broken" / "apsw").mkdir(parents=True)
    (tmp_path / "broken" / "apsw" / "__init__.py").write_text(
        f"raise ImportError('/home/{MARK}/venv/lib/apsw.so: undefined symbol: x')"
    )
    shell.env["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "broken"), *sys.path])

    running = shell.start("report", str(tmp_path / "report.zip"))
    said = "\n".join(running.rest())

    parts = bundled(tmp_path / "report.zip")
    assert (running.ended(), running.err) == (0, "")
    assert "check.json     could not be made (ImportError)" in said
    assert json.loads(parts["store.json"]) == {"unavailable": "ImportError"}
    assert json.loads(parts["versions.json"])["sqlite"] == "not to be loaded"
    (sqlite,) = [one for one in json.loads(parts["doctor.json"]) if one.get("check") == "sqlite"]
    assert sqlite["status"] == "fail"
    assert "detail" not in sqlite  # it holds where apsw was looked for
    assert [name for name, text in parts.items() if MARK in text or "/venv" in text] == []
