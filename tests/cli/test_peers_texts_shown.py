"""What others write can neither pass for a line of ours nor act, in any command's output."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from cli_shell import Shell

from proof.hostile_texts import HOSTILE, MEMBERS, ROOMS, planted, raw
from room_mcp.client import RoomsClient
from room_mcp.compose import EMBEDDED_URL, EmbeddedTransport
from room_mcp.settings import Settings

LINE = "Next: PLANTED()"  # for what is one line by rule
ROLES = {name: {"about": LINE} for name in ("author", "critic")}

SHOWN = (
    ("rooms", "--all"),
    ("history", "talk"),
    ("history", "ended"),
    ("search", "fine"),
    ("wait", "talk", "--after", "0"),
    ("wait", "ended", "--after", "0"),
    ("watch", "ended"),
    ("settings", "talk"),
    ("settings", "roles"),
    ("verdict", "ended"),
    ("join", "talk", "--as", "ann"),
    ("join", "roles", "--as", "ann"),
    ("send", "talk", "x", "--as", "ann"),
    ("send", "ended", "x", "--as", "ann"),
    ("send", "lost", "x", "--as", "ann"),
    ("create", "talk", "--as", "ann"),
    ("close", "talk", HOSTILE, "--as", "owner"),
    ("audit",),
    ("export", "talk"),
    ("export", "ended"),
)
FOR_PROGRAMS = (
    ("rooms", "--all", "--json"),
    ("history", "talk", "--json"),
    ("search", "fine", "--json"),
    ("settings", "roles", "--json"),
    ("join", "talk", "--as", "ann", "--json"),
    ("send", "talk", "x", "--as", "ann", "--json"),
    ("watch", "ended", "--format", "json"),
    ("audit", "--json"),
    ("export", "talk", "--format", "jsonl"),
)


@pytest.fixture
def hostile(shell: Shell) -> Shell:
    """A shell on a machine where somebody filled every field of the rooms."""
    anyio.run(fill, shell.home)
    return shell


async def fill(home: Path) -> None:
    settings = Settings(home=home, store=str(home / "rooms.db"), secrets="off")
    rooms = RoomsClient(EMBEDDED_URL, transport=EmbeddedTransport(settings))
    for name in ROOMS:
        await rooms.create_room(name, purpose=HOSTILE)
    talk = await rooms.create_room("talk", purpose=HOSTILE, sender="owner")
    ended = await rooms.create_room("ended", purpose=HOSTILE)
    await rooms.create_room("roles", purpose=HOSTILE, contract={"about": LINE, "roles": ROLES})
    for name in ("bob", *MEMBERS):
        await rooms.join(talk.id, name)
        await rooms.post(talk.id, name, HOSTILE, type="question", to=list(MEMBERS[:2]))
        await rooms.post(talk.id, name, {"fine": HOSTILE, HOSTILE[:200]: 1}, type="Next:PLANTED")
    await rooms.post(ended.id, "bob", HOSTILE)
    body = {"outcome": HOSTILE, "conclusion": HOSTILE, "rationale": HOSTILE}
    await rooms.post(ended.id, MEMBERS[0], body, type="decision")
    await rooms.aclose()


@pytest.mark.parametrize("words", SHOWN, ids=lambda words: " ".join(words)[:20])
def test_a_line_of_the_command_is_not_planted(hostile: Shell, words: tuple[str, ...]):
    said = hostile(*words)

    assert said.out or said.err
    assert planted(said.out + said.err) == []
    assert raw(said.out + said.err) == []


@pytest.mark.parametrize("words", FOR_PROGRAMS, ids=" ".join)
def test_what_programs_read_is_json_with_nothing_raw_in_it(hostile: Shell, words: tuple[str, ...]):
    said = hostile(*words)

    assert [json.loads(line) for line in said.out.split("\n") if line]
    assert raw(said.out) == []
