"""Calls of anything over REST: a short run of the fuzzer, and that it notices what it is there for.

`python -m proof.rest_fuzz` is the long run.
"""

from __future__ import annotations

import sys

import pytest

from proof import rest_fuzz
from proof.rest_fuzz import DOORS, SHORT, Door, Seen, Size

SEED = 1
OPEN, WITH_KEY, WITHOUT_KEY = DOORS
KEYLESS = Size(examples=2, sequences=0, streams=4, coverage=False)
FEW = Size(examples=2, sequences=0, streams=0, coverage=False, only="^/agent/templates$")

# As `room-mcp`, with something wrong in one call.
WRONG = """\
import sys
from room_mcp import wire
from room_mcp.backend.service import RoomService

def wrong(self):
    {wrong}

RoomService.known_templates = wrong
from room_mcp.cli import main
sys.exit(main())
"""


def fuzzed(door: Door, size: Size) -> Seen:
    seen = Seen()
    rest_fuzz.served(door, size, SEED, seen)
    return seen


@pytest.mark.parametrize("door", [OPEN, WITH_KEY], ids=lambda door: door.name)
def test_every_call_is_answered_as_described(door: Door):
    seen = fuzzed(door, SHORT)

    assert seen.problems == {}
    assert rest_fuzz.share_reached(seen) >= rest_fuzz.MIN_REACHED


def test_whoever_has_no_key_where_one_is_needed_does_what_is_public_and_nothing_else():
    seen = fuzzed(WITHOUT_KEY, KEYLESS)

    assert seen.problems == {}
    assert rest_fuzz.doable(seen) <= rest_fuzz.PUBLIC


@pytest.mark.parametrize(
    ("wrong", "noticed"),
    [
        ("raise ZeroDivisionError", "not_a_server_error"),
        ("return wire.Templates.model_construct(templates=None)", "response_schema_conformance"),
    ],
)
def test_what_is_not_as_described_is_noticed(wrong: str, noticed: str):
    wrong_server = Door("wrong", command=(sys.executable, "-c", WRONG.format(wrong=wrong)))

    seen = fuzzed(wrong_server, FEW)

    assert ("GET /agent/templates", noticed) in seen.problems
