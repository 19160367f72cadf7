"""An address that no engine knows, such as a database's that is spelt wrongly, is no file: it is
refused, and nothing behind its scheme is shown."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from cli_shell import Said, Shell

PASSWORD = "ill-kept-" + "word"
MISSPELT = f"postgrs://room:{PASSWORD}@db.example/rooms"
TOLD = "No store is known for addresses that begin with postgrs://…"

WITH_ROOMS = """
rooms
create review
join review
send review hello
history review
wait review
watch review
verdict review
settings review
close review done
reopen review
admit review ann
decline review ann
mute review ann
remove review ann
rename review talk
archive review
purge review --yes
delete review --yes
search hello
export review
audit
templates
replay code-review export.jsonl
serve --port 0
keys list
keys create ann
invite --url https://rooms.example
install codex --print
install codex
install codex --uninstall
backup x.db
restore x.db --yes
restore --done
check
vacuum
migrate --to new.db
"""
NEEDING_NONE = ("reopen review", "templates", "replay code-review export.jsonl")
WITH_OPTION = (
    "serve --port 0 --store",
    "backup x.db --store",
    "restore x.db --yes --store",
    "restore --done --store",
    "check --store",
    "vacuum --store",
    "report --store",
    "migrate --from new.db --to",
    "migrate --to new.db --from",
)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def must_tell_nothing(said: Said) -> None:
    text = said.out + said.err
    assert [one for one in (PASSWORD, "room:", "db.example") if one in text] == []


@pytest.mark.parametrize("line", WITH_ROOMS.strip().splitlines())
def test_every_command_refuses_it_in_one_sentence(shell: Shell, tmp_path: Path, line: str):
    shell.env |= {"ROOM_MCP_STORE": MISSPELT, "ROOM_MCP_LOG_LEVEL": "DEBUG"}

    said = shell(*line.split())

    if line not in NEEDING_NONE:
        assert said.code == 2
        assert TOLD in said.err
    must_tell_nothing(said)
    assert [one.name for one in tmp_path.iterdir() if "postgrs" in one.name] == []


@pytest.mark.parametrize("line", WITH_OPTION)
def test_an_option_that_names_it_is_refused(shell: Shell, line: str):
    said = shell(*line.split(), MISSPELT)

    assert said.code == 2
    assert TOLD in said.err
    must_tell_nothing(said)


def test_the_server_that_a_host_starts_refuses_it(shell: Shell):
    shell.env |= {"ROOM_MCP_STORE": MISSPELT, "ROOM_MCP_LOG_LEVEL": "DEBUG"}

    server = shell.start()
    said = Said(server.ended(), "\n".join(server.rest()), server.err)

    assert said.code == 2
    assert TOLD in said.err
    must_tell_nothing(said)


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_the_doctor_has_one_finding_for_it(shell: Shell, words: list[str]):
    shell.env["ROOM_MCP_STORE"] = MISSPELT

    said = shell(*words)

    assert said.code == 1
    assert said.out.count("postgrs") == 1
    assert TOLD in (said.out if words[1:] == [] else str(said.json))
    must_tell_nothing(said)


def test_a_report_says_nothing_of_it(shell: Shell, tmp_path: Path):
    shell.env["ROOM_MCP_STORE"] = MISSPELT
    file = tmp_path / "report.zip"

    said = shell("report", str(file))

    must_tell_nothing(said)
    with zipfile.ZipFile(file) as bundle:
        parts = {name: json.loads(bundle.read(name)) for name in bundle.namelist()}
    assert parts.keys() == {"versions.json", "settings.json", "doctor.json"}
    must_tell_nothing(Said(0, json.dumps(parts), ""))


@pytest.mark.parametrize(
    "address",
    [
        f"PostgreSQ://room:{PASSWORD}@db.example/rooms",
        f" 'postgrs://room:{PASSWORD}@db.example/rooms'",
        f"postgrs:/room:{PASSWORD}@db.example/rooms",
        f"mysql://room:{PASSWORD}@db.example/rooms",
    ],
)
def test_however_it_is_spelt_it_is_no_file(shell: Shell, address: str):
    said = shell("check", "--store", address)

    assert said.code == 2
    assert "No store is known for addresses that begin with " in said.err
    must_tell_nothing(said)
