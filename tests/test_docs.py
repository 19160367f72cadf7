"""The page on designing rooms says what the code does: fields, defaults, examples and numbers."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from room_mcp.cli.parser import parsed
from room_mcp.rooms import (
    BUILT_IN,
    BadContract,
    Contract,
    Draft,
    Proof,
    Room,
    Stamp,
    contract_from,
)
from room_mcp.rooms.budget import RESERVE_S, TOLD_AT_PERCENT
from room_mcp.rooms.contract import EXEMPT_TYPES, MAX_OUTCOME_CHARS
from room_mcp.rooms.documents import MAX_DOCUMENT_BYTES, MAX_ROLES, MAX_RULES, MAX_TYPES
from room_mcp.rooms.fields import MAX_ABOUT_CHARS, MAX_LIST
from room_mcp.rooms.guard import MAX_SCORE
from room_mcp.rooms.guarding import HUSH_AFTER_NOTICES, REARM_MESSAGES
from room_mcp.rooms.message import WAKE_ALL_MEMBERS
from room_mcp.rooms.rehearsal import Rehearsal
from room_mcp.rooms.schemas import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH
from room_mcp.settings import SETTINGS
from room_mcp.wire import Adjust, Join, NewRoom

PAGE = Path(__file__).parent.parent / "docs" / "designing-rooms.md"

# What the parts on the page are parts of.
BASE: dict[str, Any] = {
    "roles": {"author": {}, "reviewer": {}},
    "types": {"report": {}},
    "terminal": [{"type": "decision"}],
}

# Every object of a template whose fields the page has to tell.
PLACES = (
    "",
    "roles.reviewer",
    "types.report",
    "terminal.0",
    "budget",
    "budget.per_member",
    "budget.reserve",
    "budget.on_budget",
    "guard",
    "guard.words",
)


TOLD_IN_WORDS = {
    "types.report.body",
    "types.report.example",
    "types.report.wakes",
    "terminal.0.type",
    "terminal.0.when",
    "guard.words.courtesy",
    "guard.words.praise",
    "guard.words.stop",
}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = Stamp(NOON, ("an-id", "another"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)


def rows(what: str) -> Iterator[tuple[str, list[str]]]:
    """Every row of the tables of this kind: what the table is about, and its cells."""
    page = PAGE.read_text("utf-8")
    mark = rf"<!-- {what}(?: of (.*?))?: checked against the code -->\n(.*?)<!-- /{what} -->"
    for about, table in re.findall(mark, page, re.S):
        for line in table.splitlines()[2:]:
            yield about, [cell.strip() for cell in line.strip("|").split(" | ")]


def stated() -> dict[str, tuple[str, Any]]:
    """Path of a field → its default as told, and its example."""
    found: dict[str, tuple[str, Any]] = {}
    for about, (field, default, example, meaning) in rows("fields"):
        place = "" if about == "the template" else f"{about}."
        assert meaning
        found[place + field.strip("`")] = (default, json.loads(example.strip("`")))
    return found


def changed(path: str, *value: Any) -> dict[str, Any]:
    """BASE with this value at the path; without a value, with nothing there."""
    document = copy.deepcopy(BASE)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    at: Any = document
    for part in way:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    if value:
        at[last] = value[0]
    else:
        at.pop(last, None)
    return document


def meaning_of(document: dict[str, Any]) -> dict[str, Any]:
    contract = contract_from(document)
    named = (field.name for field in fields(Contract) if field.name != "source")
    return {name: getattr(contract, name) for name in named}


def told(path: str) -> str:
    """What the code says about a value at this path that is wrong."""
    with pytest.raises(BadContract) as refused:
        contract_from(changed(path, 0))
    return refused.value.detail.rstrip(".")


@pytest.mark.parametrize("place", PLACES)
def test_the_tables_name_the_fields_that_the_code_knows(place: str):
    prefix = f"{place}." if place else ""
    known = re.search(r"known are (.*)", told(f"{prefix}nothing"))
    on_page = [path.removeprefix(prefix) for path in stated() if path.startswith(prefix)]

    assert known
    assert sorted(field for field in on_page if "." not in field) == sorted(known[1].split(", "))


def test_no_table_tells_of_a_field_elsewhere():
    assert {path.rpartition(".")[0] for path in stated()} == set(PLACES)


@pytest.mark.parametrize("path", stated())
def test_stating_a_default_changes_nothing(path: str):
    default, _ = stated()[path]
    if path in TOLD_IN_WORDS:
        assert not default.startswith("`")
        return

    assert meaning_of(changed(path, json.loads(default.strip("`")))) == meaning_of(changed(path))


@pytest.mark.parametrize("path", stated())
def test_the_example_of_a_field_is_taken_and_is_not_its_default(path: str):
    default, example = stated()[path]

    assert contract_from(changed(path, example))
    assert json.dumps(example) != default.strip("`")


def test_a_rule_needs_its_type():
    with pytest.raises(BadContract, match=r"terminal\[0\]\.type"):
        contract_from(changed("terminal.0.type"))


@pytest.mark.parametrize("path", ["types.report.wakes", "terminal.0.need", "guard.on_stall"])
def test_the_tables_name_the_values_that_the_code_knows(path: str):
    known = re.search(r"one of (.*)", told(path))
    on_page = [value.strip("`") for about, (value, _) in rows("values") if about == path]

    assert known
    assert on_page == known[1].split(", ")


def test_the_types_that_are_never_scored_are_named():
    named = ", ".join(f"`{type}`" for type in sorted(EXEMPT_TYPES))

    assert f"never scored, whatever a template says:\n{named}.\n" in PAGE.read_text("utf-8")


def test_the_numbers_are_the_codes():
    assert [how_much for _, (_, how_much) in rows("numbers")] == [
        f"at most {MAX_DOCUMENT_BYTES // 1024} KiB",
        f"at most {MAX_ROLES}, {MAX_TYPES}, {MAX_RULES}",
        f"at most {MAX_LIST}",
        f"at most {MAX_ABOUT_CHARS} characters",
        f"at most {MAX_OUTCOME_CHARS} characters",
        f"at most {MAX_SCHEMA_BYTES // 1024} KiB, {MAX_SCHEMA_DEPTH} levels deep",
        f"at most {WAKE_ALL_MEMBERS} agents",
        f"from 0 to {MAX_SCORE:g}",
        f"{REARM_MESSAGES} messages of the room",
        f"{HUSH_AFTER_NOTICES}",
        " and ".join(f"{percent} %" for percent in TOLD_AT_PERCENT),
        f"{RESERVE_S // 60} minutes",
    ]


def test_the_built_in_templates_are_named():
    named = ", ".join(f"`{name}`" for name in BUILT_IN[:-1]) + f" and `{BUILT_IN[-1]}`"

    assert named in PAGE.read_text("utf-8")


@pytest.mark.parametrize("block", blocks("json"))
def test_every_template_and_part_of_one_is_taken(block: str):
    part = json.loads(block)

    assert contract_from(part if "name" in part else {**BASE, **part})


def test_the_job_asks_for_the_verdict_and_hands_no_text_of_strangers_to_the_shell():
    (job,) = (YAML(typ="safe").load(block) for block in blocks("yaml"))
    run = [step["run"] for step in job["jobs"]["verdict"]["steps"]]

    assert run == ['room-mcp verdict "$ROOM"']


def test_the_commands_of_the_page_are_understood():
    lines = "".join(blocks("sh")).splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("room-mcp")]

    assert commands
    assert [parsed(command).command for command in commands] == [one[0] for one in commands]


def test_the_calls_of_the_page_are_understood():
    calls = re.findall(r"/agent/rooms(/ROOM_ID/\w+)? -H .*?-d '(.*?)'", "".join(blocks("sh")), re.S)
    requests = {"": NewRoom, "/ROOM_ID/join": Join, "/ROOM_ID/settings": Adjust}

    assert {path for path, _ in calls} == {*requests}
    assert all(requests[path].model_validate_json(body) for path, body in calls)


def test_the_settings_that_the_page_names_are_there():
    named = set(re.findall(r"ROOM_MCP_\w+", PAGE.read_text("utf-8")))

    assert named
    assert named <= {setting.name for setting in SETTINGS}


# ---- the whole example --------------------------------------------------------------------------


def incident() -> Rehearsal:
    (example,) = (block for block in blocks("json") if '"incident"' in block)
    here = Room(id="r", name="r", created_at=NOON, contract=contract_from(json.loads(example)))
    for name, role in (("ann", "commander"), ("rex", "responder")):
        here = here.join(name, role=role, proof=Proof(), stamp=STAMP).room
    return Rehearsal(here)


def say(talk: Rehearsal, sender: str, type: str, content: Any = "") -> None:
    declared = talk.room.contract.types.get(type)
    draft = Draft(sender, content or (declared and declared.example) or "see db.log", type)
    talk.act(lambda room, past: room.post(draft, proof=Proof(), stamp=STAMP, past=past))


def test_the_incident_is_resolved_when_the_last_work_is_done():
    talk = incident()
    say(talk, "ann", "alarm")
    say(talk, "ann", "request", "Look at the pool of connections.")
    say(talk, "rex", "accept")
    say(talk, "rex", "finding")
    say(talk, "ann", "resolved")
    waiting = talk.room
    say(talk, "rex", "result", "Rolled back; the pool is at 12 of 100.")

    assert waiting.closing is None
    assert talk.room.closing
    assert talk.room.closing.outcome == "resolved"
    assert talk.room.closing.conclusion.startswith("Deploy 318 leaked")
